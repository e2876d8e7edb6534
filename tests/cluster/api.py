"""A few requests to a server on loopback, over TLS, with the standard library: what the cluster itself needs.

The project's own client is not used: what is tested must not be part of the judge.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.cluster.errors import ClusterFailed
from tests.cluster.pki import Pair

TIMEOUT_SECONDS = 15.0
PROBE_SECONDS = 3.0
"""For a question that is asked again: who listens on the port may not be the one that was started."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its status and its body as text."""

    status: int
    text: str

    def json(self) -> dict[str, Any]:
        """Return the body as an object."""
        document: dict[str, Any] = json.loads(self.text)
        return document


class Api:
    """Requests with one client certificate or bearer token; thread-safe, one connection a request."""

    def __init__(self, url: str, ca: Path, client: Pair | None, token: str = "") -> None:
        self.url = url
        self.authorization = {"Authorization": f"Bearer {token}"} if token else {}
        address = urlsplit(url)
        self._host, self._port = address.hostname or "", address.port
        self._context = ssl.create_default_context(cafile=str(ca))
        if client is not None:
            self._context.load_cert_chain(client.certificate, client.key)

    def connect(self, timeout: float = TIMEOUT_SECONDS) -> http.client.HTTPConnection:
        """Return a connection for as many requests as one likes; of a bearer token it knows nothing."""
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._context)

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
        timeout: float = TIMEOUT_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request with a JSON body, if any, and return the answer whatever its status; OSError if none."""
        connection = self.connect(timeout)
        try:
            content = None if body is None else json.dumps(body).encode()
            sent = {"Content-Type": content_type, **self.authorization, **(headers or {})}
            connection.request(method, path, content, sent)
            response = connection.getresponse()
            return Answer(response.status, response.read().decode())
        except http.client.HTTPException as error:
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()

    def call(
        self, method: str, path: str, body: object = None, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """Send one request and return the object that came back; anything but 2xx is an error."""
        answer = self.request(method, path, body, content_type)
        if not 200 <= answer.status < 300:
            message = answer.json().get("message", "") if answer.text.startswith("{") else answer.text[:200]
            raise ClusterFailed(f"{method} {path}: {answer.status} {message}")
        return answer.json()

    def json_patch(self, path: str, operations: list[dict[str, Any]]) -> dict[str, Any]:
        """Apply an RFC 6902 patch to the object at ``path`` and return it."""
        return self.call("PATCH", path, operations, "application/json-patch+json")

    def answers(self, path: str) -> bool:
        """Whether a GET of that path is answered with 200."""
        try:
            return self.request("GET", path, timeout=PROBE_SECONDS).status == http.HTTPStatus.OK
        except OSError:
            return False
