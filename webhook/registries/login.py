"""Test whether a registry accepts a credential: to log in, and to pull an image.

A login is ``GET /v2/``, as ``docker login`` sends it. A pull is ``HEAD`` of the manifest with the scope of the image's
repository, as containerd sends it first. No image is downloaded.

An image that a registry does not have (404) is unknown: the answer does not show whether the image does not exist, or
the registry hides its repository from this credential.

Source: containerd 2, core/remotes/docker/resolver.go (Resolve).
"""

from __future__ import annotations

import ssl
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from webhook.registries.exchange import Exchange
from webhook.registries.token_flow import (
    FORBIDDEN,
    MOST_REDIRECTS,
    OK,
    UNAUTHORIZED,
    TokenFlow,
    TokenRefused,
    Unanswered,
)
from webhook.rules.images import DOCKER_HUB, DOCKER_HUB_ALIASES, parse
from webhook.rules.registry_key import covering_keys, read_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from webhook.registries.token_flow import RegistryReply
    from webhook.rules.credential import Credential
    from webhook.rules.images import ImageReference

LOGIN_SECONDS = 10.0
"""Limit for all requests to one registry."""

DOCKER_HUB_HOST = "registry-1.docker.io"
"""The host on which Docker Hub serves the registry API."""

# As containerd: many registries answer 404 for a manifest of a type that the client does not accept.
_MANIFESTS = {
    "Accept": "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.oci.image.index.v1+json, */*"
}
_NOT_FOUND = 404


class Login(StrEnum):
    """The result of a test."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """The host does not answer, is not a registry, or does not have the image."""


class LoginResult(msgspec.Struct, frozen=True):
    """The result of a test, and a sentence about it without any part of a credential."""

    login: Login
    message: str
    is_missing: bool = False
    """True if the registry answers that it does not have the image."""


class AnonymousAccess(StrEnum):
    """The answer of a registry to a pull without a credential."""

    OPEN = "open"
    """It does not require a login, so nodes can pull with any credential, also with a wrong one."""
    PUBLIC = "public"
    """It gives a token to everyone who names no credential. A wrong credential is refused."""
    LOGIN = "login"
    """It requires a credential."""
    UNKNOWN = "unknown"


class AccessResult(msgspec.Struct, frozen=True):
    """The result of a pull without a credential, and a sentence about it; empty if it is possible."""

    access: AnonymousAccess
    message: str = ""


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
        # A credential must not be sent to a host that is guessed from a pattern.
        if "*" in host:
            return LoginResult(Login.UNKNOWN, f"{key} stands for many registries, so it cannot be tested")
        if host in DOCKER_HUB_ALIASES:
            host = DOCKER_HUB_HOST
        with Exchange(self._seconds) as exchange:
            try:
                return _log_in(TokenFlow(host, credential, self._context, exchange))
            except TokenRefused as refused:
                return LoginResult(Login.REFUSED, str(refused))
            except Unanswered as problem:
                return LoginResult(Login.UNKNOWN, str(problem))

    def pull(self, image: str, credentials: Mapping[str, Credential]) -> LoginResult:
        """Return whether a node with these credentials can pull an image.

        The kubelet tries each credential whose key covers the image, the most specific one first, and none if there is
        none. All requests together have the time limit of one registry.
        """
        reference = parse(image)
        keys = covering_keys(credentials, image)
        results = []
        with Exchange(self._seconds) as exchange:
            for key in keys or [""]:
                results.append(self._pull(reference, image, key, credentials.get(key), exchange))
                if results[-1].login is Login.ACCEPTED:
                    return results[-1]
        # Unknown before refused: the credential without an answer may be the one that works.
        return next((result for result in results if result.login is Login.UNKNOWN), results[0])

    def pull_with(self, image: str, key: str, credential: Credential) -> LoginResult:
        """Return whether a node can pull an image with this credential alone."""
        with Exchange(self._seconds) as exchange:
            return self._pull(parse(image), image, key, credential, exchange)

    def pull_without(self, image: str) -> AccessResult:
        """Return whether a node can pull an image without a credential, or even with a wrong one."""
        with Exchange(self._seconds) as exchange:
            try:
                answer = self._ask(parse(image), None, exchange)
            except TokenRefused as refused:
                return AccessResult(AnonymousAccess.LOGIN, str(refused))
            except Unanswered as problem:
                return AccessResult(AnonymousAccess.UNKNOWN, str(problem))
        # 200 after a challenge means that the token service gave an anonymous token.
        if answer.status == OK:
            return AccessResult(AnonymousAccess.PUBLIC if answer.is_challenged else AnonymousAccess.OPEN)
        is_refused = answer.status in (UNAUTHORIZED, FORBIDDEN)
        return AccessResult(
            AnonymousAccess.LOGIN if is_refused else AnonymousAccess.UNKNOWN, f"the registry answers {answer.status}"
        )

    def _pull(
        self, reference: ImageReference, image: str, key: str, credential: Credential | None, exchange: Exchange
    ) -> LoginResult:
        user = f"the credential for {key}" if key else "no credential covers it, and a pull without one"
        try:
            status, _ = self._ask(reference, credential, exchange)
        except TokenRefused as refused:
            return LoginResult(Login.REFUSED, f"{image}: {user} is refused: {refused}")
        except Unanswered as problem:
            return LoginResult(Login.UNKNOWN, f"{image}: {problem}")
        return _pulled(image, user, _host(reference), status)

    def _ask(self, reference: ImageReference, credential: Credential | None, exchange: Exchange) -> RegistryReply:
        """Return the answer to the request for a manifest."""
        flow, target = (
            TokenFlow(_host(reference), credential, self._context, exchange),
            reference.digest or reference.tag,
        )
        path, scope = f"/v2/{reference.path}/manifests/{target or 'latest'}", f"repository:{reference.path}:pull"
        return flow.request("HEAD", path, _MANIFESTS, scope, MOST_REDIRECTS)


def _host(reference: ImageReference) -> str:
    return DOCKER_HUB_HOST if reference.domain == DOCKER_HUB else reference.domain


def _log_in(flow: TokenFlow) -> LoginResult:
    status, is_challenged = flow.request("GET", "/v2/")
    # A registry that requires no login has not seen the credential, so its 200 does not prove it.
    if not is_challenged and status == OK:
        return LoginResult(Login.UNKNOWN, f"{flow.host} does not require a credential")
    if not is_challenged:
        return LoginResult(Login.UNKNOWN, f"{flow.host} answers {status} instead of 200 or 401")
    if status == OK:
        return LoginResult(Login.ACCEPTED, f"{flow.host} accepts it")
    if status in (UNAUTHORIZED, FORBIDDEN):
        return LoginResult(Login.REFUSED, f"{flow.host} refuses it ({status})")
    return LoginResult(Login.UNKNOWN, f"{flow.host} answers {status}")


def _pulled(image: str, user: str, host: str, status: int) -> LoginResult:
    if status == OK:
        return LoginResult(Login.ACCEPTED, f"{image} can be pulled")
    if status in (UNAUTHORIZED, FORBIDDEN):
        return LoginResult(Login.REFUSED, f"{image}: {user} is refused: {host} answers {status}")
    if status == _NOT_FOUND:
        text = f"{image}: {host} answers 404: it does not have the image, or hides it"
        return LoginResult(Login.UNKNOWN, text, is_missing=True)
    return LoginResult(Login.UNKNOWN, f"{image}: {host} answers {status}")
