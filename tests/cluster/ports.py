"""Free ports on loopback, each for one process of the tests alone."""

from __future__ import annotations

import fcntl
import functools
import os
import random
import socket
import tempfile
import threading
from pathlib import Path
from typing import IO

from tests.cluster.errors import ClusterFailed
from tests.cluster.programs import LOOPBACK

# Below what Linux (32768) and macOS (49152) hand out for outgoing connections: a port of ours is not taken by a client
# while the program that listens on it is restarted.
_RANGE = range(20_000, 32_000)
_ATTEMPTS = 200
_taken: set[int] = set()
_taking = threading.Lock()


def free_port() -> int:
    """Return a port that nobody listens on now, and that no later call returns while this process lives.

    The same holds for the other processes of this user's tests, so a program may be started on it later, and again.
    Programs that are not of the tests may still be first.
    """
    for port in random.sample(_RANGE, _ATTEMPTS):
        if _is_reserved(port) and _is_free(port):
            return port
    raise ClusterFailed(f"none of {_ATTEMPTS} ports of {LOOPBACK} from {_RANGE.start} to {_RANGE.stop} is free")


def _is_reserved(port: int) -> bool:
    """Reserve a port for this process until it ends; return False if it was reserved before."""
    with _taking:  # a lock of a file keeps out other processes, and not other threads
        if port in _taken:
            return False
        try:
            fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except (BlockingIOError, PermissionError):  # as POSIX leaves open
            return False
        _taken.add(port)
        return True


@functools.cache
def _reservations() -> IO[bytes]:
    """Return the file of which each port has one byte; its locks end with the process, however that ends."""
    path = Path(tempfile.gettempdir()) / f"pull-secret-webhook-ports-of-{os.getuid()}"
    return path.open("ab")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
