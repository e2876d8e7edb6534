"""Count what happens at one port, in plain numbers.

The hot path counts in attributes of one object, at the price of an addition. Metrics read them on a scrape.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Traffic:
    """The numbers of one port; only its event loop writes them."""

    requests: int = 0
    """Being read or answered."""

    held_bytes: int = 0
    """Of bodies that have come, of requests that have not been answered."""

    received_bytes: int = 0
    """Of bodies, since the start."""

    connections: int = 0
    """Open, with those whose TLS handshake is not over yet."""

    refused_connections: int = 0
    failed_handshakes: int = 0
    refused_callers: int = 0
    """Clients whose certificate is valid, but does not have a name that is allowed."""

    kept_bytes: int = 0
    """Of heads that are not complete, and of requests that wait for the answer to the previous one."""

    rejected: dict[str, int] = field(default_factory=dict)
    """Requests and connections that were ended because of what the peer did, by cause."""
