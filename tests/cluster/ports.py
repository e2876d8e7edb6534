"""Free ports on loopback."""

from __future__ import annotations

import random
import socket

from tests.cluster.errors import ClusterFailed
from tests.cluster.programs import LOOPBACK

# Below what Linux (32768) and macOS (49152) hand out for outgoing connections: a port of ours is not taken by a client
# while the program that listens on it is restarted.
_RANGE = range(20_000, 32_000)
_ATTEMPTS = 200


def free_port() -> int:
    """Return a port that nobody listens on now; who starts a program on it must be ready for another to be first."""
    for port in random.sample(_RANGE, _ATTEMPTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise ClusterFailed(f"none of {_ATTEMPTS} ports of {LOOPBACK} from {_RANGE.start} to {_RANGE.stop} is free")
