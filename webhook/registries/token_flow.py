"""Send a request to a registry with a credential as the registry requests it: Basic, or Bearer with a token.

A credential is sent over TLS only, to the registry and to the token service that this registry names. A token is sent
to the registry only. A redirect to another host is followed without both. Messages never contain a credential or a
token.

containerd requests a token by POST first, and by GET if the token service answers 400, 401, 404 or 405. This module
uses GET only.

Sources: RFC 9110, 11.6.1 (WWW-Authenticate); https://distribution.github.io/distribution/spec/auth/token/; containerd
2, core/remotes/docker (authorizer.go; resolver.go: CheckRedirect, at most 10).
"""

from __future__ import annotations

import re
from http.client import HTTPException
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit
from urllib.request import parse_http_list

import msgspec
from urllib3 import Timeout
from urllib3.exceptions import HTTPError, SSLError

from webhook import __version__
from webhook.rules.decoding import NOT_DECODED

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping

    from urllib3 import BaseHTTPResponse, PoolManager

    from webhook.registries.exchange import Exchange
    from webhook.rules.credential import Credential

_ITEM = re.compile(r"(?:([A-Za-z][A-Za-z0-9-]*)(?:\s+|$))?(?:([A-Za-z][\w-]*)\s*=\s*(.+))?", re.ASCII | re.DOTALL)
"""An item of the list: a scheme, a parameter, or a scheme with its first parameter."""

LONGEST_HEADER = 8192
"""In characters; a genuine challenge is shorter."""

LONGEST_REALM = 2048
_HTTPS_URL = re.compile(r"https://([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?([/?][!-~]*)?", re.IGNORECASE)
"""A URL of a host, without a user, in characters that every terminal and every parser reads alike."""


