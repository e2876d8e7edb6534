"""Decide which Pods healing evicts: those that fail to pull, and that their controller recreates with the reference.

A Pod that was created before its namespace opted in lacks the reference, and the references of an existing Pod cannot
be changed. Its controller can create another one, which passes the webhook. Healing evicts such a Pod if all conditions
of :data:`GATES` hold. They ensure three things: a Pod that has begun to run is not touched, the eviction can help, and
an owner is not healed again and again. The first Pod of each owner is a trial: the others wait until its replacement
has the reference.

Sources: k8s.io/kubernetes, pkg/kubelet/images/types.go (the reasons of failed pulls);
pkg/registry/core/pod/storage/eviction.go (the eviction API).
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from webhook.rules.gates import Decision, decide
from webhook.rules.objects import Subject  # noqa: TC001 - msgspec evaluates the annotation
from webhook.rules.ownership import Ownership, ownership_of
from webhook.rules.registry_key import read_key
from webhook.rules.text import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import Copy, Namespace

RECREATING = frozenset(
    {("apps", "ReplicaSet"), ("apps", "StatefulSet"), ("apps", "DaemonSet"), ("", "ReplicationController")}
)
"""API group and kind of the controllers that recreate an evicted Pod. Others may count it as a failure, or end."""

JOB = ("batch", "Job")

SETTLE_SECONDS = 5.0
"""Seconds for which a Pod must be due. The API servers and the webhook learn of labels by watches of their own, and a
Pod that is recreated before that would lack the reference again."""

TRIAL_SECONDS = 60.0
"""Seconds after which the next Pod of an owner is evicted although the replacement of the first one was not seen. A
replacement without the reference fails to pull, so it is seen."""


class HealingReason(StrEnum):
    """The stable reason ids of healing, in the order of the conditions."""

    ENDING = "healing-pod-terminating"
    PULLING = "healing-pod-not-failing"
    NOT_DUE = "healing-no-reference-due"
    COPY_ABSENT = "healing-copy-absent"
    NOT_COVERED = "healing-registry-not-covered"
    RUNS = "healing-pod-has-run"
    BARE = "healing-bare-pod"
    JOB = "healing-job"
    OTHER_CONTROLLER = "healing-other-controller"
    STOPPED = "healing-stopped"
    TRIAL = "healing-trial"
    REFUSED = "healing-eviction-refused"
    DUE = "healing-due"


class Verdict(StrEnum):
    """The next step for one Pod."""

    NONE = "none"
    """It is not a case for healing."""
    WAIT = "wait"
    """It may be evicted later."""
    REPORT = "report"
    """A person has to act."""
    EVICT = "evict"


class PodOwner(msgspec.Struct, frozen=True):
    """The controller of a Pod."""

    group: str
    kind: str
    name: str
    uid: str


class PulledPod(msgspec.Struct, frozen=True):
    """The fields of a Pod that healing reads."""

    subject: Subject
    uid: str
    resource_version: str
    created: str
    """The time of creation, as the API server writes it: these texts sort by time."""
    owner: PodOwner | None = None
    failing: tuple[str, ...] = ()
    """The images of containers that fail to pull."""
    has_run: bool = False
    """True if a container runs, or if one that is not an init container has ever begun."""
    terminating: bool = False

    @property
    def namespace(self) -> str:
        """The name of the namespace."""
        return self.subject.namespace

    @property
    def name(self) -> str:
        """The name of the Pod."""
        return self.subject.name


class Trial(StrEnum):
    """The outcome of the first eviction of an owner."""

    AWAITED = "awaited"
    PROVED = "proved"
    """A Pod that was created later has each reference that is due."""
    REFUTED = "refuted"
    """A Pod that was created later lacks a reference, so the next one would lack it as well."""


class OwnerRecord(msgspec.Struct, frozen=True):
    """An owner of which a Pod was evicted."""

    namespace: str
    names: tuple[str, ...]
    """The references that the Pod lacked. Another one is another trial."""
    newest: str
    """The creation time of the newest Pod of the owner before the eviction."""
    evicted_at: float
    """Unix time of the last eviction."""
    trial: Trial = Trial.AWAITED
    owner: str = ""
    """Kind and name, such as ``ReplicaSet/web``."""

    def is_about(self, names: Collection[str]) -> bool:
        """Return whether it is about one of these references."""
        return not set(self.names).isdisjoint(names)


class PodCase(msgspec.Struct, frozen=True):
    """The input of the conditions for one Pod."""

    pod: PulledPod
    decision: Decision
    """The decision about the Pod as if it were created now."""
    registries: Mapping[str, Collection[str]]
    """The registries by pull secret, of those whose copy is in place in the namespace."""
    record: OwnerRecord | None = None
    is_tried: bool = True
    """False while the trial of the owner has to be awaited."""
    is_refused: bool = False
    """True for a while after the API server has refused to evict the Pod."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Return the due references whose copy is in place."""
        return tuple(name for name in self.decision.added if name in self.registries)

    @property
    def helped(self) -> bool:
        """Return whether a missing reference has a credential for an image that cannot be pulled."""
        # The kubelet's own rules: a credential for another repository of the registry does not help.
        keys = [read_key(registry) for name in self.missing for registry in self.registries[name]]
        return any(key.covers(image) for image in self.pod.failing for key in keys)

    @property
    def owner(self) -> tuple[str, str]:
        """Return API group and kind of the controller; empty texts without one."""
        owner = self.pod.owner
        return ("", "") if owner is None else (owner.group, owner.kind)


