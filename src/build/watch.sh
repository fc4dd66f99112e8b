# Runs "$@" and ends with it, or ends everything once standard input ends: its other end is held by
# wslk, so this is how a job learns of wslk's death, SIGKILL included. $0 is `container` or `host`.
exec 3<&0 </dev/null
trap 'exit 143' TERM INT HUP
{
    cat <&3
    case $0 in
    # The end of process 1 is the end of a container and of all in it.
    container) kill -TERM 1 ;;
    # Without a container, the job is one process group of its own.
    *) kill -KILL 0 ;;
    esac
} >/dev/null 2>&1 &
exec 3<&-
"$@" &
wait $!
status=$?
# Only the cgroup knows for sure that something was killed for memory: 2nd and 1st version.
[ "$0" = host ] || for file in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do
    [ ! -r $file ] || sed -n '/^oom_kill [1-9]/s/^/wslk: /p' $file >&2
done
exit $status