class Challenge(msgspec.Struct, frozen=True):
    """A scheme and its parameters; the scheme and the names of the parameters are in lower case."""

    scheme: str
    parameters: dict[str, str] = msgspec.field(default_factory=dict)


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Return the challenges of these header values, in order; unreadable ones are skipped."""
    return [challenge for header in headers if len(header) <= LONGEST_HEADER for challenge in _parse(header)]


def parse_realm(realm: str) -> SplitResult | None:
    """Return the https URL of a token service, or None, because a registry may send anything."""
    if len(realm) > LONGEST_REALM or _HTTPS_URL.fullmatch(realm) is None:
        return None
    try:
        # urlsplit reads the port only on access, and raises ValueError above 65535.
        url = urlsplit(realm)
        _ = url.port
    except ValueError:
        return None
    return url


def _parse(header: str) -> list[Challenge]:
    challenges: list[Challenge] = []
    for item in filter(None, map(_ITEM.fullmatch, parse_http_list(header))):
        scheme, name, value = item.groups()
        # RFC 9110, 11.6.1: commas separate both challenges and parameters, so a parameter belongs to the last scheme.
        if scheme:
            challenges.append(Challenge(scheme.lower()))
        if name and challenges:
            is_quoted = len(value) > 1 and value[0] == value[-1] == '"'
            challenges[-1].parameters[name.lower()] = value[1:-1] if is_quoted else value
    return challenges


LARGEST_ANSWER = 64 * 1024
"""Bytes of an answer that are read; a token has a few thousand."""

MOST_REDIRECTS = 5

CLIENT = "pull-secret-webhook"
OK, UNAUTHORIZED, FORBIDDEN = 200, 401, 403
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
NO_HEADERS: Mapping[str, str] = {}


class Unanswered(Exception):
    """No answer decides. The message is a sentence about the registry."""


class TokenRefused(Exception):
    """The token service refuses the credential. The message is a sentence about the registry."""


class RegistryReply(NamedTuple):
    """The status of an answer, and True if the registry requested authentication first."""

    status: int
    is_challenged: bool


class _Response(NamedTuple):
    status: int
    content: bytes
    challenges: list[Challenge]
    location: str
    host: str


class _Token(msgspec.Struct):
    token: str = ""
    access_token: str = ""


class TokenFlow:
    """Requests to one registry with one credential, or without any, in the time of an exchange."""

    def __init__(self, host: str, credential: Credential | None, context: ssl.SSLContext, exchange: Exchange) -> None:
        self.host = host
        self._basic = "" if credential is None else f"Basic {credential.auth}"
        self._context = context
        self._exchange = exchange

    def request(
        self, method: str, path: str, headers: Mapping[str, str] = NO_HEADERS, scope: str = "", redirects: int = 0
    ) -> RegistryReply:
        """Return the answer to a request, after authentication if the registry requests that.

        ``scope`` is requested of a token service in addition to the scopes that the registry names.

        Raises:
            TokenRefused: the token service refuses the credential.
            Unanswered: there is no answer, or none that can be used.
        """
        url = f"https://{self.host}{path}"
        first = self._send(method, url, headers, "", redirects)
        if first.status != UNAUTHORIZED:
            return RegistryReply(first.status, is_challenged=False)
        # A 401 of another host is not about the credential, which is not sent there.
        if first.host != self.host:
            raise Unanswered(f"{self.host} redirects to {first.host}, which requires another credential")
        by_scheme = {challenge.scheme: challenge for challenge in first.challenges}
        if "bearer" in by_scheme:
            authorization = f"Bearer {self._token(by_scheme['bearer'], scope)}"
        elif "basic" in by_scheme:
            authorization = self._basic
        else:
            raise Unanswered(f"{self.host} offers neither Basic nor Bearer authentication")
        if not authorization:
            return RegistryReply(UNAUTHORIZED, is_challenged=True)
        second = self._send(method, url, headers, authorization, redirects)
        if second.host != self.host and second.status in (UNAUTHORIZED, FORBIDDEN):
            raise Unanswered(f"{self.host} redirects to {second.host}, which requires another credential")
        return RegistryReply(second.status, is_challenged=True)

    def _token(self, challenge: Challenge, scope: str) -> str:
        realm = parse_realm(challenge.parameters.get("realm", ""))
        if realm is None:
            raise Unanswered(f"{self.host} names a token service that is not at an https URL")
        service = [("service", challenge.parameters["service"])] if "service" in challenge.parameters else []
        # Both scopes, because a registry may name none, or only a part of what a pull needs.
        scopes = dict.fromkeys(filter(None, (challenge.parameters.get("scope", ""), scope)))
        parameters = urlencode([*service, *(("scope", scope_value) for scope_value in scopes), ("client_id", CLIENT)])
        query = "&".join(filter(None, (realm.query, parameters)))
        url = realm._replace(query=query, fragment="").geturl()
        response = self._send("GET", url, NO_HEADERS, self._basic, 0)
        # Only these two are about the credential. Other codes, such as 429, may be over a moment later.
        if response.status in (UNAUTHORIZED, FORBIDDEN):
            raise TokenRefused(f"{self.host} refuses it ({response.status} from {realm.netloc})")
        token = _read_token(response.content) if response.status == OK else ""
        if not token:
            raise Unanswered(f"{realm.netloc}, the token service of {self.host}, answers {response.status}")
        return token

    def _send(self, method: str, url: str, headers: Mapping[str, str], authorization: str, redirects: int) -> _Response:
        """Return the response, or the one at the end of so many redirects."""
        response = self._send_once(method, url, headers, authorization)
        for _ in range(redirects):
            if response.status not in _REDIRECTS:
                break
            target = _target(url, response.location)
            if target is None:
                raise Unanswered(f"{response.host} redirects to a place that is not an https URL")
            # A token is for the registry. The peer that it redirects to, such as a storage, must not see it.
            kept = authorization if urlsplit(target).netloc == self.host else ""
            response, url = self._send_once(method, target, headers, kept), target
        return response

    def _send_once(self, method: str, url: str, headers: Mapping[str, str], authorization: str) -> _Response:
        sent = {"User-Agent": f"{CLIENT}/{__version__}", **headers}
        if authorization:
            sent["Authorization"] = authorization
        host = urlsplit(url).netloc
        try:
            with self._exchange.pool(url, self._context) as pool:
                answer = self._answer(pool, method, url, sent)
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            raise Unanswered(self._failure(host, error)) from None
        if self._exchange.seconds_left <= 0:
            # A truncated head looks like a complete one.
            raise Unanswered(self._failure(host))
        return answer

    def _answer(self, pool: PoolManager, method: str, url: str, headers: dict[str, str]) -> _Response:
        # urllib3 raises ValueError for a timeout of 0 or less.
        timeout = Timeout(total=max(self._exchange.seconds_left, 0.001))
        response = pool.request(
            method,
            url,
            headers=headers,
            timeout=timeout,
            retries=False,
            redirect=False,
            preload_content=False,
            # A few kilobytes of gzip can become gigabytes.
            decode_content=False,
        )
        try:
            content, location = response.read(LARGEST_ANSWER), response.headers.get("Location") or ""
            return _Response(response.status, content, _challenges(response), location, urlsplit(url).netloc)
        finally:
            # Closed and not kept: the peer may still send, and the pool ends with this request.
            response.close()
            if response.connection is not None:
                response.connection.close()

    def _failure(self, host: str, error: Exception | None = None) -> str:
        if self._exchange.seconds_left <= 0:
            return f"{host} took too long"
        if isinstance(error, SSLError):
            return f"{host} cannot be verified: {_reason(error)}"
        return f"{host} does not answer ({type(error).__name__})"


def _target(url: str, location: str) -> str | None:
    """Return the https URL of a redirect, or None, because a registry may send anything."""
    if not location or len(location) > LONGEST_REALM:
        return None
    try:
        target = parse_realm(urljoin(url, location))
    except ValueError:
        return None
    return None if target is None else target.geturl()


def _challenges(response: BaseHTTPResponse) -> list[Challenge]:
    return parse_challenges(response.headers.getlist("WWW-Authenticate"))


def _read_token(content: bytes) -> str:
    try:
        body = msgspec.json.decode(content, type=_Token)
    except NOT_DECODED:
        return ""
    # The specification allows access_token as well, for compatibility with OAuth 2.0.
    token = body.token or body.access_token
    # The registry chooses this text, and it becomes a header of the next request.
    return token if token.isascii() and token.isprintable() else ""


def _reason(error: SSLError) -> str:
    # urllib3 wraps the exception of ssl, which has the reason as verify_message.
    cause = error.args[0] if error.args else error
    return getattr(cause, "verify_message", "") or type(cause).__name__
