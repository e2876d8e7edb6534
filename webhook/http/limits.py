"""Define what one peer, and all peers together, may have of a port.

Each unit that a peer can repeat has a bound here. A bound counts what a unit costs in memory, and applies while it
arrives. docs/serving.md lists all of them.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

KIB, MIB = 1024, 1024 * 1024

OTHER_FILES = 100
"""File descriptors that are left for everything but connections."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that a client has for each part of a request."""

    handshake: float = 10.0
    header: float = 10.0
    body: float = 15.0
    answer: float = 15.0
    """For the client to take answers of which more than ``unread_bytes`` wait."""

    idle: float = 120.0
    """More than the 90 s for which the API server keeps an idle connection: else it may use one that is just being
    closed, and it never repeats a POST. That also holds for a connection on which nothing has come yet: Go's client
    dials ahead, and keeps in its pool what it does not need at once."""

    farewell: float = 1.0
    """For the client to read its last answer, and to close its side."""


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """The limits of one port; each object is a key of its own, which costs no time to hash."""

    connections: int
    """At once. A connection takes about 20 KiB, mostly for its TLS session."""

    applications: int
    """Requests that the ASGI application answers at once; peers take turns."""

    kept_bytes: int
    """Of unfinished heads and of pipelined requests, on all connections together."""

    head_bytes: int = 16 * KIB
    """Of request line and headers. An API server's head has about 250 bytes."""

    headers: int = 100
    """In one head has to be less than this, because each costs about 90 bytes beside its text."""

    target_bytes: int = 4 * KIB
    """Of the path and the query."""

    chunk_bytes: int = 16 * KIB
    """By which the framing of a chunked body (sizes, extensions, trailers) may exceed the body itself."""

    pipeline_bytes: int = 256 * KIB
    """Of requests on one connection that wait for the answer to the previous one."""

    unread_bytes: int = 16 * KIB
    """Of answers that wait for the client; beyond that, nothing more is read from it."""

    receive_bytes: int = 64 * KIB
    send_bytes: int = 16 * KIB
    """Of the system's buffers for one connection, which take twice that. They bound what one read brings, too."""

    deadlines: Deadlines = Deadlines()

    @property
    def unread_cost(self) -> int:
        """Bytes that a client takes that does not read its answers; they count as kept bytes."""
        return self.unread_bytes + 2 * (self.receive_bytes + self.send_bytes)


ADMISSION = Limits(connections=2500, applications=8, kept_bytes=8 * MIB)
"""An API server keeps some 25 connections. With as many as this, and all bodies that may be held, a process stays
within the 256 MiB that the chart allows it."""

METRICS = Limits(connections=128, applications=4, kept_bytes=8 * MIB)
"""The kubelet, Prometheus and people need a handful of connections."""


def allow_files() -> None:
    """Raise the limit of open files as far as the system lets us; the usual one is 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = ADMISSION.connections + METRICS.connections + OTHER_FILES
    wanted = needed if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connections() -> tuple[int, int]:
    """Return how many connections the admission port and the metrics port can have at once.

    Where files are few, the metrics port gets a quarter of them at most: neither port can take those of the other.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return ADMISSION.connections, METRICS.connections
    left = max(2, files - OTHER_FILES)
    metrics = max(1, min(METRICS.connections, left // 4))
    return min(ADMISSION.connections, left - metrics), metrics
