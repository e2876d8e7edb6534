"""Test the content of each rollout while it is tried: ask its registries, and look at the Pods of the canary.

Each test runs in a thread of its own, because a registry can take a minute, and is repeated while its outcome matters.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

import structlog

from webhook.rules.rollout import Outcome, Rollout, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from webhook.rules.configuration import PullSecret
    from webhook.rules.pulls import PullFailure
    from webhook.rules.state_document import LastGood

log = structlog.get_logger(__name__)

PROOF_SECONDS = 30.0
"""Seconds between two proofs of a content that is in the canary or held."""

LOOK_SECONDS = 3.0
"""Seconds between two looks at the Pods of the canary. A node reports the cause of a failed pull for about 10 s, and
older nodes report none while they wait for the next attempt."""

T = TypeVar("T")


class ProofResult(NamedTuple):
    """The outcome of a proof, and a sentence about it without any part of a credential."""

    outcome: Outcome
    detail: str = ""


class Prove(Protocol):
    """Asks the registries about a content."""

    def __call__(self, entry: PullSecret, base: LastGood | None, proposed: LastGood) -> ProofResult:
        """Return the outcome of a proof. It may take a minute."""


class PodsSeen(NamedTuple):
    """One look at the Pods of the canary namespaces whose copy has the proposed content."""

    refused: tuple[PullFailure, ...] = ()
    """Pulls with the content that a registry refuses, in order."""
    watched: int = 0
    """Namespaces whose Pods were read."""
    forbidden: tuple[str, ...] = ()
    """Namespaces whose Pods this process lacks the right to read."""
    is_partial: bool = False
    """True if a read failed for another cause, so that the look has to be repeated."""


class LookAtPods(Protocol):
    """Reads the Pods of the canary."""

    def __call__(self, entry: PullSecret, base: LastGood | None, proposed: LastGood) -> PodsSeen:
        """Return what the Pods report about pulls with the proposed content."""


class RolloutTests:
    """The tests that run, by pull secret; not safe to use from several threads."""

    def __init__(
        self,
        prove: Prove | None,
        look_at_pods: LookAtPods | None,
        monotonic: Callable[[], float],
        ended: Callable[[], None],
    ) -> None:
        self._prove = prove
        self._look_at_pods = look_at_pods
        self._monotonic = monotonic
        self._ended = ended
        self._proofs: dict[str, _Test[ProofResult]] = {}
        self._looks: dict[str, _Test[PodsSeen]] = {}

    def keep(self, names: Collection[str]) -> None:
        """Forget the tests of all pull secrets but these."""
        for tests in (self._proofs, self._looks):
            for name in set(tests).difference(names):
                tests.pop(name)

    def start(self, entry: PullSecret, state: Rollout, base: LastGood | None, proposed: LastGood | None) -> None:
        """Start the tests of a content that are due."""
        if proposed is not None:
            self._start_proof(entry, state, base, proposed)
            self._start_look(entry, state, base, proposed)

    def proof(self, name: str, state: Rollout) -> ProofResult | None:
        """Return the outcome of a proof of the proposed content once; None without one."""
        proof = self._proofs.get(name)
        # The result about a content that was replaced meanwhile is taken, too: the next proof begins after that.
        if proof is None or (result := proof.take()) is None or proof.content != state.proposed:
            return None
        return result

    def pods(self, name: str, state: Rollout) -> PodsSeen | None:
        """Return what the last look at the Pods has seen in this stage of the content; None before its end."""
        look = self._looks.get(name)
        return None if look is None or (look.stage, look.content) != (state.stage, state.proposed) else look.last

    def _start_proof(self, entry: PullSecret, state: Rollout, base: LastGood | None, proposed: LastGood) -> None:
        proof, now = self._proofs.get(entry.name), self._monotonic()
        if self._prove is None or entry.rollout is None or entry.rollout.prove is None or not state.needs_proof:
            self._proofs.pop(entry.name, None)
            return
        if proof is not None and (proof.is_running or proof.has_result):
            return
        pause = min(PROOF_SECONDS, max(1.0, entry.rollout.soak / 3))
        # A new content, and the start and the canary of one that was held, need an outcome of their own.
        if (
            proof is not None
            and proof.content == state.proposed
            and state.stage in (proof.stage, Stage.HELD)
            and now - proof.began < pause
        ):
            return
        failed = ProofResult(Outcome.UNKNOWN, "the proof ended with an internal error: look at the log")
        run = partial(self._prove, entry, base, proposed)
        self._proofs[entry.name] = _Test(f"proof {entry.name}", run, failed, state, now, self._ended)

    def _start_look(self, entry: PullSecret, state: Rollout, base: LastGood | None, proposed: LastGood) -> None:
        look, now = self._looks.get(entry.name), self._monotonic()
        if self._look_at_pods is None or entry.rollout is None or not entry.rollout.watch_pods or not state.needs_pods:
            self._looks.pop(entry.name, None)
            return
        is_same = look is not None and (look.stage, look.content) == (state.stage, state.proposed)
        if look is not None and (look.is_running or (is_same and now - look.began < LOOK_SECONDS)):
            return
        run, failed = partial(self._look_at_pods, entry, base, proposed), PodsSeen(is_partial=True)
        last = look.last if is_same and look is not None else None
        self._looks[entry.name] = _Test(f"pods {entry.name}", run, failed, state, now, self._ended, last)


class _Test(Generic[T]):
    """One test of a content, in a thread of its own; ``failed`` is its result if it ends with a defect."""

    def __init__(
        self,
        name: str,
        run: Callable[[], T],
        failed: T,
        state: Rollout,
        began: float,
        ended: Callable[[], None],
        last: T | None = None,
    ) -> None:
        self.stage, self.content = state.stage, state.proposed
        self.began = began
        self.last = last
        """The last result: that of an earlier test until this one ends."""
        self._result: T | None = None
        self._ended = ended
        self._thread = threading.Thread(target=self._run, args=(run, failed), name=name, daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """True until the test has ended."""
        return self._thread.is_alive()

    @property
    def has_result(self) -> bool:
        """True if it has a result that was not taken yet."""
        return self._result is not None

    def take(self) -> T | None:
        """Return the result once."""
        result, self._result = self._result, None
        return result

    def _run(self, run: Callable[[], T], failed: T) -> None:
        try:
            result = run()
        except Exception:
            log.exception("test of a rotation failed", test=self._thread.name)
            result = failed
        self._result = self.last = result
        self._ended()
