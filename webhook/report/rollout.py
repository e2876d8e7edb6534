"""Describe a rollout in sentences: for Events, commands and the status page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from webhook.rules.renewing import format_time
from webhook.rules.rollout import REQUEST_ANNOTATION, HoldReason, ProofOutcome, Rollout, Stage, Verb, encode_request
from webhook.rules.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from webhook.rules.configuration import RolloutSettings
    from webhook.rules.pulls import PullFailure
    from webhook.rules.rollout import Progress
    from webhook.rules.state_document import StoredRollout


class RolloutNotice(NamedTuple):
    """An Event about a rollout: its reason, its message, and True if a person must act."""

    event: str
    message: str
    is_warning: bool


class RotationEvent(NamedTuple):
    """An Event about a rotation: its pull secret, its sentence, and True if the rotation is over."""

    secret: str
    sentence: str
    is_over: bool


_ABOUT = re.compile(r'pull secret "([^"]+)": ')
_OVER = ("RotationComplete", "RotationReverted", "CredentialUnused")


def rotation_event(event: str, message: str) -> RotationEvent | None:
    """Return what an Event reports about a rotation; None if it is about something else."""
    about = _ABOUT.match(message)
    if about is None or not (event.startswith("Rotation") or event in _OVER):
        return None
    return RotationEvent(about[1], message[about.end() :], event in _OVER)


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


def next_steps(name: str, stored: StoredRollout) -> str:
    """Return what a person can do about the rotation of a pull secret, with commands; empty if there is nothing."""
    command, rollout = f"kubectl pullsecrets rotate {name}", stored.rollout
    match rollout.stage:
        case Stage.PROPOSED | Stage.PROVED | Stage.ROLLING_OUT:
            return f"{command} --wait or --abort"
        case Stage.CANARY:
            return f"{command} --wait, --promote or --abort"
        case Stage.HELD:
            return _after_hold(command, rollout)
        case Stage.ABORTED:
            return f"correct the source, or begin again with {command} --promote"
        case Stage.COMPLETE if stored.kept is not None:
            list_command = f"kubectl pullsecrets revoke {name} --dry-run --previous"
            return f"{list_command}; when the overlap is over, revoke what it lists"
        case _:
            return ""


def _after_hold(command: str, rollout: Rollout) -> str:
    match rollout.reason:
        case HoldReason.UNPROVED:
            return f"wait for the registry, or continue without its answer: {command} --promote"
        case HoldReason.CANARY_EMPTY:
            return (
                f"correct rollout.canary.namespaces or label a namespace, or continue without it: {command} --promote"
            )
        case HoldReason.PODS_REFUSED:
            look = f"{look_at_pod(rollout)}, then " if rollout.pod else ""
            return f"{look}correct the source, or {command} --promote"
        case _:
            return "correct the source; the rotation continues when its registry accepts it"


def look_at_pod(rollout: Rollout) -> str:
    """Return the command that shows the Pod that holds a rollout; empty if none does."""
    namespace, _, pod = rollout.pod.partition("/")
    return f"kubectl -n {namespace} describe pod {pod}" if pod else ""


def proof_sentence(rollout: Rollout, settings: RolloutSettings) -> str:
    """Return what the registries answered about the new content; empty if it is the reason of a hold."""
    if rollout.reason in (HoldReason.REFUSED, HoldReason.UNPROVED):
        return ""
    time = rollout.proved_at
    accepted = "" if time is None else f"the registries accepted the new content at {time:%Y-%m-%d %H:%M:%S} UTC"
    if rollout.proof is ProofOutcome.UNKNOWN:
        # While a Pod is noted, the detail is about that.
        cause = f": {rollout.detail}" if rollout.detail and not rollout.pod else ""
        unknown = f"it is unknown whether the registries accept the new content now{cause}"
        return "; ".join(filter(None, (accepted, unknown)))
    if accepted:
        return accepted
    if settings.prove is None:
        return "the registries are not asked, because it has no rollout.prove"
    if rollout.stage is Stage.PROPOSED:
        return "the registries have not answered yet"
    return "the registries have not accepted the new content so far"


def describe_rollout(rollout: Rollout, progress: Progress) -> str:
    """Return a sentence about the stage, without its name and the final period; empty if no rotation is under way."""
    match rollout.stage:
        case Stage.PROPOSED:
            return "every namespace is to have the previous content for now"
        case Stage.PROVED:
            return "the registries accept the new content"
        case Stage.CANARY:
            parts = reach_sentence(rollout, progress), pods_sentence(rollout, progress), rollout.detail
            return "; ".join(filter(None, parts))
        case Stage.ROLLING_OUT:
            return reach_sentence(rollout, progress)
        case Stage.COMPLETE:
            return unused_sentence(rollout)
        case Stage.HELD:
            return f"{hold_sentence(rollout)}; {_returned(progress)}"
        case Stage.ABORTED:
            return _returned(progress)
        case _:
            return ""


def reach_sentence(rollout: Rollout, progress: Progress) -> str:
    """Return how many copies have the new content, as a clause; empty in stages that write no copies."""
    if rollout.stage is Stage.CANARY:
        of = counted(progress.canary, "canary namespace has", "canary namespaces have")
        return f"{progress.canary_reached:,} of {of} the new content, for {rollout.elapsed:.0f} s of the soak"
    if rollout.stage is Stage.ROLLING_OUT:
        of = counted(progress.total, "copy has", "copies have")
        return f"{progress.total - progress.remaining:,} of {of} the new content"
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
    first, others = refused[0], len({(failure.namespace, failure.pod) for failure in refused}) - 1
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
            todo = "it continues by itself when that is corrected"
        elif after.reason is HoldReason.UNPROVED:
            todo = f"it continues by itself when they answer; to continue without an answer: {command(Verb.PROMOTE)}"
        else:
            look = f"look at the Pod with {look_at_pod(after)}; " if after.pod else ""
            todo = f"{look}correct the source, or continue with: {command(Verb.PROMOTE)}"
        effect = "No namespace is to have the new content"
        if before is not None and before.stage is Stage.CANARY:
            effect = "The canary namespaces get the previous content back"
        cause = f"{hold_sentence(after)}. {effect}; {todo}"
        return RolloutNotice("RotationHeld", f"{about}: the rotation is held, because {cause}", is_warning=True)
    if before is None:
        return None
    if before.previous and not after.previous and after.stage is Stage.COMPLETE:
        message = f"{about}: {unused_sentence(after)}"
        return RolloutNotice("CredentialUnused", message, is_warning=False)
    return _progress_notice(about, before, after, command)


def unused_sentence(rollout: Rollout) -> str:
    """Return the advice to revoke what the rotation has replaced; empty while copies may be given it back."""
    if rollout.unused_since is None or rollout.stage is not Stage.COMPLETE:
        return ""
    # A copy that is being removed, or whose removal is held, may still have it.
    unused, since = "no copy in a selected namespace has the previous content", format_time(rollout.unused_since)
    if rollout.previous:
        return f"{unused} since {since}; when the overlap is over, revoke each credential that only that content had"
    return f"{unused} since {since}, and the overlap is over: revoke each credential that only that content had"


def _progress_notice(
    about: str, before: Rollout, after: Rollout, command: Callable[[Verb], str]
) -> RolloutNotice | None:
    match after.stage:
        case Stage.PROPOSED if after.proposed != before.proposed:
            text = "RotationProposed", f"the sources have a new content; {_kept_meanwhile(before)}"
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


def _kept_meanwhile(before: Rollout) -> str:
    """Return what the namespaces have while a content is proved that came in a stage of another one."""
    match before.stage:
        case Stage.ROLLING_OUT:
            return "every namespace gets the one that was being rolled out for now"
        case Stage.CANARY:
            return "the canary namespaces get the previous one back for now"
        case _:
            return "every namespace keeps the previous one for now"