class HealingGate(msgspec.Struct, frozen=True):
    """One condition of an eviction, with the texts about it."""

    reason: HealingReason
    verdict: Verdict
    stops: Callable[[PodCase], bool]
    stopped: Callable[[PodCase], str]
    """Return the fact about a Pod that is stopped; a clause without a full stop."""
    meaning: str
    advice: str


def _owner_words(case: PodCase) -> str:
    owner = case.pod.owner
    return "its controller" if owner is None else f"{owner.kind} {owner.name}"


GATES: tuple[HealingGate, ...] = (
    HealingGate(
        HealingReason.ENDING,
        Verdict.NONE,
        lambda case: case.pod.terminating,
        lambda _: "it is being deleted",
        "the Pod is being deleted",
        "nothing",
    ),
    HealingGate(
        HealingReason.PULLING,
        Verdict.NONE,
        lambda case: not case.pod.failing,
        lambda _: "no container of it fails to pull its image",
        "no container of the Pod is in `ErrImagePull` or `ImagePullBackOff`",
        "nothing",
    ),
    HealingGate(
        HealingReason.NOT_DUE,
        Verdict.NONE,
        lambda case: not case.decision.added,
        lambda case: f"it lacks no reference to a copy ({case.decision.reason})",
        "the Pod would get no further reference to a copy if it were created now",
        "see the reason of the decision: `pullsecrets explain pod/NAME`",
    ),
    HealingGate(
        HealingReason.COPY_ABSENT,
        Verdict.WAIT,
        lambda case: not case.missing,
        lambda case: f"the copy of {listed(case.decision.added)} is not in place yet",
        "the copy that the missing reference names is not in place yet",
        "nothing, `sync` writes the copy; if it does not: `pullsecrets explain ns/NAME`",
    ),
    HealingGate(
        # After COPY_ABSENT, because registries are known only for copies that are in place.
        HealingReason.NOT_COVERED,
        Verdict.NONE,
        lambda case: not case.helped,
        lambda case: (
            f"{listed(case.missing)} would not help, because "
            f"{'it has' if len(case.missing) == 1 else 'they have'} no credential for {case.pod.failing[0]}"
        ),
        "the missing reference has no credential for an image that cannot be pulled, so another Pod would fail as well",
        "add the registry to a source, or correct the image",
    ),
    HealingGate(
        # Another Pod could pull from here on. So a Pod that is not evicted is reported to a person.
        HealingReason.RUNS,
        Verdict.REPORT,
        lambda case: case.pod.has_run,
        lambda _: "a container of it runs, or has run",
        "a container of the Pod runs or has run, so the Pod is not touched",
        "recreate it when that suits its owner, for example with `kubectl rollout restart`",
    ),
    HealingGate(
        HealingReason.BARE,
        Verdict.REPORT,
        lambda case: case.pod.owner is None,
        lambda _: "it has no controller that would recreate it",
        "the Pod has no controller, so an eviction would delete it for good",
        "recreate it with the command in the Event",
    ),
    HealingGate(
        HealingReason.JOB,
        Verdict.REPORT,
        lambda case: case.owner == JOB,
        lambda case: f"it belongs to {_owner_words(case)}, which counts an eviction as a failure",
        "the Pod belongs to a Job, which may count an eviction against its `backoffLimit`",
        "recreate the Job, or delete the Pod if its `backoffLimit` has room",
    ),
    HealingGate(
        HealingReason.OTHER_CONTROLLER,
        Verdict.REPORT,
        lambda case: case.owner not in RECREATING,
        lambda case: f"it belongs to {_owner_words(case)}, which may not recreate it",
        "the controller of the Pod is not a ReplicaSet, StatefulSet, DaemonSet or ReplicationController, and may not "
        "recreate it",
        "recreate the Pod in the way of its controller",
    ),
    HealingGate(
        HealingReason.STOPPED,
        Verdict.REPORT,
        lambda case: case.record is not None and case.record.trial is Trial.REFUTED,
        lambda case: (
            f"a Pod of {_owner_words(case)} was evicted, and the one that replaced it lacks the reference, too"
        ),
        "an earlier Pod of the same owner was evicted, and its replacement lacks the reference as well: no Pod of this "
        "owner is evicted any more",
        "find out why the webhook does not add the reference: `pullsecrets check`, then recreate the Pods of the owner",
    ),
    HealingGate(
        HealingReason.TRIAL,
        Verdict.WAIT,
        lambda case: not case.is_tried,
        lambda case: f"another Pod of {_owner_words(case)} is first, and its replacement must have the reference",
        "another Pod of the same owner is evicted first, and its replacement must have the reference",
        "nothing",
    ),
    HealingGate(
        HealingReason.REFUSED,
        Verdict.WAIT,
        lambda case: case.is_refused,
        lambda _: "the API server has refused the eviction, and it is tried again later",
        "the API server refuses the eviction: a PodDisruptionBudget, a policy, or a missing right",
        "nothing for a PodDisruptionBudget; otherwise see the message of the Event",
    ),
)
"""In the order of the decision; a Pod that passes all is evicted."""

