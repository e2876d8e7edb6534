"""Decide how a rotation of a pull secret proceeds: proved, tried in a canary, rolled out; or held, aborted, returned.

A rotated credential would reach every namespace within seconds, also a wrong one. With ``rollout``, a new content goes
through these stages:

    proposed -> proved -> canary -> rolling-out -> complete

Without ``prove`` there is no stage ``proved``, and without ``canary`` there is no stage ``canary``. A rollout is held
if its registry refuses the new content, or if it cannot be tried. While it is held, and after a person has aborted it,
every namespace has the ``base``: the content before the rotation.

The functions are pure. Time comes in as the seconds that were observed since the last call. So a clock that is set, or
a machine that sleeps, neither shortens nor ends a soak.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec evaluates the annotation
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.rules.configuration import RolloutSettings

REQUEST_ANNOTATION = "pullsecrets.webhook/rollout"
"""On a source, set by a person: the verb and the id of the rollout, such as ``promote-1f0c9a3b``."""


PRIORITY_LABEL = "pullsecrets.webhook/rollout-priority"
"""On a Namespace: a number. Namespaces with a higher one get a new content earlier; without the label it is 0."""

_MOST_DIGITS = 9


def priority_of(labels: Mapping[str, str]) -> int:
    """Return the priority of a namespace with these labels; a text that is not a number counts as 0."""
    text = labels.get(PRIORITY_LABEL, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS else 0


class Stage(StrEnum):
    """The stage of one pull secret."""

    SETTLED = "settled"
    """No rollout is under way: every namespace gets the base."""
    PROPOSED = "proposed"
    """There is a new content, which has not been proved."""
    PROVED = "proved"
    """Its registries accept it."""
    CANARY = "canary"
    """The canary namespaces get it."""
    ROLLING_OUT = "rolling-out"
    """Every namespace gets it."""
    COMPLETE = "complete"
    """Every copy has it, and it is the base from now on."""
    HELD = "held"
    """It is in no namespace, and does not proceed by itself while the reason lasts."""
    ABORTED = "aborted"
    """A person has stopped it, and it is in no namespace."""


class HoldReason(StrEnum):
    """The stable ids of the causes that hold a rollout."""

    REFUSED = "rollout-refused"
    """A registry refuses the new content."""
    UNPROVED = "rollout-unproved"
    """A registry did not answer, so it is unknown whether it accepts the new content."""
    CANARY_EMPTY = "rollout-canary-empty"
    """No selected namespace matches the patterns of the canary."""
    PODS_REFUSED = "rollout-pods-refused"
    """A registry refuses a pull to a Pod of the canary, which pulls with the new content."""


class ProofOutcome(StrEnum):
    """The outcome of one proof of a content at its registries."""

    PROVED = "proved"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Verb(StrEnum):
    """The requests of a person."""

    PROMOTE = "promote"
    ABORT = "abort"


class Rollout(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of one pull secret, as it is stored. Contents are named by their hashes.

    The hashes never leave the Secret that the contents are in: a hash helps to guess a password.
    """

    id: str
    """Names the next request of a person. It is new for each content and after each request."""
    stage: Stage
    since: datetime
    """The time when the stage began, to be shown."""
    base: str
    """The content of every namespace that does not get the proposed one."""
    proposed: str = ""
    """The content that is rolled out, held or aborted; empty in the stages ``settled`` and ``complete``."""
    previous: str = ""
    """The base before the last complete rollout, while that can be aborted."""
    elapsed: float = 0.0
    """Observed seconds of the soak, or since completion."""
    proof: ProofOutcome | None = None
    """The last outcome in this stage."""
    proved_at: datetime | None = None
    """The last time when the registries accepted this content; None before that, and after they refused it."""
    is_promoted: bool = False
    """True if a person has promoted it without a proof."""
    ignores_pods: bool = False
    """True if a person has promoted it although a registry refused a pull to a Pod of the canary."""
    reason: HoldReason | None = None
    detail: str = ""
    """A sentence about the reason."""
    pod: str = ""
    """Namespace and name of the first Pod of the canary that holds it, or is going to; empty for other reasons."""
    canary: tuple[str, ...] = ()
    """The patterns that the soak is observed for."""
    unused_since: datetime | None = None
    """The time when the last copy with the previous content was replaced; None if there was none."""

    @property
    def is_under_way(self) -> bool:
        """True if there is a content that not every namespace is to have."""
        return bool(self.proposed)

    @property
    def needs_proof(self) -> bool:
        """True if an outcome of a proof matters in this stage."""
        return self.stage in (Stage.PROPOSED, Stage.CANARY) or self.reason in (HoldReason.REFUSED, HoldReason.UNPROVED)

    @property
    def needs_pods(self) -> bool:
        """True if the Pods of the canary matter in this stage."""
        return self.stage is Stage.CANARY and not self.ignores_pods

    @property
    def is_rationed(self) -> bool:
        """True if the copies that are not in the canary change at the configured rate."""
        return self.stage in (Stage.PROPOSED, Stage.PROVED, Stage.CANARY, Stage.ROLLING_OUT)

    def target(self, *, in_canary: bool) -> str:
        """Return the content that a namespace must have."""
        if self.stage is Stage.ROLLING_OUT or (self.stage is Stage.CANARY and in_canary):
            return self.proposed
        return self.base


