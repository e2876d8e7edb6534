"""Define the application of the admission port: FastAPI, with the hot path ahead of its router."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from webhook.admission.endpoint import MUTATE_PATH

if TYPE_CHECKING:
    from fastapi import Request
    from starlette.types import Receive, Scope, Send

    from webhook.admission.endpoint import MutateEndpoint


class AdmissionApp(FastAPI):
    """Serves ``/mutate`` and no other path.

    Requests to ``/mutate`` go straight to the endpoint. FastAPI's middleware and router would take two thirds of the
    time of a request, and an admission review does not need them.
    """

    def __init__(self, mutate: MutateEndpoint) -> None:
        super().__init__(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
        self.add_exception_handler(404, _not_found)
        self.mutate = mutate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] == "http" and scope["path"] == MUTATE_PATH:
            await self.mutate(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


async def _not_found(_request: Request, _error: Exception) -> PlainTextResponse:
    return PlainTextResponse("not found\n", status_code=404, headers={"connection": "close"})
