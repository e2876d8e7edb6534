"""Describe the step about the rotation of a pull secret: the content that a namespace has, and the content it is due.

The stage is in the Secret in which the controller keeps its state. That has credentials, so most people lack the right
to read it. Then the last Event about the rotation in the release namespace counts, and otherwise the missing right is
named: a stage that is guessed from the content of a copy could be wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from webhook.report.explain.step import Step
from webhook.report.preview.row import PreviewReason
from webhook.report.protocol import Severity
from webhook.report.reasons import advice
from webhook.report.rollout import (
    hold_sentence,
    look_at_pod,
    proof_sentence,
    reach_sentence,
    rotation_event,
    unused_sentence,
)
from webhook.rules.ownership import Ownership
from webhook.rules.rollout import HoldReason, Rollout, Stage, is_about

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from webhook.report.explain.obstacle import EventReport
    from webhook.report.preview.cluster_view import ClusterView
    from webhook.rules.configuration import PullSecret, RolloutSettings

_HELD_CHOICES = {
    HoldReason.REFUSED: "correct the source",
    HoldReason.UNPROVED: "wait for the registry, or continue with --promote",
    HoldReason.CANARY_EMPTY: "correct rollout.canary.namespaces, or continue with --promote",
    HoldReason.PODS_REFUSED: "correct the source, or continue with --promote",
}


class RotationEvents(msgspec.Struct, frozen=True):
    """The Events about rotations, read where the stored stages must not be read."""

    lacking: str = ""
    """The sentence about the missing right; empty if the stages were read."""
    latest: Mapping[str, EventReport] = msgspec.field(default_factory=dict)
    """The last Event about the rotation of each pull secret."""


def latest_events(reports: Iterable[EventReport]) -> dict[str, EventReport]:
    """Return the last of some Events about the rotation of each pull secret."""
    latest = {}
    for report in sorted(reports, key=lambda item: (item.at, item.version)):
        if (event := rotation_event(report.reason, report.message)) is not None:
            latest[event.secret] = report
    return latest


def rotation_step(cluster: ClusterView, namespace: str, entry: PullSecret, events: RotationEvents) -> Step | None:
    """Return the step about the rotation of a pull secret; None if it has no rollout, or if no stage is stored yet."""
    if entry.rollout is None or namespace not in cluster.states:
        return None
    if events.lacking:
        return _unread(entry, entry.rollout, namespace, events)
    stored = cluster.sources.rollouts.get(entry.name)
    if stored is None:
        return None
    rollout, content = stored.rollout, _content(cluster, namespace, entry, entry.rollout, stored.rollout)
    if rollout.stage is Stage.SETTLED and not _is_behind(cluster, entry, rollout):
        return _step(entry, Severity.OK, f"no rotation is under way: {content}")
    if rollout.stage is Stage.COMPLETE and not _is_behind(cluster, entry, rollout):
        detail = "; ".join(filter(None, (content, unused_sentence(rollout))))
        return _step(entry, Severity.OK, f"the rotation is complete: {detail}")
    parts = [
        _position(rollout, entry.rollout, namespace),
        content,
        reach_sentence(rollout, stored.progress),
        proof_sentence(rollout, entry.rollout),
        _behind(cluster, entry, rollout),
        _choices(rollout),
    ]
    command = look_at_pod(rollout) or f"kubectl pullsecrets rotate {entry.name}"
    return _step(entry, Severity.NOTE, "; ".join(filter(None, parts)), _reason(rollout), command)


def _step(entry: PullSecret, severity: Severity, message: str, reason: str = "", command: str = "") -> Step:
    gate = "rotation"
    todo = advice(reason) if reason else ""
    return Step(gate, severity, message, reason, todo, entry.name, command=command)


def _reason(rollout: Rollout) -> str:
    if rollout.reason is not None:
        return rollout.reason
    aborted = rollout.stage is Stage.ABORTED
    return PreviewReason.ROTATION_ABORTED if aborted else PreviewReason.ROTATION_UNDER_WAY


def _unread(entry: PullSecret, settings: RolloutSettings, namespace: str, events: RotationEvents) -> Step:
    """Return the step for a person who lacks the right to read the stage."""
    place = "is in its canary" if settings.is_canary(namespace) else "is not in its canary"
    command, event = f"kubectl pullsecrets rotate {entry.name}", events.latest.get(entry.name)
    if event is None:
        message = f"{events.lacking}, so the stage of its rotation is unknown; the namespace {place}"
        return _step(entry, Severity.UNKNOWN, message, PreviewReason.ROTATION_NOT_SEEN, command)
    rotation = rotation_event(event.reason, event.message)
    sentence, is_over = (event.message, False) if rotation is None else (rotation.sentence, rotation.is_over)
    message = (
        f"sync reported at {event.at:%Y-%m-%d %H:%M:%S} UTC (Event {event.reason}): {sentence}; the namespace {place}"
    )
    if is_over:
        return _step(entry, Severity.OK, message)
    is_aborted = event.reason == "RotationAborted"
    reason = PreviewReason.ROTATION_ABORTED if is_aborted else PreviewReason.ROTATION_UNDER_WAY
    return _step(entry, Severity.NOTE, message, reason, command)


def _position(rollout: Rollout, settings: RolloutSettings, namespace: str) -> str:
    """Return the stage, and the place of a namespace in it."""
    match rollout.stage:
        case Stage.SETTLED:
            return "no rotation is under way yet"
        case Stage.HELD:
            return f"the rotation is held, because {hold_sentence(rollout)}"
        case Stage.ABORTED:
            return "a person has aborted the rotation"
        case Stage.CANARY if settings.is_canary(namespace):
            return "a rotation is in the stage canary, and the namespace is in the canary"
        case Stage.CANARY:
            return "a rotation is in the stage canary, and the namespace waits for the end of that"
        case _:
            return f"a rotation is in the stage {rollout.stage}"


def _content(
    cluster: ClusterView, namespace: str, entry: PullSecret, settings: RolloutSettings, rollout: Rollout
) -> str:
    """Return the content that a copy has, and the one that it must have."""
    new, previous = rollout.proposed or rollout.base, rollout.base if rollout.proposed else rollout.previous
    new_name = "the new content"
    if rollout.stage is Stage.SETTLED:
        # The content that was new is not known any more: the sources may have got the previous one again.
        new_name = "the previous content" if _is_behind(cluster, entry, rollout) else "the content of its sources"
    names = {previous: "the previous content", new: new_name}
    due = names[rollout.target(in_canary=settings.is_canary(namespace))]
    state = cluster.states[namespace]
    copy = state.copies.get(entry.name)
    if entry.name in cluster.unseen_copies:
        return f"the namespace must have {due}, and the copy was not read"
    if copy is None:
        return f"there is no copy, which would have {due}"
    if state.ownership(copy) is Ownership.FOREIGN:
        return f"a Secret that is not ours is in the place of the copy, which would have {due}"
    held = names.get(copy.content_hash, "another content")
    return f"the copy has {held}" if held == due else f"the copy has {held}, and {due} is due"


def _is_behind(cluster: ClusterView, entry: PullSecret, rollout: Rollout) -> bool:
    """Return whether the sources have another content than the stored stage is about."""
    content_hash = cluster.expected[entry.name].hash
    return content_hash is not None and not is_about(rollout, content_hash)


def _behind(cluster: ClusterView, entry: PullSecret, rollout: Rollout) -> str:
    if cluster.expected[entry.name].problem:
        return "the rotation waits until its sources can be copied again"
    return (
        "the sources have another content, which sync has not noted yet" if _is_behind(cluster, entry, rollout) else ""
    )


def _choices(rollout: Rollout) -> str:
    """Return the flags of ``rotate`` that the stage allows."""
    if rollout.reason is not None:
        return _HELD_CHOICES[rollout.reason]
    match rollout.stage:
        case Stage.CANARY:
            return "--promote ends the soak, and --abort gives the previous content back"
        case Stage.PROPOSED | Stage.PROVED | Stage.ROLLING_OUT:
            return "--abort gives the previous content back"
        case Stage.ABORTED:
            return "correct the source, or begin again with --promote"
        case _:
            return ""
