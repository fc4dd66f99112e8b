# The victim of the scenario `python`: threads that count, and data that grows. Only modules that are
# built into the interpreter are used.
import _thread
import sys
import time

THREADS = 3
counts = [0] * THREADS
seen = {}
words = []


def count(number):
    while True:
        counts[number] += 1
        seen[number, counts[number] % 50] = counts[number]
        time.sleep(0.004)


for number in range(THREADS):
    _thread.start_new_thread(count, (number,))
for line in sys.stdin:
    verb, _, word = line.strip().partition(" ")
    if verb == "add":
        words.append(word)
    listed = ", ".join('"%s"' % word for word in words)
    print('{"threads": %d, "counts": %s, "words": [%s]}' % (_thread._count(), counts, listed), flush=True)
