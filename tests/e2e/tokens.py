"""A token service as the registries of clouds have one: it refuses its credentials from the second of their expiry.

A registry sends each client here (the token authentication of Docker registries), and the client exchanges its
credential for a short token that the registry accepts. The registry grants such a token a minute more than it is valid,
so it cannot judge lifetimes of seconds. This service can, and clients come here for each pull.

Source: https://distribution.github.io/distribution/spec/auth/token/ and .../spec/auth/jwt/.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import ssl
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.cluster.pki import Pair
from tests.providers.answering import JsonHandler
from tests.providers.signer import Signer

USER = "renewed"
ISSUER, SERVICE = "tokens.test", "registry.test"
_BEARER_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Login:
    """One use of a credential: its number, when it expires, when it was used (Unix seconds), whether it was valid."""

    number: int
    expires: float
    at: float
    accepted: bool


class TokenService:
    """Issues credentials with a lifetime of seconds over TLS, and remembers each use; runs in threads."""

    def __init__(self, host: str, address: str, port: int, pair: Pair, lifetime: float) -> None:
        self.lifetime = lifetime
        self.logins: list[Login] = []
        self.denied: set[tuple[str, str]] = set()
        """Credentials, each with a repository that it may not pull from."""
        self.revoked: set[str] = set()
        self.url = f"https://{host}:{port}"
        self._key = secrets.token_bytes()
        self._signer = Signer(pair)
        self._issued = 0
        self._lock = threading.Lock()
        self._server = _Server((address, port), self)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, name="tokens", daemon=True).start()

    def close(self) -> None:
        """Stop to listen."""
        self._server.shutdown()
        self._server.server_close()

    def issue(self, lifetime: float | None = None) -> str:
        """Return the password of a new credential of `USER`, valid for so many seconds."""
        with self._lock:
            self._issued += 1
            signed = f"{self._issued}.{time.time() + (lifetime or self.lifetime):.3f}"
        return f"{signed}.{self._mac(signed)}"

    def log_in(self, user: str, password: str) -> bool:
        """Return whether this is a credential of this service that has not expired."""
        signed, _, mac = password.rpartition(".")
        number, _, expires = signed.partition(".")
        if user != USER or password in self.revoked or not hmac.compare_digest(mac, self._mac(signed)):
            return False
        now = time.time()
        self.logins.append(Login(int(number), float(expires), now, now < float(expires)))
        return now < float(expires)

    def grant(self, user: str, password: str, scopes: list[str]) -> str | None:
        """Return a token of the registry for a credential; None if the credential is refused."""
        return self.bearer(password, scopes) if self.log_in(user, password) else None

    def bearer(self, password: str, scopes: list[str]) -> str:
        """Return a token for those of the scopes, such as ``repository:team/app:pull``, that a credential has."""
        access = [
            {"type": kind, "name": name, "actions": actions.split(",")}
            for kind, name, actions in (scope.split(":") for scope in scopes)
            if (password, name) not in self.denied
        ]
        now = int(time.time())
        times = {"iat": now, "nbf": now, "exp": now + _BEARER_SECONDS}
        names = {"iss": ISSUER, "aud": SERVICE, "sub": USER, "jti": secrets.token_hex()}
        return self._signer.sign({**names, **times, "access": access})

    def _mac(self, signed: str) -> str:
        return hmac.digest(self._key, signed.encode(), "sha256").hex()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], tokens: TokenService) -> None:
        super().__init__(address, _Handler)
        self.tokens = tokens


class _Handler(JsonHandler):
    server: _Server

    def do_GET(self) -> None:  # noqa: N802 (as in the base class)
        """Issue a credential to a provider, or exchange one for a token of the registry, as Docker does it."""
        tokens, url = self.server.tokens, urlsplit(self.path)
        if url.path == "/credential":
            answer = {"username": USER, "password": tokens.issue(), "seconds": tokens.lifetime}
            self.answer(HTTPStatus.OK, answer)
            return
        basic = self.headers.get("Authorization", "").removeprefix("Basic ")
        user, _, password = base64.b64decode(basic).partition(b":")
        self._exchange(user.decode(), password.decode(), parse_qs(url.query).get("scope", []), "token")

    def do_POST(self) -> None:  # noqa: N802 (as in the base class)
        """Exchange a credential as OAuth does it, which containerd tries first."""
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        (user,), (password,) = form.get("username", [""]), form.get("password", [""])
        scopes = [scope for each in form.get("scope", []) for scope in each.split()]
        self._exchange(user, password, scopes, "access_token")

    def _exchange(self, user: str, password: str, scopes: list[str], field: str) -> None:
        token = self.server.tokens.grant(user, password, scopes)
        if token is None:
            self.answer(HTTPStatus.UNAUTHORIZED, {"details": "the credential is unknown or has expired"})
        else:
            self.answer(HTTPStatus.OK, {field: token, "expires_in": _BEARER_SECONDS})


class Accounts(TokenService):
    """Lets accounts in, each to repositories with one of its prefixes, and everyone to the public ones.

    As at Docker Hub, somebody without a credential gets a token, and somebody with a wrong one does not.
    """

    def __init__(self, host: str, address: str, port: int, pair: Pair, public: str) -> None:
        self._accounts: dict[tuple[str, str], str] = {}
        self._public = public
        super().__init__(host, address, port, pair, 0)

    def add(self, user: str, password: str, prefix: str = "") -> None:
        """Let an account in."""
        self._accounts[user, password] = prefix

    def remove(self, user: str, password: str) -> None:
        """Refuse an account from now on."""
        del self._accounts[user, password]

    def grant(self, user: str, password: str, scopes: list[str]) -> str | None:
        """Return a token for the repositories that the account may pull."""
        if user and (user, password) not in self._accounts:
            return None
        prefixes = (self._public, *([self._accounts[user, password]] if user else []))
        return self.bearer(password, [scope for scope in scopes if scope.split(":")[1].startswith(prefixes)])
