# Compiles a kernel: $1 the make targets, $2 the folder for the modules, then make's arguments.
# Standard output is kbuild's, with a line for wslk before each run of make, and one at the end.
set -eu
targets=$1 modules=$2
shift 2
# Administrators' tools are not on everybody's path, and a missing depmod is only a warning to kbuild.
PATH=$PATH:/usr/sbin:/sbin
case " $targets " in
*' modules '*) command -v depmod >/dev/null || { echo 'depmod: not found' >&2; exit 127; } ;;
esac
# kconfig tells the kernel's version in a comment of the header that every file includes. Without it the compiler
# cache takes an object of the last point release for one of this, if nothing else is new to it. kbuild says when the
# header is to be written: also for another compiler or a Kconfig file that is newer.
echo 'make begins: syncconfig'
make "$@" include/config/auto.conf include/generated/autoconf.h
version='^\( \* .*\) [^ ]* Kernel Configuration$'
if grep -q "$version" include/generated/autoconf.h; then
    sed -i "s/$version/\1 Kernel Configuration/" include/generated/autoconf.h
fi
echo 'make begins: compile'
# shellcheck disable=SC2086 # one word a target
make "$@" $targets
case " $targets " in
*' modules '*)
    echo 'make begins: modules_install'
    # Without their DWARF the modules are a tenth of the size; BTF stays, strip takes it for data.
    make "$@" INSTALL_MOD_PATH="$modules" INSTALL_MOD_STRIP=1 modules_install
    # Links to /build and /src mean nothing where the modules go.
    rm -f "$modules"/lib/modules/*/build "$modules"/lib/modules/*/source
    ;;
esac
# What `make kernelrelease` would say, without make's reading all of the tree once more for it.
echo "kernelrelease is $(cat include/config/kernel.release)"
