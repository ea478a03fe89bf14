"""Loopback ports that no other test run takes at the same time.

A port is ours while we hold a lock on a file named after it. They come from below the range the kernel hands out
itself, so that nobody's outgoing connection can sit on one."""
import fcntl
import os
import random
import socket
import tempfile

FIRST, LAST = 20000, 31999
_directory = os.path.join(tempfile.gettempdir(), f"pipegate-ports-{os.getuid()}")
_locks = {}


def take():
    os.makedirs(_directory, mode=0o700, exist_ok=True)
    for port in random.sample(range(FIRST, LAST + 1), 500):
        if port in _locks:
            continue
        lock = open(os.path.join(_directory, str(port)), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        _locks[port] = lock
        return port
    raise RuntimeError("no free port found")


def give_back(port):
    lock = _locks.pop(port, None)
    if lock:
        lock.close()
