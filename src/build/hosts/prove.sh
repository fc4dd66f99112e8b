# Has each of the hosts "$@" compile the same file, and compares with what is made here. A line for each: its name, and
# `same` or what is wrong.
cd /tmp
cat >probe.c <<'END'
#include <stddef.h>
struct list { struct list *next; const char *name; };
static const char made_by[] = __VERSION__ " " __FILE__;
const char *find(struct list *list, size_t (*weigh)(const char *))
{
	const char *best = made_by;
	size_t most = 0;
	for (; list; list = list->next) {
		size_t weight = weigh(list->name);
		if (weight > most) { most = weight; best = list->name; }
	}
	return best;
}
END
"$WSLK_COMPILER" -O2 -c probe.c -o here.o || exit
ask() {
    # Nothing of this is to be done here.
    if ! DISTCC_HOSTS="@$1/1" DISTCC_FALLBACK=0 DISTCC_BACKOFF_PERIOD=0 DISTCC_LOG="$1.log" \
        timeout 30 distcc "$WSLK_COMPILER" -O2 -c probe.c -o "$1.o" >"$1.said" 2>&1; then
        why=$(sed -n 's/^distcc\[[0-9]*\] *//p' "$1.log" | grep -iE 'error|fail|refus|not ' | head -n 1)
        echo "$1 it could not compile a trial file: ${why:-$(head -n 1 "$1.said")}"
    elif cmp -s here.o "$1.o"; then
        echo "$1 same"
    else
        echo "$1 it makes other bytes of a trial file"
    fi
}
for host; do ask "$host" & done
wait
