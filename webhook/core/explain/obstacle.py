"""What keeps the controller from writing in a namespace, so that no sentence promises what will not happen.

``explain`` and ``check`` may print "sync writes it within seconds" only if a replica leads and no obstacle is reported.
The facts are the Lease and the Events that the controller has written.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from webhook.core.catalog import advice
from webhook.core.explain.step import Step, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

SKEW = timedelta(seconds=5)
"""How far two clocks may be apart."""

RECENT = timedelta(minutes=5)
"""Age of an Event that still counts. A failing write is tried again, and its Event counted up, within three minutes."""

REPORTED = frozenset({"CopyDenied", "CopyChangedRepeatedly", "ReferenceRemovedRepeatedly", "SelectionFlapping"})
"""Reasons of the Events by which the controller reports that it cannot write, that its writes are undone, or that it
follows a namespace less often."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why the controller does not write now, as a clause, and what to do about it."""

    why: str
    advice: str


@dataclass(frozen=True, slots=True)
class Report:
    """An Event that the controller wrote about a namespace or an object in it."""

    namespace: str
    reason: str
    message: str
    at: datetime

    def is_current(self, now: datetime) -> bool:
        """Return whether it reports that writes fail now."""
        return self.reason in REPORTED and now - self.at <= RECENT

    def obstacle(self) -> Obstacle:
        """Return what it says."""
        todo = f"kubectl get events -n {self.namespace} --field-selector reason={self.reason}"
        return Obstacle(f"{self.message} (Event {self.reason}, {self.at:%H:%M:%S} UTC)", todo)


@dataclass(frozen=True, slots=True)
class Holder:
    """The Lease by which one replica of sync leads; ``renewed`` is None where no replica holds it."""

    namespace: str
    name: str
    identity: str = ""
    renewed: datetime | None = None
    term: timedelta = timedelta()
    """How long the Lease is valid after a renewal."""

    def obstacle(self, now: datetime) -> Obstacle | None:
        """Return that no replica leads, or None; clocks may differ by :data:`SKEW`."""
        todo = f"look at its Pods: kubectl get pods -n {self.namespace} -l app.kubernetes.io/component=sync"
        if self.renewed is None:
            return Obstacle(f"no replica of sync holds the Lease {self.namespace}/{self.name}", todo)
        if now - self.renewed > self.term + SKEW:
            since = f"{self.renewed:%Y-%m-%d %H:%M:%S} UTC"
            return Obstacle(f"no replica of sync leads: {self.identity} has not renewed its Lease since {since}", todo)
        return None


@dataclass(frozen=True, slots=True)
class Writer:
    """What is known of the controller in one namespace; ``known`` is False where the Lease was not read."""

    known: bool = False
    obstacle: Obstacle | None = None

    def due(self, gate: str, why: str, reason: str, pull_secret: str) -> Step:
        """Return the step about something that the controller still has to write."""
        if self.obstacle is not None:
            return Step(gate, Verdict.STOP, f"{why}: {self.obstacle.why}", reason, self.obstacle.advice, pull_secret)
        if not self.known:
            todo = "you may not read the Lease of sync, so it is not known whether it runs: pullsecrets check"
            return Step(gate, Verdict.STOP, why, reason, todo, pull_secret)
        return Step(gate, Verdict.STOP, why, reason, advice(reason), pull_secret)


UNKNOWN_WRITER = Writer()


def obstacle_in(holder: Holder, reports: Iterable[Report], now: datetime) -> Obstacle | None:
    """Return what is in the way in a namespace: that no replica leads, or else what was reported last."""
    leaderless = holder.obstacle(now)
    if leaderless is not None:
        return leaderless
    recent = [each for each in reports if each.is_current(now)]
    return max(recent, key=lambda each: each.at).obstacle() if recent else None
