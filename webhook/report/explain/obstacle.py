"""Describe the obstacles that keep the controller from writing in a namespace, so that every sentence stays true.

``explain`` and ``check`` may print "sync writes it within seconds" only if a replica leads and no obstacle is reported.
The facts are the Lease and the Events that the controller has written.
"""

from __future__ import annotations

import re
import shlex
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from webhook.report.explain.step import Step
from webhook.report.protocol import Severity
from webhook.report.reasons import advice

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime

SKEW = timedelta(seconds=5)
"""Possible difference between two clocks."""

RECENT = timedelta(minutes=5)
"""Age of an Event that still counts. A failing write is tried again, and its Event counted up, within three minutes."""

REFUSED = "CopyDenied"
"""Reason of the Event by which the controller reports that the API server refuses a write."""

REPORTED = frozenset({REFUSED, "CopyChangedRepeatedly", "ReferenceRemovedRepeatedly", "SelectionFlapping"})
"""Reasons of Events by which the controller reports that it cannot write or that its writes are undone. It also reports
that it follows a namespace less often."""

_UNDONE = frozenset({"CopyChangedRepeatedly", "ReferenceRemovedRepeatedly"})
_POLICY = re.compile(r"(ValidatingAdmissionPolicy) '([a-z0-9.-]+)'")

PAUSED, RESUMED = "WritesPaused", "WritesResumed"

EVERYWHERE = frozenset({PAUSED, "WatchForbidden"})
"""Reasons of Events in the release namespace that hold up the work in every namespace."""

RECENT_EVERYWHERE = timedelta(minutes=2)
"""Age of an Event in the release namespace that still counts: it is counted up each minute while the cause lasts."""

Target: TypeAlias = tuple[str, str]
"""Kind and name of an object in a namespace."""


class Obstacle(msgspec.Struct, frozen=True):
    """An obstacle to the controller's writes as a clause, and what to do about it.

    ``is_cause`` is False for a report about another object of the namespace. Its cause may be the same.
    """

    message: str
    advice: str
    is_cause: bool = True


class EventReport(msgspec.Struct, frozen=True):
    """An Event that the controller wrote about a namespace, or about the object ``kind/name`` in it."""

    namespace: str
    reason: str
    message: str
    at: datetime
    kind: str = "Namespace"
    name: str = ""
    version: int = 0
    """The resourceVersion of the Event, or 0 if it is not a number."""

    @property
    def target(self) -> Target:
        """The object of the report."""
        return self.kind, self.name

    def is_current(self, now: datetime) -> bool:
        """Return True if it reports that writes fail now."""
        return self.reason in REPORTED and now - self.at <= RECENT

    def is_about(self, targets: Collection[Target]) -> bool:
        """Return True if it is about one of some objects, or about all of its namespace."""
        return self.kind == "Namespace" or self.target in targets

    def obstacle(self) -> Obstacle:
        """Return the obstacle that it reports."""
        return Obstacle(f"{self.message} (Event {self.reason}, {self.at:%H:%M:%S} UTC)", self.command())

    def command(self) -> str:
        """Return the command that shows the cause of what it reports."""
        where = f"kubectl -n {self.namespace}"
        policy = _POLICY.search(self.message)
        if self.reason == REFUSED and policy is not None:
            return f"kubectl get {policy[1].lower()} {shlex.quote(policy[2])} -o yaml"
        if self.reason == REFUSED and "exceeded quota" in self.message:
            return f"{where} describe resourcequota"
        if self.reason in _UNDONE and self.kind == "ServiceAccount":
            return f"{where} get serviceaccount {shlex.quote(self.name)} -o yaml --show-managed-fields"
        if self.reason in _UNDONE and self.kind == "Secret":
            managers = shlex.quote("jsonpath={.metadata.managedFields[*].manager}")
            return f"{where} get secret {shlex.quote(self.name)} -o {managers}"
        return f"kubectl get events -n {self.namespace} --field-selector reason={self.reason}"

    def elsewhere(self) -> Obstacle:
        """Return the obstacle that it reports, for another object of its namespace."""
        obstacle = self.obstacle()
        return Obstacle(
            f"sync reports about {self.kind} {self.name}: {obstacle.message}", obstacle.advice, is_cause=False
        )


