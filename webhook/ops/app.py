"""Define the application of the plain-HTTP port, which both roles serve to operators and the kubelet.

Requests for an unknown host are refused. A web page whose name leads to this port (DNS rebinding) could read the
answers otherwise, because the browser treats them as the page's own. Such requests carry the name of the page as Host.
Probes and Prometheus use the IP address of the Pod, and people use localhost or the name of a Service.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from webhook.rules.text import ascii_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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
    name = match[1].lower().removesuffix(".")
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return "." not in name or name in names or _CLUSTER_NAME.fullmatch(name) is not None
    return True


def ops_app(
    health: Health,
    registry: CollectorRegistry,
    status: Callable[[], bytes] | None = None,
    page: Callable[[], PageData] | None = None,
    alive: Health | None = None,
    allowed_hosts: Iterable[str] = (),
) -> FastAPI:
    """Return an application with ``/livez``, ``/readyz`` and ``/metrics``, and optionally ``/status`` and a page.

    ``/livez`` is 200 while the process can answer and the checks of ``alive`` pass. ``/livez`` and ``/readyz`` return
    200 or 503, with a line for each check on failure; ``/readyz`` also with ``?verbose``. ``status()`` returns a JSON
    document; ``page()`` returns the data for people at ``/``, whose reasons ``/reasons`` explains.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_middleware(KnownHosts, names=tuple(allowed_hosts))

    @app.get("/livez")
    async def livez() -> PlainTextResponse:
        if alive is not None and not alive.ready:
            return PlainTextResponse(alive.report(), status_code=503)
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    async def readyz(request: Request) -> PlainTextResponse:
        if not health.ready:
            return PlainTextResponse(health.report(), status_code=503)
        # Do not declare a parameter: FastAPI would load all of pydantic.v1 for it, 4 MiB.
        verbose = "verbose" in request.query_params
        return PlainTextResponse(health.report() if verbose else "ok\n")

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    if status is not None:

        @app.get("/status")
        def state() -> Response:
            return Response(ascii_json(status().decode()), media_type="application/json")

    if page is not None:
        _add_page(app, page)
    return app


def _add_page(app: FastAPI, page: Callable[[], PageData]) -> None:
    @app.get("/")
    def look(request: Request) -> HTMLResponse:
        from webhook.ops.page import HEADERS, parse_query, render  # noqa: PLC0415 - loads Jinja2, which few need

        return HTMLResponse(render(page(), parse_query(request.query_params)), headers=HEADERS)

    @app.get("/reasons")
    def explain() -> HTMLResponse:
        from webhook.ops.page import HEADERS, render_reasons  # noqa: PLC0415 - as above

        return HTMLResponse(render_reasons(), headers=HEADERS)