class Progress(msgspec.Struct, frozen=True):
    """The copies that were observed, as far as a stage depends on them."""

    canary: int = 0
    """Selected namespaces that match the patterns of the canary."""
    canary_reached: int = 0
    """Those that have the proposed content."""
    remaining: int = 0
    """Copies in all namespaces that lack the proposed content."""
    total: int = 0
    """Copies in all namespaces."""
    watched: int = 0
    """Canary namespaces with the proposed content whose Pods were read."""
    unwatched: tuple[str, ...] = ()
    """Those whose Pods must not be read; the first few, in order."""
    is_blind: bool = False
    """True if their Pods are to be watched, and it is not known yet what they report."""


def first(content: str, new_id: str, now: datetime) -> Rollout:
    """Return the state for the first known content. There is no earlier one, so all namespaces get it."""
    return Rollout(new_id, Stage.SETTLED, now, content)


def propose(rollout: Rollout, content: str, new_id: str, now: datetime) -> Rollout:
    """Return the state after the sources gave a content, which may be the same as before.

    The base ends a rollout: sources that were put back are followed immediately. A content that replaces one on its way
    starts from the beginning. If that one was already being rolled out everywhere, it was proved and tried. So it
    becomes the base, and copies that have it do not go back.
    """
    if content == rollout.base:
        return Rollout(new_id, Stage.SETTLED, now, content) if rollout.is_under_way else rollout
    if content == rollout.proposed:
        return rollout
    base = rollout.proposed if rollout.stage is Stage.ROLLING_OUT else rollout.base
    return Rollout(new_id, Stage.PROPOSED, now, base, content)


def is_about(rollout: Rollout, content: str) -> bool:
    """Return whether a state stays as it is while the sources give this content; if not, it is older than they are."""
    return propose(rollout, content, rollout.id, rollout.since) is rollout


def prove(rollout: Rollout, outcome: ProofOutcome, detail: str, now: datetime) -> Rollout:
    """Return the state after a proof of the proposed content has ended. ``detail`` is a sentence about it."""
    if not rollout.needs_proof:
        return rollout
    if outcome is ProofOutcome.REFUSED:
        return replace(_hold(rollout, HoldReason.REFUSED, detail, now), proved_at=None)
    if outcome is ProofOutcome.PROVED:
        rollout = replace(rollout, proved_at=now)
    if outcome is ProofOutcome.PROVED and rollout.stage is not Stage.CANARY:
        return _enter(rollout, Stage.PROVED, now)
    if rollout.stage is Stage.HELD:
        return replace(rollout, detail=detail) if rollout.reason is HoldReason.UNPROVED else rollout
    if rollout.pod:
        return replace(rollout, proof=outcome)
    return replace(rollout, proof=outcome, detail="" if outcome is ProofOutcome.PROVED else detail)


