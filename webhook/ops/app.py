"""Define the application of the plain-HTTP port, which both roles serve to operators and the kubelet.

It uses Starlette, on which FastAPI is built: sync would spend a third of its start on the import of FastAPI.

Requests for an unknown host are refused. A web page whose name leads to this port (DNS rebinding) could read the
answers otherwise, because the browser treats them as the page's own. Such requests carry the name of the page as Host.
Probes and Prometheus use the IP address of the Pod, and people use localhost or the name of a Service.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from webhook.rules.text import ascii_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from webhook.ops.health import Health
    from webhook.ops.page_data import PageData

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
    # A trailing dot makes a name absolute, and browsers send it.
    name = match[1].lower().removesuffix(".")
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        # A web page needs a name in the public DNS, which has a dot.
        return "." not in name or name in names or _CLUSTER_NAME.fullmatch(name) is not None
    return True


def ops_app(
    health: Health,
    registry: CollectorRegistry,
    status: Callable[[], bytes] | None = None,
    page: Callable[[], PageData] | None = None,
    alive: Health | None = None,
    allowed_hosts: Iterable[str] = (),
) -> Starlette:
    """Return an application with ``/livez``, ``/readyz`` and ``/metrics``, and optionally ``/status`` and a page.

    ``/livez`` is 200 while the process can answer and the checks of ``alive`` pass. ``/livez`` and ``/readyz`` return
    200 or 503, with a line for each check on failure; ``/readyz`` also with ``?verbose``. ``status()`` returns a JSON
    document; ``page()`` returns the data for people at ``/``, whose reasons ``/reasons`` explains.
    """

    # Coroutines, so that a probe does not wait for a thread behind slow pages.
    async def livez(_request: Request) -> Response:
        if alive is not None and not alive.ready:
            return PlainTextResponse(alive.report(), status_code=503)
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        if not health.ready:
            return PlainTextResponse(health.report(), status_code=503)
        verbose = "verbose" in request.query_params
        return PlainTextResponse(health.report() if verbose else "ok\n")

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    routes = [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]
    if status is not None:
        routes.append(Route("/status", _status(status)))
    if page is not None:
        routes += _pages(page)
    app = Starlette(routes=routes, middleware=[Middleware(KnownHosts, names=tuple(allowed_hosts))])
    app.router.redirect_slashes = False
    return app


# These are not coroutines: Starlette calls them in a thread, because they take longer than the other requests can wait.


def _status(status: Callable[[], bytes]) -> Callable[[Request], Response]:
    # ASCII, because people read it on terminals, and it has names and messages of tenants.
    return lambda _request: Response(ascii_json(status().decode()), media_type="application/json")


def _pages(page: Callable[[], PageData]) -> list[Route]:
    def look(request: Request) -> Response:
        from webhook.ops.page import HEADERS, parse_query, render  # noqa: PLC0415 - loads Jinja2, which few need

        return HTMLResponse(render(page(), parse_query(request.query_params)), headers=HEADERS)

    def explain(_request: Request) -> Response:
        from webhook.ops.page import HEADERS, render_reasons  # noqa: PLC0415 - as above

        return HTMLResponse(render_reasons(), headers=HEADERS)

    return [Route("/", look), Route("/reasons", explain)]
