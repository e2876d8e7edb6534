"""Compute with the pure rules every state in which the rotations of one pull secret can end.

A rotation proceeds while the test acts, so an action meets one of several states. The plan keeps all states that can
be reached, applies each action to each of them, and returns those that do not change any more. Contents are named by
their passwords.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec.structs import replace

from webhook.rules import rollout as rules
from webhook.rules.configuration import RolloutSettings
from webhook.rules.rollout import HoldReason, Progress, ProofOutcome, Rollout, Stage, Verb

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_REACHED = Progress(canary=2, canary_reached=2, remaining=0, total=5)
_LONG_OVERLAP = 60.0


class View(NamedTuple):
    """The part of a state that is compared."""

    stage: Stage
    reason: HoldReason | None
    base: str
    proposed: str


class Plan:
    """The possible states of one pull secret, after the actions so far."""

    def __init__(self, settings: RolloutSettings, content: str) -> None:
        self._settings = settings
        # A long overlap does not end within the test.
        self._seconds = max(settings.soak, settings.overlap if settings.overlap < _LONG_OVERLAP else 0.0)
        self._outcomes: dict[str, ProofOutcome] = {}
        self._states = frozenset({rules.first(content, "", _NOW)})

    def put(self, content: str, outcome: ProofOutcome) -> None:
        """Give the sources a content with this final outcome; before it, a registry may not answer."""
        self._outcomes[content] = outcome
        self._act(lambda state: rules.propose(state, content, "", _NOW))

    def judge(self, content: str, outcome: ProofOutcome) -> None:
        """Have the registries answer something else from now on."""
        reached = self._reach(self._states, self._possible)
        self._outcomes[content] = outcome
        self._states = reached

    def ask(self, verb: Verb) -> None:
        """Request something for the rotation that is under way."""
        self._act(lambda state: rules.request(state, verb, "", _NOW))

    def refuse_pods(self) -> None:
        """Have a registry refuse a pull to a Pod of the canary."""
        self._act(lambda state: rules.refuse_pods(state, "", _NOW))

    def ends(self) -> frozenset[View]:
        """Return the states in which the rotation can end."""
        reached = self._reach(self._states, self._final)
        return frozenset(_view(state) for state in reached if self._is_end(state))

    def settle(self, view: View) -> None:
        """Go on from one of the ends, because it was observed."""
        self._states = frozenset(state for state in self._reach(self._states, self._final) if _view(state) == view)

    def _act(self, act: Callable[[Rollout], Rollout]) -> None:
        self._states = frozenset(_shown(act(state)) for state in self._reach(self._states, self._possible))

    def _is_end(self, state: Rollout) -> bool:
        return {_view(later) for later in self._reach({state}, self._final)} == {_view(state)}

    def _possible(self, content: str) -> Iterable[ProofOutcome]:
        return {ProofOutcome.UNKNOWN, self._outcomes.get(content, ProofOutcome.PROVED)}

    def _final(self, content: str) -> Iterable[ProofOutcome]:
        return {self._outcomes.get(content, ProofOutcome.PROVED)}

    def _reach(
        self, states: Iterable[Rollout], outcomes: Callable[[str], Iterable[ProofOutcome]]
    ) -> frozenset[Rollout]:
        reached, new = set(states), list(states)
        while new:
            for later in map(_shown, self._steps(new.pop(), outcomes)):
                if later not in reached:
                    reached.add(later)
                    new.append(later)
        return frozenset(reached)

    def _steps(self, state: Rollout, outcomes: Callable[[str], Iterable[ProofOutcome]]) -> Iterator[Rollout]:
        for outcome in outcomes(state.proposed):
            yield rules.prove(state, outcome, "", _NOW)
        yield rules.advance(state, self._seconds, _REACHED, self._settings, _NOW)


def _shown(state: Rollout) -> Rollout:
    """Return a state without what only grows, so that there are few different ones."""
    is_soaking = state.stage is Stage.CANARY
    return replace(state, elapsed=state.elapsed if is_soaking else 0.0, unused_since=None)


def _view(state: Rollout) -> View:
    return View(state.stage, state.reason, state.base, state.proposed)
