"""A small honest registry: it speaks the token flow over TLS, and can be told to behave oddly."""

from __future__ import annotations

import json
import ssl
import threading
import time
from base64 import b64encode
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from webhook.rules.credential import Credential

USER, PASSWORD = "robot", "s3cret"
GOOD, BAD = Credential(USER, PASSWORD), Credential(USER, "old")
TOKEN = "a-token"  # noqa: S105 (invented)
ACCEPTED = f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"


@dataclass
class Behaviour:
    """What it asks for, and how it misbehaves."""

    scheme: str = "bearer"
    status: int = 0
    """Answered to everything, if any."""
    realm: str = ""
    """Another than its own token service."""
    token: bytes = json.dumps({"token": TOKEN}).encode()
    drip: bool = False
    """Send a byte every now and then."""
    location: str = ""
    manifests: frozenset[str] = frozenset({"/v2/team/app/manifests/1", "/v2/team/base/manifests/1"})
    denied: frozenset[str] = frozenset()
    """Repositories that the user may not pull from."""
    users: Mapping[str, frozenset[str]] = field(default_factory=lambda: {ACCEPTED: frozenset()})
    """Each Authorization that is accepted, and further repositories that it may not pull from."""
    delay: float = 0.0
    """Seconds until the token service answers."""
    moved: str = ""
    """The URL of a host that has the manifests."""
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    """Host, path and Authorization of each request."""
    answered_at: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    """By Authorization: the times, of the monotonic clock, and the statuses of the answers of the token service."""


def authorization_of(password: str) -> str:
    """Return the header of a user with this password."""
    return f"Basic {b64encode(f'{USER}:{password}'.encode()).decode()}"


class Registry(ThreadingHTTPServer):
    """Serves on a port of loopback, a free one unless it is given, until it is closed."""

    daemon_threads = True

    def __init__(self, certificate: Path, port: int = 0, behaviour: Behaviour | None = None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.behaviour = behaviour or Behaviour()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def key(self) -> str:
        """The registry as a credential names it."""
        return f"127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that do not trust the certificate."""


class _Handler(BaseHTTPRequestHandler):
    server: Registry
    timeout = 10

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        behaviour = self.server.behaviour
        authorization = self.headers.get("Authorization", "")
        behaviour.seen.append((self.headers.get("Host", ""), self.path, authorization))
        if behaviour.drip:
            self._drip()
        elif behaviour.status:
            self._answer(behaviour.status, {"Location": behaviour.location} if behaviour.location else {})
        elif urlsplit(self.path).path == "/token":
            self._token(authorization)
        elif self.path != "/v2/":
            self._answer(404)
        elif behaviour.scheme == "none" or self._is_known(authorization, f"Bearer {TOKEN}"):
            self._answer(200)
        else:
            self._answer(401, {"WWW-Authenticate": self._challenge()})

    def do_HEAD(self) -> None:
        behaviour, authorization = self.server.behaviour, self.headers.get("Authorization", "")
        behaviour.seen.append((self.headers.get("Host", ""), self.path, authorization))
        repository = self.path.removeprefix("/v2/").partition("/manifests/")[0]
        if behaviour.status:
            self._answer(behaviour.status)
        elif behaviour.scheme != "none" and not self._is_known(authorization, f"Bearer {TOKEN}-{repository}"):
            self._answer(401, {"WWW-Authenticate": self._challenge(repository)})
        elif repository in behaviour.denied:
            self._answer(403)
        elif behaviour.moved:
            self._answer(307, {"Location": f"{behaviour.moved}{self.path}"})
        else:
            self._answer(200 if self.path in behaviour.manifests else 404)

    def _is_known(self, authorization: str, bearer: str) -> bool:
        behaviour = self.server.behaviour
        return authorization in behaviour.users if behaviour.scheme == "basic" else authorization == bearer

    def _challenge(self, repository: str = "") -> str:
        behaviour = self.server.behaviour
        if behaviour.scheme != "bearer":
            return f'{behaviour.scheme.capitalize()} realm="a registry"'
        realm = behaviour.realm or f"https://{self.server.key}/token"
        scope = f',scope="repository:{repository}:pull"' if repository else ""
        return f'Bearer realm="{realm}",service="registry"{scope}'

    def _token(self, authorization: str) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        assert asked["service"] == ["registry"]
        behaviour = self.server.behaviour
        time.sleep(behaviour.delay)
        denied = behaviour.users.get(authorization)
        body = behaviour.token
        if "scope" in asked and denied is not None:
            kind, name, action = asked["scope"][0].split(":")
            assert (kind, action, len(asked["scope"])) == ("repository", "pull", 1)
            granted = "" if name in denied | behaviour.denied else f"-{name}"
            body = json.dumps({"token": f"{TOKEN}{granted}"}).encode()
        status = 401 if denied is None else 200
        behaviour.answered_at[authorization].append((time.monotonic(), status))
        self._answer(status, body=body)

    def _answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"{}") -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _drip(self) -> None:
        self.wfile.write(b"HTTP/1.1 401 Unauthorized\r\nX-Slow: ")
        for _ in range(200):
            self.wfile.write(b"X")
            time.sleep(0.05)
