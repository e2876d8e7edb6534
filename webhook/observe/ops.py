"""Define the application of the plain-HTTP port for operators and the kubelet; both roles serve it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from webhook.core.text import ascii_json
from webhook.observe.hosts import KnownHosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from webhook.observe.health import Health
    from webhook.observe.page_data import PageData


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
    document; ``page()`` returns the data for people at ``/``.
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
        from webhook.observe.page import render, wish_of  # noqa: PLC0415 - one role alone has it
        from webhook.observe.page_style import HEADERS  # noqa: PLC0415 - as above

        @app.get("/")
        def look(request: Request) -> HTMLResponse:
            return HTMLResponse(render(page(), wish_of(request.query_params)), headers=HEADERS)

    return app
