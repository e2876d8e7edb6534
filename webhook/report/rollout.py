"""Describe a rollout in sentences: for Events, commands and the status page."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from webhook.rules.rollout import REQUEST_ANNOTATION, HoldReason, Rollout, Stage, Verb, encode_request
from webhook.rules.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from webhook.rules.pulls import PullFailure
    from webhook.rules.rollout import Progress


class RolloutNotice(NamedTuple):
    """An Event about a rollout: its reason, its message, and True if a person must act."""

    event: str
    message: str
    is_warning: bool


_HELD = {
    HoldReason.REFUSED: "a registry refuses the new content",
    HoldReason.UNPROVED: "it is unknown whether the registries accept the new content",
    HoldReason.CANARY_EMPTY: "no selected namespace matches the patterns of its canary",
    HoldReason.PODS_REFUSED: "a registry refused pulls with the new content in the canary",
}


def request_command(namespace: str, source: str, verb: Verb, rollout_id: str) -> str:
    """Return the command that requests something for the rollout with this id."""
    return (
        f"kubectl --namespace {namespace} annotate --overwrite secret {source} "
        f"{REQUEST_ANNOTATION}={encode_request(verb, rollout_id)}"
    )


def describe_rollout(rollout: Rollout, progress: Progress) -> str:
    """Return a sentence about the stage, without its name and the final period; empty if no rotation is under way."""
    match rollout.stage:
        case Stage.PROPOSED:
            return "every namespace keeps the previous content until the registries have accepted the new one"
        case Stage.PROVED:
            return "the registries accept the new content"
        case Stage.CANARY:
            of = counted(progress.canary, "canary namespace has", "canary namespaces have")
            told = f"{progress.canary_reached} of {of} the new content, for {rollout.elapsed:.0f} s of the soak"
            return "; ".join(filter(None, (told, pods_sentence(rollout, progress), rollout.detail)))
        case Stage.ROLLING_OUT:
            of = counted(progress.total, "copy has", "copies have")
            return f"{progress.total - progress.remaining:,} of {of} the new content"
        case Stage.COMPLETE:
            return unused_sentence(rollout)
        case Stage.HELD:
            return f"{hold_sentence(rollout)}; {_returned(progress)}"
        case Stage.ABORTED:
            return _returned(progress)
        case _:
            return ""


def pods_sentence(rollout: Rollout, progress: Progress) -> str:
    """Return whose Pods are watched in the canary; empty if they are not to be watched."""
    if rollout.stage is not Stage.CANARY:
        return ""
    if rollout.ignores_pods:
        return "its Pods do not hold the rotation, because a person promoted it"
    parts = []
    if progress.watched:
        parts.append(f"the Pods in {counted(progress.watched, 'canary namespace')} are watched")
    if progress.unwatched:
        namespaces = ", ".join(progress.unwatched)
        parts.append(f"the right to list Pods is missing in {namespaces}, so the Pods there are not watched")
    if progress.is_blind:
        parts.append("the soak waits until their Pods have been read")
    return "; ".join(parts)


def refused_sentence(refused: Sequence[PullFailure]) -> str:
    """Return which Pods of the canary a registry refused a pull, without their names if there are many."""
    first, others = refused[0], len({(each.namespace, each.pod) for each in refused}) - 1
    more = f", and {counted(others, 'more Pod fails', 'more Pods fail')}" if others else ""
    return f"Pod {first.namespace}/{first.pod} cannot pull {first.image}{more}"


def _returned(progress: Progress) -> str:
    left = progress.total - progress.remaining
    if not left:
        return "no copy has the new content"
    return f"{counted(left, 'copy', 'copies')} with the new content {'gets' if left == 1 else 'get'} the previous one"


def hold_sentence(rollout: Rollout) -> str:
    """Return why a rollout is held; empty if it is not."""
    if rollout.reason is None:
        return ""
    return f"{_HELD[rollout.reason]}: {rollout.detail}" if rollout.detail else _HELD[rollout.reason]


def rollout_notice(
    secret: str, before: Rollout | None, after: Rollout, command: Callable[[Verb], str]
) -> RolloutNotice | None:
    """Return the Event about another stage of a pull secret's rollout; None if there is none.

    A new leader, which knows no stage ``before``, repeats only what a person must act on.
    """
    about = f'pull secret "{secret}"'
    if after.stage is Stage.HELD:
        if after.reason in (HoldReason.REFUSED, HoldReason.CANARY_EMPTY):
            todo = "it goes on by itself when that is corrected"
        else:
            todo = f"correct the source, or go on with: {command(Verb.PROMOTE)}"
        given = "Every namespace has the previous content"
        if before is not None and before.stage is Stage.CANARY:
            given = "The canary namespaces get the previous content back"
        why = f"{hold_sentence(after)}. {given}; {todo}"
        return RolloutNotice("RotationHeld", f"{about}: the rotation is held, because {why}", is_warning=True)
    if before is None:
        return None
    if before.previous and not after.previous and after.stage is Stage.COMPLETE:
        message = f"{about}: {unused_sentence(after)}"
        return RolloutNotice("CredentialUnused", message, is_warning=False)
    return _progress_notice(about, before, after, command)


def unused_sentence(rollout: Rollout) -> str:
    """Return the advice to revoke the previous credential; empty while copies may be given it back."""
    if rollout.unused_since is None or rollout.stage is not Stage.COMPLETE:
        return ""
    since = f"{rollout.unused_since:%Y-%m-%dT%H:%M:%SZ}"
    if rollout.previous:
        return f"no copy has the previous content since {since}; revoke its credential when the overlap is over"
    return f"no copy has the previous content since {since}, and the overlap is over: revoke the previous credential"


def _progress_notice(
    about: str, before: Rollout, after: Rollout, command: Callable[[Verb], str]
) -> RolloutNotice | None:
    match after.stage:
        case Stage.PROPOSED if after.proposed != before.proposed:
            text = "RotationProposed", "the sources have a new content; every namespace keeps the previous one for now"
        case Stage.PROVED:
            text = "RotationProved", "the registries accept the new content"
        case Stage.CANARY if before.stage is not Stage.CANARY:
            abort = command(Verb.ABORT)
            text = "RotationInCanary", f"the canary namespaces get the new content; to take it back: {abort}"
        case Stage.ROLLING_OUT if before.stage is not Stage.ROLLING_OUT:
            text = "RotationRollingOut", f"all namespaces get the new content; to take it back: {command(Verb.ABORT)}"
        case Stage.COMPLETE if before.stage is not Stage.COMPLETE:
            text = "RotationComplete", f"the rotation is complete: {unused_sentence(after)}"
        case Stage.ABORTED if before.stage is not Stage.ABORTED:
            again = command(Verb.PROMOTE)
            text = "RotationAborted", f"every namespace gets the previous content back; to begin again: {again}"
        case Stage.SETTLED if before.is_under_way:
            text = "RotationReverted", "the sources have the previous content again, so the rotation is over"
        case _:
            return None
    return RolloutNotice(text[0], f"{about}: {text[1]}", is_warning=False)