def suspect_pod(rollout: Rollout, detail: str, pod: str) -> Rollout:
    """Return the state in which a refused Pod is noted and still has the content; :func:`refuse_pods` follows.

    The note must be stored before the copies change. Without it, another leader that takes over in between gives the
    canary the new content again. Then the failure of the Pod is older than its copy, and counts no more.
    """
    return replace(rollout, detail=detail, pod=pod) if rollout.needs_pods and not rollout.pod else rollout


def refuse_pods(rollout: Rollout, detail: str, now: datetime, pod: str = "") -> Rollout:
    """Return the state after a registry has refused a pull to a Pod of the canary: ``pod`` is its namespace/name.

    The Pod may recover with the previous content, and fail again with the new one. So only a person, or another
    content, ends this hold.
    """
    return replace(_hold(rollout, HoldReason.PODS_REFUSED, detail, now), pod=pod) if rollout.needs_pods else rollout


def advance(rollout: Rollout, seconds: float, progress: Progress, settings: RolloutSettings, now: datetime) -> Rollout:
    """Return the state after so many more observed seconds."""
    match rollout.stage:
        case Stage.PROPOSED:
            return _after_proof(rollout, progress, settings, now)
        case Stage.PROVED:
            return _begin(rollout, progress, settings, now)
        case Stage.CANARY:
            return _soak(rollout, seconds, progress, settings, now)
        case Stage.ROLLING_OUT if not progress.remaining:
            return _complete(rollout, now)
        case Stage.COMPLETE if rollout.previous:
            return _overlap(rollout, seconds, settings)
        case Stage.HELD:
            return _held(rollout, progress, settings, now)
        case _:
            return rollout


def request(rollout: Rollout, verb: Verb, new_id: str, now: datetime) -> Rollout:
    """Return the state after the request of a person; unchanged if the stage does not allow it.

    A content that its registry refuses cannot be promoted.
    """
    changed = _abort(rollout, now) if verb is Verb.ABORT else _promote(rollout, now)
    return rollout if changed is rollout else replace(changed, id=new_id)


def encode_request(verb: Verb, rollout_id: str) -> str:
    """Return the value of the annotation."""
    return f"{verb}-{rollout_id}"


def decode_request(text: str, rollout_id: str) -> Verb | None:
    """Return the request in an annotation; None if there is none for the rollout with this id."""
    return next((verb for verb in Verb if rollout_id and text == encode_request(verb, rollout_id)), None)


def _after_proof(rollout: Rollout, progress: Progress, settings: RolloutSettings, now: datetime) -> Rollout:
    if settings.prove is None or rollout.is_promoted:
        return _begin(rollout, progress, settings, now)
    if rollout.proof is ProofOutcome.UNKNOWN:
        if settings.continues_unproved:
            return _begin(rollout, progress, settings, now)
        return _hold(rollout, HoldReason.UNPROVED, rollout.detail, now)
    return rollout


def _begin(rollout: Rollout, progress: Progress, settings: RolloutSettings, now: datetime) -> Rollout:
    """Begin with the canary, or with all namespaces if there is no canary."""
    if not settings.canary:
        return _enter(rollout, Stage.ROLLING_OUT, now)
    if not progress.canary:
        return _hold(rollout, HoldReason.CANARY_EMPTY, "", now)
    return replace(_enter(rollout, Stage.CANARY, now), canary=settings.canary)


