#!/bin/sh
# Stands before a compiler, which is run by the name that tells its toolchain: here, or where that name is known.
shift
exec distcc /hosts/@COMPILER@ "$@"
