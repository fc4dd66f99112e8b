# The victim of the scenario `sysv`: System V objects in an IPC namespace of their own, through the C
# library, for which there is no safe interface in Rust.
import sys
from ctypes import CDLL, c_int, c_long, c_size_t, c_void_p, create_string_buffer, get_errno, memmove, string_at

SIZE = 32768
CREATE, NOWAIT, SETVAL, GETVAL = 0o1600, 0o4000, 16, 12
libc = CDLL(None, use_errno=True)
libc.shmat.restype = c_void_p
libc.shmat.argtypes = [c_int, c_void_p, c_int]
libc.shmget.argtypes = [c_int, c_size_t, c_int]
libc.msgsnd.argtypes = [c_int, c_void_p, c_size_t, c_int]
libc.msgrcv.argtypes = [c_int, c_void_p, c_size_t, c_long, c_int]
libc.msgrcv.restype = c_long


def call(name, *arguments):
    answer = getattr(libc, name)(*arguments)
    if answer in (-1, 2**64 - 1):
        print('{"errno": %d}' % get_errno(), flush=True)
        sys.exit(1)
    return answer


memory = call("shmget", 7701, SIZE, CREATE)
address = call("shmat", memory, None, 0)
semaphores = call("semget", 7702, 3, CREATE)
queue = call("msgget", 7703, CREATE)


def pattern(seed):
    turned = bytes(range(seed % 256, 256)) + bytes(range(seed % 256))
    return turned * (SIZE // 256)


def prepare(seed):
    memmove(address, pattern(seed), SIZE)
    for number in range(3):
        call("semctl", semaphores, number, SETVAL, c_int(seed * 10 + number))
    for number in range(2):
        text = b"message %d of %d" % (number, seed)
        message = create_string_buffer((number + 1).to_bytes(8, "little") + text)
        call("msgsnd", queue, message, len(text), NOWAIT)


def check(seed):
    right = string_at(address, SIZE) == pattern(seed)
    values = [call("semctl", semaphores, number, GETVAL) for number in range(3)]
    messages = []
    for kind in (2, 1):
        buffer = create_string_buffer(72)
        length = call("msgrcv", queue, buffer, 64, kind, NOWAIT)
        messages.append(buffer.raw[8 : 8 + length].decode())
    listed = ", ".join('"%s"' % message for message in messages)
    names = [memory, semaphores, queue]
    print('{"memory": %s, "values": %s, "messages": [%s], "names": %s}'
          % (str(right).lower(), values, listed, names), flush=True)


for line in sys.stdin:
    verb, _, seed = line.strip().partition(" ")
    if verb == "check":
        check(int(seed))
    else:
        prepare(int(seed)) if verb == "prepare" else memmove(address + 9, b"tampered", 8)
        print('{"names": %s}' % [memory, semaphores, queue], flush=True)
