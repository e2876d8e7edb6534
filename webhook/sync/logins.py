"""Test regularly that the credentials of the sources log in, and test a new one before it replaces an old one.

Off by default, because it sends credentials from sync to registries. A refused credential is reported, and no copy is
removed because of it. A new credential is held back only if the registry refuses it and still accepts the previous one.
So a typing error breaks no node.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from webhook.errors import SourceInvalid
from webhook.registries.login import Login
from webhook.rules.credential import SourceReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from webhook.registries.login import LoginResult
    from webhook.rules.credential import Credential
    from webhook.rules.dockerconfig import Credentials
    from webhook.sync.source import Source

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RefusedLogin:
    """A credential that its registry refuses, and a sentence about it."""

    source: str
    registry: str
    why: str


class LoginTester:
    """Tests credentials with ``log_in(key, credential)``; safe from any thread.

    ``on_refused(refused)`` is called once for each credential that a registry refuses.
    """

    def __init__(
        self,
        log_in: Callable[[str, Credential], LoginResult],
        on_refused: Callable[[RefusedLogin], None] = lambda _: None,
    ) -> None:
        self._log_in = log_in
        self.on_refused = on_refused
        self._lock = threading.Lock()
        self._copied: dict[str, Credentials] = {}
        self._held: dict[str, Source] = {}
        self._refused: dict[tuple[str, str], RefusedLogin] = {}

    def judge(self, source: Source) -> Source:
        """Return a changed source, with a problem in place of credentials that must not be copied."""
        if source.credentials is None:
            return source
        before = self._copied.get(source.name)
        registry = None if before is None else self._newly_refused(source.credentials, before)
        if registry is None:
            return source
        message = (
            f'source Secret "{source.name}": {registry} refuses its new credential, and still accepts the previous '
            "one: correct it"
        )
        problem = SourceInvalid(SourceReason.CREDENTIAL_REFUSED, message)
        return replace(source, credentials=None, problem=problem)

    def remember(self, source: Source, judged: Source) -> None:
        """Remember the credentials of a source that are copied from now on, or that they are held."""
        if judged.credentials is not None:
            self._copied[source.name] = judged.credentials
        if judged.credentials is source.credentials:
            self._held.pop(source.name, None)
        else:
            self._held[source.name] = source

    def refused(self, source: str) -> list[str]:
        """Return the registries that refused the credential of a source at the last test."""
        with self._lock:
            return sorted(login.registry for login in self._refused.values() if login.source == source)

    def held(self) -> list[Source]:
        """Return the sources that were held; the registry may accept them by now."""
        return list(self._held.values())

    def test_all(self, sources: Iterable[Source], may_continue: Callable[[], bool]) -> None:
        """Test each credential of each source, while ``may_continue()``."""
        refused_now: dict[tuple[str, str], RefusedLogin] = {}
        for source in sources:
            for key, credential in (source.credentials or {}).items():
                if not may_continue():
                    return
                result = self._log_in(key, credential)
                log.debug("login tried", source=source.name, registry=key, result=result.login.value, cause=result.why)
                if result.login is Login.REFUSED:
                    refused_now[source.name, key] = RefusedLogin(source.name, key, result.why)
        with self._lock:
            before, self._refused = self._refused, refused_now
        for name, refused in refused_now.items():
            if name not in before:
                self.on_refused(refused)

    def _newly_refused(self, credentials: Credentials, before: Credentials) -> str | None:
        """Return a registry that refuses the new credential and accepts the previous one; None if there is none."""
        for key, credential in credentials.items():
            previous = before.get(key)
            if previous is None or previous == credential:
                continue
            if (
                self._log_in(key, credential).login is Login.REFUSED
                and self._log_in(key, previous).login is Login.ACCEPTED
            ):
                return key
        return None