AWAITING = tuple(gate.reason for gate in GATES if gate.verdict is Verdict.WAIT)
"""The reasons of Pods that may be evicted later."""

DUE_TEXTS = ("the Pod is evicted as soon as the limit per minute allows it", "nothing")
"""The meaning and the advice of :attr:`HealingReason.DUE`."""


def healed_part(configuration: Configuration) -> Configuration:
    """Return the part of a configuration that healing is about.

    It is unknown whether a Secret of the tenants exists, so an eviction for it may not help.
    """
    return configuration.part(configuration.copied, configuration.retired)


def is_in_place(copy: Copy, namespace: Namespace, content_hash: str, *, has_tokens: bool) -> bool:
    """Return whether a copy is ours and has its content, or with ``has_tokens`` tokens of its namespace."""
    if copy.terminating or ownership_of(copy.mark, namespace.uid) is not Ownership.OURS:
        return False
    # Contents with tokens differ by namespace, so they have no common hash.
    return bool(copy.issued.issued_for) if has_tokens else copy.content_hash == content_hash


def judge(case: PodCase) -> HealingGate | None:
    """Return the first condition that a Pod does not meet; None if it is to be evicted."""
    return next((gate for gate in GATES if gate.stops(case)), None)


class HealingInput(msgspec.Struct, frozen=True):
    """The state of a cluster, as far as healing depends on it; ``now`` is in Unix seconds."""

    configuration: Configuration
    now: float
    records: Mapping[str, OwnerRecord] = msgspec.field(default_factory=dict)
    """By the UID of the owner."""
    refused: Collection[str] = ()
    """The UIDs of Pods that the API server has refused to evict a moment ago."""


class JudgedPod(NamedTuple):
    """A Pod, and the first condition that it does not meet; None if it is to be evicted."""

    case: PodCase
    gate: HealingGate | None


class ReportedPod(NamedTuple):
    """A Pod that a person has to look after, with the condition that it does not meet, and the fact about it."""

    pod: PulledPod
    gate: HealingGate
    fact: str


class DuePod(NamedTuple):
    """A Pod to evict, and the references that it lacks."""

    pod: PulledPod
    names: tuple[str, ...]


class NamespaceJudgement(msgspec.Struct):
    """The result of one look at the Pods of a namespace."""

    pods: list[JudgedPod] = msgspec.field(default_factory=list)
    """Each Pod, in the order of creation."""
    due: list[DuePod] = msgspec.field(default_factory=list)
    reported: list[ReportedPod] = msgspec.field(default_factory=list)
    counts: Counter[HealingReason] = msgspec.field(default_factory=Counter)
    trials: dict[str, Trial] = msgspec.field(default_factory=dict)
    """New outcomes of trials, by the UID of the owner."""
    candidates: set[str] = msgspec.field(default_factory=set)
    """The UIDs of Pods that are due, reported, or wait only for the trial of their owner or after a refusal."""
    lacking: set[str] = msgspec.field(default_factory=set)
    """The UIDs of owners that have a Pod without a due reference."""


