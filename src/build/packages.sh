# One line a package: its name, version and architecture, and the name and version of its source.
command -v dpkg-query >/dev/null || exit 0
dpkg-query --show --showformat '${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n'