class Holder(msgspec.Struct, frozen=True):
    """The Lease by which one replica of sync leads; ``renewed`` is None if no replica holds it."""

    namespace: str
    name: str
    identity: str = ""
    renewed: datetime | None = None
    term: timedelta = timedelta()
    """Duration of the Lease after a renewal."""

    def obstacle(self, now: datetime) -> Obstacle | None:
        """Return that no replica leads, or None; clocks may differ by :data:`SKEW`."""
        todo = f"look at its Pods: kubectl get pods -n {self.namespace} -l app.kubernetes.io/component=sync"
        if self.renewed is None:
            return Obstacle(f"no replica of sync holds the Lease {self.namespace}/{self.name}", todo)
        if now - self.renewed > self.term + SKEW:
            since = f"{self.renewed:%Y-%m-%d %H:%M:%S} UTC"
            return Obstacle(f"no replica of sync leads: {self.identity} has not renewed its Lease since {since}", todo)
        return None


class ControllerState(msgspec.Struct, frozen=True):
    """The state of the controller in one namespace; ``is_known`` is False if the Lease was not read.

    ``obstacle`` blocks every write; ``reports`` are about single objects, or about the namespace.
    """

    is_known: bool = False
    obstacle: Obstacle | None = None
    reports: Sequence[EventReport] = ()

    def due(self, gate: str, message: str, reason: str, pull_secret: str, targets: Collection[Target] = ()) -> Step:
        """Return the step about a write to these objects that the controller still has to make."""
        obstacle = self.obstacle or nearest_obstacle(self.reports, targets)
        todo = advice(reason)
        if obstacle is not None:
            message, todo = f"{message}{':' if obstacle.is_cause else ';'} {obstacle.message}", obstacle.advice
        elif not self.is_known:
            todo = "you lack the right to read the Lease of sync, so it is not known whether it runs: pullsecrets check"
        return Step(gate, Severity.FAULT, message, reason, todo, pull_secret, awaits_sync=True)


UNKNOWN_WRITER = ControllerState()


def obstacle_everywhere(holder: Holder, reports: Iterable[EventReport], now: datetime) -> Obstacle | None:
    """Return the obstacle to every write: no replica leads, or a report in the release namespace."""
    leaderless = holder.obstacle(now)
    if leaderless is not None:
        return leaderless
    reports = list(reports)
    resumed = max((report.at for report in reports if report.reason == RESUMED), default=None)
    current = [
        report
        for report in reports
        if report.reason in EVERYWHERE
        and now - report.at <= RECENT_EVERYWHERE
        and not (report.reason == PAUSED and resumed is not None and report.at <= resumed)
    ]
    return max(current, key=lambda report: report.at).obstacle() if current else None


def standing_reports(
    reports: Iterable[EventReport],
    now: datetime,
    is_right: Callable[[Target], bool],
    written: Callable[[EventReport], bool],
) -> tuple[EventReport, ...]:
    """Return the reports that still count.

    A report is over if its object ``is_right``, or if the controller has ``written`` that object since.
    """
    return tuple(
        report
        for report in reports
        if report.is_current(now)
        and not (report.kind != "Namespace" and is_right(report.target))
        and not (report.reason == REFUSED and report.kind != "Namespace" and written(report))
    )


def nearest_obstacle(reports: Iterable[EventReport], targets: Collection[Target]) -> Obstacle | None:
    """Return the latest report about some objects or their namespace, or else about another object in it."""
    latest = sorted(reports, key=lambda report: report.at, reverse=True)
    about = next((report for report in latest if report.is_about(targets)), None)
    if about is not None:
        return about.obstacle()
    return latest[0].elsewhere() if latest else None