def judge_namespace(
    namespace: Namespace,
    pods: Iterable[PulledPod],
    registries: Mapping[str, Collection[str]],
    healing_input: HealingInput,
    arrived_pods: Iterable[PulledPod] = (),
) -> NamespaceJudgement:
    """Judge the Pods of one namespace. ``registries`` are those of the copies that are in place.

    ``arrived_pods`` were created and may have begun to run since: they only show the outcome of a trial.
    """
    judged = NamespaceJudgement()
    decided = [(pod, decide(pod.subject, healing_input.configuration, namespace)) for pod in pods]
    # All Pods are seen before one is judged, because the replacement of a Pod can come later in the list.
    for pod, decision in decided:
        _learn(pod, decision, healing_input.records, judged)
    for pod in arrived_pods:
        _learn(pod, decide(pod.subject, healing_input.configuration, namespace), healing_input.records, judged)
    tried_owner_uids: set[str] = set()
    # The oldest Pod of an owner is its trial. The name decides between equal times, so that each leader chooses the
    # same.
    for pod, decision in sorted(decided, key=lambda pair: (pair[0].created, pair[0].name)):
        record = _record_of(pod, decision, healing_input.records, judged.trials)
        is_proved = record is not None and record.trial is Trial.PROVED
        is_tried = is_proved or pod.owner is None or pod.owner.uid not in tried_owner_uids
        # The replacement may be on its way. Without a sight of it, the time has to pass.
        if record is not None and record.trial is Trial.AWAITED:
            is_tried = is_tried and healing_input.now - record.evicted_at >= TRIAL_SECONDS
        case = PodCase(pod, decision, registries, record, is_tried, pod.uid in healing_input.refused)
        gate = judge(case)
        judged.pods.append(JudgedPod(case, gate))
        judged.counts[HealingReason.DUE if gate is None else gate.reason] += 1
        if gate is None or gate.reason in _CANDIDATES or gate.verdict is Verdict.REPORT:
            judged.candidates.add(pod.uid)
        if gate is None and pod.owner is not None:
            # One Pod of an owner in each round, until a replacement has proved that evictions help.
            tried_owner_uids.add(pod.owner.uid)
            judged.due.append(DuePod(pod, case.missing))
        elif gate is not None and gate.verdict is Verdict.REPORT:
            judged.reported.append(ReportedPod(pod, gate, gate.stopped(case)))
    return judged


_CANDIDATES = (HealingReason.TRIAL, HealingReason.REFUSED)


def _learn(pod: PulledPod, decision: Decision, records: Mapping[str, OwnerRecord], judged: NamespaceJudgement) -> None:
    """Note what a Pod shows about the trial of its owner."""
    if pod.owner is None or pod.terminating:
        return
    uid = pod.owner.uid
    if decision.added:
        judged.lacking.add(uid)
    record = records.get(uid)
    # Times of creation have whole seconds, so a Pod of the same second may be an old one.
    if record is None or pod.created <= record.newest:
        return
    if record.is_about(decision.added):
        judged.trials[uid] = Trial.REFUTED
    # A refutation by another Pod wins, in any order: the owner would otherwise be evicted again and again.
    elif record.trial is Trial.AWAITED and uid not in judged.trials and not decision.added:
        judged.trials[uid] = Trial.PROVED


def _record_of(
    pod: PulledPod, decision: Decision, records: Mapping[str, OwnerRecord], trials: Mapping[str, Trial]
) -> OwnerRecord | None:
    """Return the record of the owner of a Pod, if it is about a reference that the Pod lacks."""
    record = None if pod.owner is None else records.get(pod.owner.uid)
    if pod.owner is None or record is None or not record.is_about(decision.added):
        return None
    return msgspec.structs.replace(record, trial=trials.get(pod.owner.uid, record.trial))


def in_turn(due: Mapping[str, Sequence[DuePod]], last: Mapping[str, float], most: int) -> list[DuePod]:
    """Return up to ``most`` Pods, one of each namespace in turn; the namespace with the earliest ``last`` is first.

    So a namespace with thousands of Pods does not delay the others.
    """
    order = sorted(due, key=lambda name: (last.get(name, 0.0), name))
    longest = max(map(len, due.values()), default=0)
    turns = (due[name][turn] for turn in range(longest) for name in order if turn < len(due[name]))
    return list(islice(turns, most))
