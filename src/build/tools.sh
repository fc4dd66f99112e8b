# One line a tool: its name, a tab, the first line of what it says of its version. A tool that is not
# there has no line.
for tool in gcc ld make pahole ccache flex bison bc perl python3 kmod patch zstd xz; do
    command -v "$tool" >/dev/null && printf '%s\t%s\n' "$tool" "$("$tool" --version 2>&1 | sed -n '/[0-9]\.[0-9]/{p;q}')"
done
command -v mke2fs >/dev/null && printf 'mke2fs\t%s\n' "$(mke2fs -V 2>&1 | head -n 1)"
command -v openssl >/dev/null && printf 'openssl\t%s\n' "$(openssl version)"
command -v criu >/dev/null && printf 'criu\t%s\n' "$(criu --version | head -n 1)"
exit 0
