"""Test whether a registry accepts a credential: ``GET /v2/``, then Basic or Bearer as the registry requests.

``docker login`` does the same. Images are not pulled, so pull limits do not count it. A credential is sent over TLS
only, to the registry that its key names and to the token service that this registry names. Redirects are not followed.
Messages never contain a credential or a token.

All requests to one registry have one time limit. A timeout on a socket bounds silence, but a peer that sends one byte a
second is never silent for long. The system resolves host names, within the limits of its resolver.

Source: RFC 9110, 11.6.1 (WWW-Authenticate), and https://distribution.github.io/distribution/spec/auth/token/.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from enum import StrEnum
from http.client import HTTPException
from typing import TYPE_CHECKING, Self
from urllib.parse import SplitResult, urlencode, urlsplit
from urllib.request import getproxies, parse_http_list, proxy_bypass

import msgspec
from urllib3 import PoolManager, ProxyManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError, SSLError

from webhook import __version__
from webhook.rules.images import DOCKER_HUB_ALIASES
from webhook.rules.registry_key import read_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

    from urllib3 import BaseHTTPResponse

    from webhook.rules.credential import Credential

logging.getLogger("urllib3.connection").setLevel(logging.ERROR)
"""urllib3 would log an unreadable head as a warning, with a traceback and with text from the peer."""


_RESET = struct.pack("ii", 1, 0)
"""Do not linger: closing drops the connection even if the peer goes on sending."""


class Exchange:
    """A context for requests. After ``seconds`` every connection is cut and new ones fail."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._handles: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._timer.join()
        for handle in self._handles:
            handle.close()

    @property
    def seconds_left(self) -> float:
        """Return the seconds until the deadline; zero or less when it has passed."""
        return self._deadline - time.monotonic()

    def pool(self, url: str, context: ssl.SSLContext) -> PoolManager:
        """Return a pool for requests. It uses the proxy from the environment, if there is one for that host."""
        proxies: Mapping[str, str] = getproxies()
        proxy = proxies.get("https") or proxies.get("all")
        if not proxy or proxy_bypass(urlsplit(url).netloc):
            pool = PoolManager(ssl_context=context)
        else:
            pool = ProxyManager(proxy, ssl_context=context)
        pool.pool_classes_by_scheme = self._pool_classes()
        return pool

    def connect(self, connection: HTTPConnection, host: str, port: int) -> socket.socket:
        """Return a socket connected to one of the host's addresses; it is cut at the deadline."""
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            cause = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
            raise NameResolutionError(host, connection, cause) from None
        for position, (family, kind, protocol, _, address) in enumerate(addresses):
            share = self.seconds_left / (len(addresses) - position)
            if share <= 0:
                break
            sock = socket.socket(family, kind, protocol)
            sock.settimeout(share)
            try:
                sock.connect(address)
            except OSError:
                sock.close()
                continue
            sock.settimeout(max(self.seconds_left, 0.001))
            self._watch(sock)
            return sock
        if self.seconds_left <= 0:
            raise ConnectTimeoutError(connection, "the time for the exchange is over")
        raise NewConnectionError(connection, "no address of it accepts a connection")

    def _pool_classes(self) -> dict[str, type[HTTPConnectionPool]]:
        exchange = self

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return exchange.connect(self, self._dns_host, self.port)

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return exchange.connect(self, self._dns_host, self.port)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        return {"http": PlainPool, "https": SecurePool}

    def _watch(self, sock: socket.socket) -> None:
        # TLS moves the socket into another object, but a duplicated handle still reaches the connection.
        with self._lock:
            self._handles.append(sock.dup())
            over = self.seconds_left <= 0
        if over:
            self._cut()

    def _cut(self) -> None:
        with self._lock:
            for handle in self._handles:
                with contextlib.suppress(OSError):  # the peer has already closed it
                    handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    handle.shutdown(socket.SHUT_RDWR)


