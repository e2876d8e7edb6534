"""Test whether a registry accepts a credential: ``GET /v2/``, then Basic or Bearer as the registry requests.

``docker login`` does the same. Images are not pulled, so pull limits do not count it. A credential is sent over TLS
only, to the registry that its key names and to the token service that this registry names. Redirects are not followed.
Messages never contain a credential or a token.

Source: RFC 9110, 11.6.1 (WWW-Authenticate), and https://distribution.github.io/distribution/spec/auth/token/.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from enum import StrEnum
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlencode, urlsplit
from urllib.request import parse_http_list

import msgspec
from urllib3 import Timeout
from urllib3.exceptions import HTTPError, SSLError

from webhook import __version__
from webhook.registries.exchange import Exchange
from webhook.rules.images import DOCKER_HUB_ALIASES
from webhook.rules.registry_key import read_key

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from urllib3 import BaseHTTPResponse, PoolManager

    from webhook.rules.credential import Credential

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
