#!/bin/sh
# Writes a tar file of what the guest of a boot test needs to its standard output: CRIU, what CRIU calls, kmod,
# a shell, and every library these programs and wslk itself load. Runs in the builder image or on the host.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# The path itself, in a folder without links above it, and whatever it links to.
chain() {
    path=$1
    while :; do
        folder=$(readlink -f "$(dirname "$path")")
        path=${folder%/}/$(basename "$path")
        echo "${path#/}"
        [ -L "$path" ] || break
        target=$(readlink "$path")
        case $target in
        /*) path=$target ;;
        *) path=$folder/$target ;;
        esac
    done
}

program() {
    found=$(command -v "$1") || return 1
    chain "$found"
    libraries "$found"
}

libraries() {
    # A script has no libraries; ldd says so with its exit status.
    ldd "$(readlink -f "$1")" 2>/dev/null | sed -n 's/^[^/]*\(\/[^ ]*\) (0x.*/\1/p' | while read -r library; do
        chain "$library"
    done
}

# The interpreter and of its library only what the scenarios import; nothing of it is a program's to rely on.
python() {
    program python3 || return 1
    python3 -I -S -B -c 'import _thread, ctypes, sys, time
for module in list(sys.modules.values()): print(getattr(module, "__file__", None) or "")' | sort -u | while read -r file; do
        case $file in
        *.so) chain "$file" && libraries "$file" ;;
        *.py) chain "$file" ;;
        esac
    done
}

library() {
    for folder in /lib64 /usr/lib64 /lib/*-linux-gnu /usr/lib/*-linux-gnu /lib /usr/lib; do
        if [ -e "$folder/$1" ]; then
            chain "$folder/$1"
            return
        fi
    done
    return 1
}

list() {
    # Where / is merged with /usr, programs are also called by their old paths.
    for link in /bin /sbin /lib /lib64; do
        [ ! -L "$link" ] || echo "${link#/}"
    done
    for name in criu sh modprobe depmod; do
        program "$name" || { echo "lacks $name" >&2; exit 3; }
    done
    for name in libc.so.6 libm.so.6 libgcc_s.so.1; do
        library "$name" || { echo "lacks $name" >&2; exit 3; }
    done
    # What wslk may be linked with besides, depending on where it was built; it checks that by itself.
    for name in libz.so.1 liblzma.so.5 libzstd.so.1; do
        library "$name" || :
    done
    # CRIU's network locks and namespaces, and containers, whose tmpfs CRIU packs with tar and gzip; a scenario that
    # misses one of them says so itself.
    for name in iptables-legacy ip6tables-legacy iptables-restore ip6tables-restore iptables ip6tables ip \
        runc tar gzip; do
        program "$name" || echo "without $name" >&2
    done
    python || echo "without python3" >&2
    for folder in /usr/lib/*-linux-gnu/xtables /usr/lib/xtables /usr/lib64/xtables; do
        for match in mark MARK standard tcp udp; do
            [ ! -e "$folder/libxt_$match.so" ] || chain "$folder/libxt_$match.so"
        done
    done
}

names=$(list)
printf '%s\n' "$names" | LC_ALL=C sort -u |
    tar --create --file - --directory / --no-recursion --mtime=@0 --owner=0 --group=0 --numeric-owner --files-from -