_ITEM = re.compile(r"(?:([A-Za-z][A-Za-z0-9-]*)(?:\s+|$))?(?:([A-Za-z][\w-]*)\s*=\s*(.+))?", re.ASCII | re.DOTALL)
"""An item of the list: a scheme, a parameter, or a scheme with its first parameter."""

LONGEST_HEADER = 8192
"""In characters; a genuine challenge is shorter."""

LONGEST_REALM = 2048
_HTTPS_URL = re.compile(r"https://([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?([/?][!-~]*)?", re.IGNORECASE)
"""A URL of a host, without a user, in characters that every terminal and every parser reads alike."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """A scheme and its parameters; the scheme and the names of the parameters are in lower case."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Return the challenges of these header values, in order; unreadable ones are skipped."""
    return [challenge for header in headers if len(header) <= LONGEST_HEADER for challenge in _parse(header)]


def parse_realm(realm: str) -> SplitResult | None:
    """Return the https URL of a token service, or None, because a registry may send anything."""
    if len(realm) > LONGEST_REALM or _HTTPS_URL.fullmatch(realm) is None:
        return None
    try:
        found = urlsplit(realm)
        _ = found.port
    except ValueError:
        return None
    return found


def _parse(header: str) -> list[Challenge]:
    found: list[Challenge] = []
    for item in filter(None, map(_ITEM.fullmatch, parse_http_list(header))):
        scheme, name, value = item.groups()
        if scheme:
            found.append(Challenge(scheme.lower()))
        if name and found:
            is_quoted = len(value) > 1 and value[0] == value[-1] == '"'
            found[-1].parameters[name.lower()] = value[1:-1] if is_quoted else value
    return found


LOGIN_SECONDS = 10.0
"""Limit for all requests to one registry."""

DOCKER_HUB_HOST = "registry-1.docker.io"
"""The host on which Docker Hub serves the registry API."""

LARGEST_ANSWER = 64 * 1024
"""Bytes of an answer that are read; a token has a few thousand."""

CLIENT = "pull-secret-webhook"
OK, UNAUTHORIZED, FORBIDDEN = 200, 401, 403


class Login(StrEnum):
    """The result of a login."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """The host does not answer, or is not a registry."""


@dataclass(frozen=True, slots=True)
class LoginResult:
    """The result of a login, and a sentence about the registry."""

    login: Login
    why: str


class _Token(msgspec.Struct):
    token: str = ""
    access_token: str = ""


class _Answered(Exception):
    def __init__(self, login: Login, why: str) -> None:
        self.result = LoginResult(login, why)
        super().__init__(why)


class Registries:
    """Logs in to registries. ``ca_file`` adds authorities to those of the system (``SSL_CERT_FILE``)."""

    def __init__(self, ca_file: Path | None = None, seconds: float = LOGIN_SECONDS) -> None:
        self._seconds = seconds
        self._context = ssl.create_default_context()
        if ca_file is not None:
            self._context.load_verify_locations(cafile=ca_file)

    def log_in(self, key: str, credential: Credential) -> LoginResult:
        """Return whether the registry that a source's key names accepts a credential."""
        host = read_key(key).host.rstrip(":")
        if "*" in host:
            return LoginResult(Login.UNKNOWN, f"{key} stands for many registries, so it cannot be tested")
        if host in DOCKER_HUB_ALIASES:
            host = DOCKER_HUB_HOST
        with Exchange(self._seconds) as exchange:
            return _Flow(f"https://{host}/v2/", credential, self._context, exchange).log_in()


