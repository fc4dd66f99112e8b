#!/bin/sh
# distcc calls this as it would call ssh: a host's name, then what to run there, which runs there already.
exec socat -t 600 - "UNIX-CONNECT:/hosts/$1"
