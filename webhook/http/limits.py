"""Define the limits of a port, for one peer and for all peers together.

Each unit that a peer can repeat has a bound here. A bound counts the memory that a unit costs, and applies while it
arrives. docs/serving.md lists all of them.
"""

from __future__ import annotations

import resource

import msgspec

KIB, MIB = 1024, 1024 * 1024

RESERVED_FILES = 100
"""File descriptors that are reserved for files other than connections."""


class Deadlines(msgspec.Struct, frozen=True):
    """Seconds that a client has for each part of a request."""

    handshake: float = 10.0
    header: float = 10.0
    body: float = 15.0
    answer: float = 15.0
    """For the client to read its answers, while more than ``unread_bytes`` of them wait."""

    idle: float = 120.0
    """Longer than the 90 s for which the API server keeps an idle connection. Otherwise it may use a connection that is
    being closed, and it never repeats a POST. The same holds for unused connections, because Go's client dials ahead
    and keeps spare connections in its pool.
    """

    close: float = 1.0
    """For the client to read its last answer, and to close its side."""


class PortLimits(msgspec.Struct, frozen=True, eq=False):
    """The limits of one port. Objects hash by identity, which is fast."""

    connections: int
    """Simultaneous connections. Each takes about 20 KiB, mostly for its TLS session."""

    applications: int
    """Simultaneous requests to the ASGI application; peers take turns."""

    buffered_bytes: int
    """Bytes of unfinished heads and of pipelined requests, on all connections together."""

    head_bytes: int = 16 * KIB
    """Bytes of request line and headers. An API server's head has about 250 bytes."""

    headers: int = 100
    """Number of headers that is too many for one head; each costs about 90 bytes besides its text."""

    target_bytes: int = 4 * KIB
    """Bytes of the path and the query."""

    chunk_bytes: int = 16 * KIB
    """Bytes by which the framing of a chunked body (sizes, extensions, trailers) may exceed the body itself."""

    pipeline_bytes: int = 256 * KIB
    """Bytes of requests on one connection that wait for the answer to the previous one."""

    unread_bytes: int = 16 * KIB
    """Bytes of answers that wait for the client; beyond that, reading from it stops."""

    receive_bytes: int = 64 * KIB
    send_bytes: int = 16 * KIB
    """Bytes of the system's buffers for one connection, which take twice that. They also bound the size of one read."""

    deadlines: Deadlines = Deadlines()

    @property
    def unread_cost(self) -> int:
        """Memory in bytes of a client that does not read its answers; it counts as kept bytes."""
        # The kernel doubles the size that a socket option sets (socket(7), SO_RCVBUF).
        return self.unread_bytes + 2 * (self.receive_bytes + self.send_bytes)


ADMISSION = PortLimits(connections=2500, applications=8, buffered_bytes=8 * MIB)
"""An API server keeps some 25 connections. With this many, and the maximum of request bodies, a process stays within
the 256 MiB that the chart allows.
"""

METRICS = PortLimits(connections=128, applications=4, buffered_bytes=8 * MIB)
"""The kubelet, Prometheus and people need a handful of connections."""


def raise_file_limit() -> None:
    """Raise the limit of open files, usually 1024, to the number needed or the highest that the system allows."""
    # A process may raise its soft limit up to the hard one without any right.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = ADMISSION.connections + METRICS.connections + RESERVED_FILES
    target = needed if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < target:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))


def max_connections() -> tuple[int, int]:
    """Return the largest number of connections of the admission port and of the metrics port.

    With few files, the metrics port gets at most a quarter of them, so that neither port can starve the other.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return ADMISSION.connections, METRICS.connections
    # At least one connection for each port, even if a host allows hardly any files.
    available = max(2, files - RESERVED_FILES)
    metrics = max(1, min(METRICS.connections, available // 4))
    return min(ADMISSION.connections, available - metrics), metrics