class _Flow:
    def __init__(self, url: str, credential: Credential, context: ssl.SSLContext, exchange: Exchange) -> None:
        self._url = url
        self._host = urlsplit(url).netloc
        self._basic = f"Basic {credential.auth}"
        self._context = context
        self._exchange = exchange

    def log_in(self) -> LoginResult:
        try:
            return self._log_in()
        except _Answered as answered:
            return answered.result

    def _log_in(self) -> LoginResult:
        status, _, challenges = self._get(self._url)
        if status == OK:
            return LoginResult(Login.UNKNOWN, f"{self._host} does not require a credential")
        if status != UNAUTHORIZED:
            return LoginResult(Login.UNKNOWN, f"{self._host} answers {status} instead of 200 or 401")
        by_scheme = {challenge.scheme: challenge for challenge in challenges}
        if "bearer" in by_scheme:
            return self._verdict(f"Bearer {self._token(by_scheme['bearer'])}")
        if "basic" in by_scheme:
            return self._verdict(self._basic)
        return LoginResult(Login.UNKNOWN, f"{self._host} offers neither Basic nor Bearer authentication")

    def _verdict(self, authorization: str) -> LoginResult:
        status, _, _ = self._get(self._url, authorization)
        if status == OK:
            return LoginResult(Login.ACCEPTED, f"{self._host} accepts it")
        if status in (UNAUTHORIZED, FORBIDDEN):
            return LoginResult(Login.REFUSED, f"{self._host} refuses it ({status})")
        return LoginResult(Login.UNKNOWN, f"{self._host} answers {status}")

    def _token(self, challenge: Challenge) -> str:
        realm = parse_realm(challenge.parameters.get("realm", ""))
        if realm is None:
            raise _Answered(Login.UNKNOWN, f"{self._host} names a token service that is not at an https URL")
        asked: dict[str, str] = {
            key: challenge.parameters[key] for key in ("service", "scope") if key in challenge.parameters
        }
        query = "&".join(filter(None, (realm.query, urlencode(asked | {"client_id": CLIENT}))))
        status, content, _ = self._get(realm._replace(query=query, fragment="").geturl(), self._basic)
        if status in (UNAUTHORIZED, FORBIDDEN):
            raise _Answered(Login.REFUSED, f"{self._host} refuses it ({status} from {realm.netloc})")
        token = _read_token(content) if status == OK else ""
        if not token:
            raise _Answered(Login.UNKNOWN, f"{realm.netloc}, the token service of {self._host}, answers {status}")
        return token

    def _get(self, url: str, authorization: str = "") -> tuple[int, bytes, list[Challenge]]:
        headers = {"User-Agent": f"{CLIENT}/{__version__}"}
        if authorization:
            headers["Authorization"] = authorization
        try:
            with self._exchange.pool(url, self._context) as pool:
                answer = self._answer(pool, url, headers)
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            raise _Answered(Login.UNKNOWN, self._failure(urlsplit(url).netloc, error)) from None
        if self._exchange.seconds_left <= 0:
            # A truncated head looks like a complete one.
            raise _Answered(Login.UNKNOWN, self._failure(urlsplit(url).netloc))
        return answer

    def _answer(self, pool: PoolManager, url: str, headers: dict[str, str]) -> tuple[int, bytes, list[Challenge]]:
        timeout = Timeout(total=max(self._exchange.seconds_left, 0.001))
        response = pool.request(
            "GET",
            url,
            headers=headers,
            timeout=timeout,
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,  # do not decompress
        )
        try:
            return response.status, response.read(LARGEST_ANSWER), _challenges(response)
        finally:
            response.close()
            if response.connection is not None:
                response.connection.close()

    def _failure(self, where: str, error: Exception | None = None) -> str:
        if self._exchange.seconds_left <= 0:
            return f"{where} took too long"
        if isinstance(error, SSLError):
            return f"{where} cannot be verified: {_reason(error)}"
        return f"{where} does not answer ({type(error).__name__})"


def _challenges(response: BaseHTTPResponse) -> list[Challenge]:
    return parse_challenges(response.headers.getlist("WWW-Authenticate"))


def _read_token(content: bytes) -> str:
    try:
        found = msgspec.json.decode(content, type=_Token)
    except msgspec.MsgspecError:
        return ""
    token = found.token or found.access_token
    return token if token.isascii() and token.isprintable() else ""


def _reason(error: SSLError) -> str:
    cause = error.args[0] if error.args else error
    return getattr(cause, "verify_message", "") or type(cause).__name__
