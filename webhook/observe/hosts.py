"""Reject requests with an unknown Host, so that web pages cannot read the plain-HTTP port.

With DNS rebinding, a page's own name resolves to this port. The browser then treats the answers as same-origin. But its
requests carry that name as Host. Probes and Prometheus use the IP address of the Pod. People use localhost or the name
of a Service. A page on the web cannot have such a name.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

MISDIRECTED_REQUEST = 421

_OPEN_PATHS = frozenset({"/livez", "/readyz"})
"""Probes may be configured to send any Host."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_CLUSTER_NAME = re.compile(
    r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:svc|svc\.cluster\.local|pod|pod\.cluster\.local|localhost)"
)
"""Names with suffixes that public DNS registries do not assign."""


class KnownHosts:
    """Wraps an ASGI application and answers only requests for known hosts.

    Known are IP addresses, ``localhost``, names without a dot, the names of Services and Pods, and ``names``.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"] not in _OPEN_PATHS and not self._is_known(scope):
            text = "unknown Host in the request: see --allowed-host\n"
            await PlainTextResponse(text, status_code=MISDIRECTED_REQUEST)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        # HTTP/1.0 requests may lack a Host, but every browser sends one.
        return not hosts or (len(hosts) == 1 and is_known_host(hosts[0], self._names))


def is_known_host(host: str, names: frozenset[str] = frozenset()) -> bool:
    """Return whether a Host header, with or without a port, certainly names this process."""
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match[1].lower().removesuffix(".")
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return "." not in name or name in names or _CLUSTER_NAME.fullmatch(name) is not None
    return True