def _soak(rollout: Rollout, seconds: float, progress: Progress, settings: RolloutSettings, now: datetime) -> Rollout:
    if not settings.canary:
        return _enter(rollout, Stage.ROLLING_OUT, now)
    if not progress.canary:
        return _hold(rollout, HoldReason.CANARY_EMPTY, "", now)
    if rollout.canary != settings.canary:
        return replace(rollout, canary=settings.canary, elapsed=0.0)
    if rollout.pod:
        return rollout if settings.watch_pods else replace(rollout, pod="", detail="")
    # A namespace without the content tests nothing, so its time does not count. Neither do Pods that are not known.
    if progress.canary_reached < progress.canary or (rollout.needs_pods and progress.is_blind):
        return rollout
    soaked = replace(rollout, elapsed=min(rollout.elapsed + max(0.0, seconds), settings.soak))
    if soaked.elapsed < settings.soak or not _is_proved(soaked, settings):
        return soaked
    return _enter(soaked, Stage.ROLLING_OUT, now)


def _is_proved(rollout: Rollout, settings: RolloutSettings) -> bool:
    """Return whether the soak may end, as far as the proof in the canary is concerned."""
    if settings.prove is None or rollout.proof is ProofOutcome.PROVED:
        return True
    return rollout.proof is ProofOutcome.UNKNOWN and (rollout.is_promoted or settings.continues_unproved)


def _complete(rollout: Rollout, now: datetime) -> Rollout:
    done = _enter(rollout, Stage.COMPLETE, now)
    return replace(done, base=rollout.proposed, proposed="", previous=rollout.base, unused_since=now)


def _overlap(rollout: Rollout, seconds: float, settings: RolloutSettings) -> Rollout:
    elapsed = rollout.elapsed + max(0.0, seconds)
    return replace(rollout, elapsed=elapsed, previous="" if elapsed >= settings.overlap else rollout.previous)


def _held(rollout: Rollout, progress: Progress, settings: RolloutSettings, now: datetime) -> Rollout:
    """Return to the start if the reason has gone; the next step follows from there."""
    match rollout.reason:
        case HoldReason.REFUSED:
            is_over = settings.prove is None
        case HoldReason.UNPROVED:
            is_over = settings.prove is None or settings.continues_unproved
        case HoldReason.CANARY_EMPTY:
            is_over = bool(progress.canary) or not settings.canary
        case HoldReason.PODS_REFUSED:
            is_over = not (settings.watch_pods and settings.canary)
        case _:
            is_over = False
    return _enter(rollout, Stage.PROPOSED, now) if is_over else rollout


def _abort(rollout: Rollout, now: datetime) -> Rollout:
    if rollout.stage is Stage.COMPLETE and rollout.previous:
        returned = _enter(rollout, Stage.ABORTED, now)
        return replace(returned, base=rollout.previous, proposed=rollout.base, previous="", unused_since=None)
    if not rollout.is_under_way or rollout.stage is Stage.ABORTED:
        return rollout
    return _enter(rollout, Stage.ABORTED, now)


def _promote(rollout: Rollout, now: datetime) -> Rollout:
    if rollout.stage is Stage.CANARY:
        return _enter(rollout, Stage.ROLLING_OUT, now)
    if rollout.stage is Stage.ABORTED:
        return replace(_enter(rollout, Stage.PROPOSED, now), is_promoted=False, ignores_pods=False)
    if rollout.stage is not Stage.HELD:
        return rollout
    if rollout.reason is HoldReason.CANARY_EMPTY:
        return _enter(rollout, Stage.ROLLING_OUT, now)
    if rollout.reason is HoldReason.UNPROVED:
        return replace(_enter(rollout, Stage.PROPOSED, now), is_promoted=True)
    if rollout.reason is HoldReason.PODS_REFUSED:
        return replace(_enter(rollout, Stage.PROPOSED, now), ignores_pods=True)
    return rollout


def _enter(rollout: Rollout, stage: Stage, now: datetime) -> Rollout:
    return replace(rollout, stage=stage, since=now, elapsed=0.0, proof=None, reason=None, detail="", pod="")


def _hold(rollout: Rollout, reason: HoldReason, detail: str, now: datetime) -> Rollout:
    if rollout.stage is Stage.HELD and rollout.reason is reason:
        return replace(rollout, detail=detail)
    return replace(_enter(rollout, Stage.HELD, now), reason=reason, detail=detail)
