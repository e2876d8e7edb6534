"""A few requests to a server on loopback, over TLS, with the standard library: what the cluster itself needs.

The project's own client is not used: what is tested must not be part of the judge.
"""

from __future__ import annotations

import http.client
import json
import ssl
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.cluster.errors import ClusterFailed
from tests.cluster.pki import Pair

TIMEOUT_SECONDS = 15.0
MOST_IDLE = 4
"""Connections that are kept for the next looks."""

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


def _exchange(
    connection: http.client.HTTPConnection, method: str, path: str, content: bytes | None, headers: Mapping[str, str]
) -> Answer:
    connection.request(method, path, content, headers)
    response = connection.getresponse()
    return Answer(response.status, response.read().decode())


def _close_all(connections: deque[http.client.HTTPConnection]) -> None:
    for connection in connections:
        connection.close()


class Api:
    """Requests with one client certificate or bearer token; thread-safe."""

    def __init__(self, url: str, ca: Path, client: Pair | None, token: str = "") -> None:
        self.url = url
        self.authorization = {"Authorization": f"Bearer {token}"} if token else {}
        address = urlsplit(url)
        self._host, self._port = address.hostname or "", address.port
        self._context = ssl.create_default_context(cafile=str(ca))
        if client is not None:
            self._context.load_cert_chain(client.certificate, client.key)
        self._idle: deque[http.client.HTTPConnection] = deque()
        weakref.finalize(self, _close_all, self._idle)

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
        content = None if body is None else json.dumps(body).encode()
        sent = {"Content-Type": content_type, **self.authorization, **(headers or {})}
        if method == "GET" and (answer := self._request_again(path, sent, timeout)) is not None:
            return answer
        connection = self.connect(timeout)
        try:
            answer = _exchange(connection, method, path, content, sent)
        except http.client.HTTPException as error:
            connection.close()
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        except OSError:
            connection.close()
            raise
        self._keep(connection)
        return answer

    def _request_again(self, path: str, headers: Mapping[str, str], timeout: float) -> Answer | None:
        """Send a GET on a connection that is open already; None if there is none, or if it has been closed meanwhile.

        Most requests look at something until it is as it should be, and a handshake takes more than such a request.
        """
        try:
            connection = self._idle.pop()
        except IndexError:
            return None
        try:
            if connection.sock is None:
                return None
            connection.sock.settimeout(timeout)
            answer = _exchange(connection, "GET", path, None, headers)
        except TimeoutError:
            connection.close()
            raise
        except (OSError, http.client.HTTPException):
            connection.close()
            return None
        self._keep(connection)
        return answer

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        if len(self._idle) < MOST_IDLE:
            self._idle.append(connection)
        else:
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
