"""Count the events of one port in plain numbers.

On the hot path, a count costs one addition to an attribute. Metrics read the numbers during a scrape.
"""

from __future__ import annotations

import msgspec


class PortCounters(msgspec.Struct):
    """The numbers of one port; only its event loop writes them."""

    requests: int = 0
    """Requests that are being read or answered."""

    held_bytes: int = 0
    """Bytes of request bodies that are not answered yet."""

    received_bytes: int = 0
    """Bytes of request bodies since the start."""

    connections: int = 0
    """Open connections, including those in their TLS handshake."""

    refused_connections: int = 0
    failed_handshakes: int = 0
    refused_callers: int = 0
    """Clients with a valid certificate but without an allowed name."""

    buffered_bytes: int = 0
    """Bytes of incomplete heads, and of requests that wait for the answer to the previous one."""

    rejected: dict[str, int] = msgspec.field(default_factory=dict)
    """Requests and connections that were ended because of the client, by cause."""
