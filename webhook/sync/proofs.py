"""Prove the new content of a rotation at its registries: log in with each credential that has changed."""

from __future__ import annotations

from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from webhook.registries.login import Login
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE, parse_source
from webhook.rules.rollout import Outcome
from webhook.sync.rollouts import ProofResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.registries.login import LoginResult
    from webhook.rules.configuration import PullSecret
    from webhook.rules.credential import Credential
    from webhook.rules.dockerconfig import Credentials
    from webhook.rules.state_document import LastGood

LOGINS_AT_ONCE = 8
"""A registry that does not answer takes 10 s, and the others must not wait for it."""


class RegistryProof:
    """Logs in with ``log_in(key, credential)``; safe from any thread."""

    def __init__(self, log_in: Callable[[str, Credential], LoginResult]) -> None:
        self._log_in = log_in

    def __call__(self, entry: PullSecret, base: LastGood | None, proposed: LastGood) -> ProofResult:
        """Return whether each registry accepts the proposed content, if its credential differs from that of the base.

        One refusal decides. Otherwise one registry that does not answer makes the outcome unknown.
        """
        before = {} if base is None else _credentials(base)
        changed = [(key, each) for key, each in _credentials(proposed).items() if before.get(key) != each]
        with ThreadPoolExecutor(LOGINS_AT_ONCE, f"login {entry.name}") as pool:
            results = list(pool.map(lambda pair: self._log_in(*pair), changed))
        for login, outcome in ((Login.REFUSED, Outcome.REFUSED), (Login.UNKNOWN, Outcome.UNKNOWN)):
            if reasons := [result.why for result in results if result.login is login]:
                return ProofResult(outcome, "; ".join(reasons[:_SHOWN]))
        return ProofResult(Outcome.PROVED)


_SHOWN = 3
"""Registries that one sentence names."""


def _credentials(content: LastGood) -> Credentials:
    return parse_source("", COPY_TYPE, {COPY_KEY: b64encode(content.payload).decode()}, {})
