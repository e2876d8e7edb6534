"""Prove the new content of a rotation at its registries, with each credential that has changed: log in, and pull."""

from __future__ import annotations

from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Protocol

from webhook.registries.login import Login, LoginResult
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE, parse_source
from webhook.rules.registry_key import covering_keys
from webhook.rules.rollout import Outcome
from webhook.sync.rollouts import ProofResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from webhook.rules.configuration import ProofSettings, PullSecret
    from webhook.rules.credential import Credential
    from webhook.rules.state_document import LastGood

TESTS_AT_ONCE = 8
"""A registry that does not answer takes 10 s, and the others must not wait for it."""

_SHOWN = 3
"""Registries or images that one sentence names."""


class Tester(Protocol):
    """Asks registries; blocks for 10 s at most."""

    def log_in(self, key: str, credential: Credential) -> LoginResult:
        """Return whether the registry of a key accepts a credential."""

    def pull(self, image: str, credentials: Mapping[str, Credential]) -> LoginResult:
        """Return whether a node with these credentials can pull an image."""


class RegistryProof:
    """Asks the registries; safe from any thread."""

    def __init__(self, registries: Tester) -> None:
        self._registries = registries

    def __call__(self, entry: PullSecret, base: LastGood | None, proposed: LastGood) -> ProofResult:
        """Return whether the registries accept what differs between the proposed content and the base.

        One refusal decides. Otherwise one registry that does not answer makes the outcome unknown.
        """
        if entry.rollout is None or entry.rollout.prove is None:
            return ProofResult(Outcome.PROVED)
        before = {} if base is None else _credentials(base)
        tests = list(self._tests(entry.rollout.prove, before, _credentials(proposed)))
        with ThreadPoolExecutor(TESTS_AT_ONCE, f"proof {entry.name}") as pool:
            results = list(pool.map(lambda test: test(), tests))
        for login, outcome in ((Login.REFUSED, Outcome.REFUSED), (Login.UNKNOWN, Outcome.UNKNOWN)):
            if reasons := [result.why for result in results if result.login is login]:
                return ProofResult(outcome, "; ".join(reasons[:_SHOWN]))
        return ProofResult(Outcome.PROVED)

    def _tests(
        self, settings: ProofSettings, before: Mapping[str, Credential], after: Mapping[str, Credential]
    ) -> Iterator[Callable[[], LoginResult]]:
        if settings.login:
            for key, credential in after.items():
                if before.get(key) != credential:
                    yield partial(self._registries.log_in, key, credential)
        for image in settings.pull:
            if _covering(before, image) != _covering(after, image):
                yield partial(self._pull, image, before, after)

    def _pull(self, image: str, before: Mapping[str, Credential], after: Mapping[str, Credential]) -> LoginResult:
        """Return whether a node can pull an image. A registry can answer 404 for what a credential may not see."""
        result = self._registries.pull(image, after)
        if not result.is_missing or not before or self._registries.pull(image, before).login is not Login.ACCEPTED:
            return result
        why = f"{image}: the registry shows it to the previous credential, and answers 404 to the new one"
        return LoginResult(Login.REFUSED, why)


def _covering(credentials: Mapping[str, Credential], image: str) -> list[tuple[str, Credential]]:
    return [(key, credentials[key]) for key in covering_keys(credentials, image)]


def _credentials(content: LastGood) -> Mapping[str, Credential]:
    return parse_source("", COPY_TYPE, {COPY_KEY: b64encode(content.payload).decode()}, {})
