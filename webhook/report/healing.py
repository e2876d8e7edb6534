"""Report what healing does about a Pod that lacks a reference: a step of ``explain``, and the row of ``plan``.

``HealingScene`` is about one Pod in the present state of its namespace. ``HealingForecast`` is about all Pods of a
namespace that lack a reference, with the copies as they will be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec.structs import replace

from webhook.report.coverage import registries_for, registries_in
from webhook.report.explain.commands import recreate_command
from webhook.report.explain.step import HEALING_GATE, Step
from webhook.report.preview.copies import hashes_for
from webhook.report.preview.row import Effect
from webhook.report.protocol import Severity
from webhook.report.reasons import advice
from webhook.rules.gates import decide, selected_pull_secrets
from webhook.rules.healing import (
    SETTLE_SECONDS,
    HealingInput,
    HealingReason,
    Verdict,
    healed_part,
    is_in_place,
    judge_namespace,
)
from webhook.rules.text import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from webhook.report.explain.obstacle import ControllerState
    from webhook.report.preview.cluster_view import ClusterView
    from webhook.report.preview.row import Row
    from webhook.report.preview.secrets import Expected, Sources
    from webhook.rules.configuration import Configuration
    from webhook.rules.healing import JudgedPod, OwnerRecord, PulledPod
    from webhook.rules.objects import Namespace

_OF_SYNC = (HealingReason.DUE, HealingReason.TRIAL, HealingReason.REFUSED)
"""The next step is one of sync."""


class HealingView(msgspec.Struct, frozen=True):
    """The state of healing in a namespace; a part that must not be read is None."""

    pods: Sequence[PulledPod] | None = None
    """The Pods that have not begun."""
    records: Mapping[str, OwnerRecord] | None = None
    """The owners of which Pods were evicted, by UID."""
    refused: Mapping[str, str] = msgspec.field(default_factory=dict)
    """The messages about evictions that the API server has just refused, by Pod."""

    @property
    def lacking(self) -> str:
        """The rights that are missing, as a clause; empty if all was read."""
        parts = (("list Pods in the namespace", self.pods), ("read the state of sync", self.records))
        return " and to ".join(right for right, read in parts if read is None)


NOT_READ = HealingView()


class PodHealing(msgspec.Struct, frozen=True):
    """The input of the step: the Pod with its workload, the state of its namespace, and that of the controller."""

    cluster: ClusterView
    pod: PulledPod
    owner: str
    """The workload, as kubectl writes it: ``deployment/api``; empty without one."""
    registries: Mapping[str, Collection[str]]
    view: HealingView
    writer: ControllerState
    now: datetime

    def step(self) -> Step | None:
        """Return the step; None if healing is off and the Pod lacks no reference."""
        namespace, configuration = self.cluster.namespace(self.pod.namespace), self._configuration
        if namespace is None:
            return None
        missing = decide(self.pod.subject, configuration, namespace).added
        if not configuration.healing.enabled:
            message = "healing is off (healing.enabled), so it stays as it is until it is recreated"
            # The step about the reference has the same command, and is the verdict.
            step = replace(_step(Severity.NOTE, message, command=self._recreate()), follows=True)
            return step if missing else None
        unseen = [name for name in missing if name in self.cluster.unseen_copies]
        if unseen:
            message = (
                f"you lack the right to read the copy of {listed(unseen)}, so it is not known if healing evicts it"
            )
            return _step(Severity.UNKNOWN, message, advice="ask for get on the Secret")
        return self._judged(self._judge(namespace))

    @property
    def _configuration(self) -> Configuration:
        return healed_part(self.cluster.configuration)

    def _judge(self, namespace: Namespace) -> JudgedPod:
        others = [pod for pod in self.view.pods or () if pod.uid != self.pod.uid]
        refused = (self.pod.uid,) if self.pod.name in self.view.refused else ()
        healing_input = HealingInput(self._configuration, self.now.timestamp(), self.view.records or {}, refused)
        judged = judge_namespace(namespace, [*others, self.pod], self._in_place(namespace), healing_input)
        return next(pod for pod in judged.pods if pod.case.pod is self.pod)

    def _in_place(self, namespace: Namespace) -> dict[str, Collection[str]]:
        """Return the registries of each copy that is as it must be, by pull secret."""
        state = self.cluster.states[namespace.name]
        hashes, registries = hashes_for(self.cluster.expected, state), {}
        for entry in selected_pull_secrets(self._configuration, namespace):
            copy, content = state.copies.get(entry.name), hashes.get(entry.name)
            if copy is None or content is None:
                continue
            if is_in_place(copy, namespace, content, has_tokens=bool(entry.tokens)):
                registries[entry.name] = self.registries.get(entry.name, ())
        return registries

    def _judged(self, judged: JudgedPod) -> Step:
        gate = judged.gate
        if gate is not None and gate.reason is HealingReason.NOT_DUE:
            return _step(Severity.OK, f"healing does not evict it, because {gate.stopped(judged.case)}")
        reason = HealingReason.DUE if gate is None else gate.reason
        if reason in _OF_SYNC and (open_question := self._open_question()) is not None:
            return replace(open_question, reason=reason)
        if gate is None:
            return _step(Severity.NOTE, self._when(), reason, advice(reason), awaits_sync=True)
        verb = "does not evict it yet" if gate.verdict is Verdict.WAIT else "does not evict it"
        message = f"healing {verb}, because {gate.stopped(judged.case)}"
        if reason is HealingReason.REFUSED:
            message = f"{message}: {self.view.refused[self.pod.name]}"
        command = self._recreate() if gate.verdict is Verdict.REPORT and reason is not HealingReason.STOPPED else ""
        command = "pullsecrets check" if reason is HealingReason.STOPPED else command
        is_of_sync = reason in _OF_SYNC
        return _step(Severity.NOTE, message, reason, advice(reason), command=command, awaits_sync=is_of_sync)

    def _open_question(self) -> Step | None:
        """Return the step if it is not known that sync does the next step; None if it is."""
        if self.writer.obstacle is not None:
            message = f"healing is due to evict it, but sync does not: {self.writer.obstacle.message}"
            return _step(Severity.NOTE, message, advice=self.writer.obstacle.advice, awaits_sync=True)
        if not self.writer.is_known:
            message = "you lack the right to read the Lease of sync, so it is not known if healing evicts it"
            return _step(Severity.UNKNOWN, message, advice="pullsecrets check", awaits_sync=True)
        if lacking := self.view.lacking:
            message = (
                "all conditions that can be read are met; you lack the right to "
                f"{lacking}, so it is not known if healing evicts it now"
            )
            return _step(Severity.UNKNOWN, message, advice="ask for the right", awaits_sync=True)
        return None

    def _when(self) -> str:
        owner, limit = self.pod.owner, self._configuration.healing.per_minute
        recreates = "its controller" if owner is None else f"{owner.kind} {owner.name}"
        return (
            f"healing evicts it, and {recreates} recreates it with the reference: after {SETTLE_SECONDS:.0f} seconds "
            f"in this state, as soon as {few_evicted(limit)} in the last minute"
        )

    def _recreate(self) -> str:
        return recreate_command(self.pod.namespace, self.owner, self.pod.name)


def few_evicted(limit: int) -> str:
    """Return the clause that fewer Pods were evicted than are allowed."""
    return f"fewer than {limit:,} Pods were evicted" if limit > 1 else "no Pod was evicted"


def _step(
    severity: Severity,
    message: str,
    reason: str = "",
    advice: str = "",
    *,
    command: str = "",
    awaits_sync: bool = False,
) -> Step:
    return Step(HEALING_GATE, severity, message, reason, advice, command=command, awaits_sync=awaits_sync)


class LackingPod(NamedTuple):
    """A Pod without a due reference, and its row."""

    pod: PulledPod
    row: Row


class HealingForecast(msgspec.Struct, frozen=True):
    """Forecasts what healing does; ``registries`` are those of the copies as they will be."""

    given: HealingInput
    registries: Mapping[str, Collection[str]]
    unseen: Collection[str] = ()
    """The pull secrets with a source that must not be read."""

    @classmethod
    def make(
        cls,
        configuration: Configuration,
        expected: Mapping[str, Expected],
        sources: Sources,
        now: float,
        records: Mapping[str, OwnerRecord],
    ) -> HealingForecast:
        """Return the forecast under a configuration and the present content of its sources."""
        kept = {
            name: registries_in(content.last_good.payload)
            for name, content in expected.items()
            if content.last_good is not None
        }
        registries = registries_for(configuration, sources)
        unseen = [name for name, content in expected.items() if content.unseen]
        return cls(HealingInput(healed_part(configuration), now, records), {**registries, **kept}, unseen)

    def rows(self, namespace: Namespace, lacking: Sequence[LackingPod]) -> Iterator[Row]:
        """Yield the rows of the Pods of a namespace that lack a reference, in their order."""
        judged = judge_namespace(namespace, [pod for pod, _ in lacking], self.registries, self.given)
        outcomes = {outcome.case.pod.uid: outcome for outcome in judged.pods}
        for pod, row in lacking:
            yield self._row(row, outcomes[pod.uid])

    def _row(self, row: Row, judged: JudgedPod) -> Row:
        gate, pod = judged.gate, judged.case.pod
        if gate is not None and gate.reason in (HealingReason.ENDING, HealingReason.PULLING):
            return row
        cannot = f"it cannot pull {pod.failing[0]}, and lacks {listed(row.added)}"
        if not set(row.added).isdisjoint(self.unseen):
            message = f"{cannot}: you lack the right to read the source, so it is not known if healing evicts it"
            return replace(row, message=message)
        if gate is None:
            message = f"{cannot}: healing evicts it, so that it is recreated"
            return replace(row, effect=Effect.EVICT, reason=HealingReason.DUE, message=message)
        message = f"{cannot}: healing does not evict it, because {gate.stopped(judged.case)}"
        if gate.reason is HealingReason.TRIAL:
            message = f"{cannot}: healing evicts it later; {gate.stopped(judged.case)}"
            return replace(row, effect=Effect.EVICT, reason=gate.reason, message=message)
        return replace(row, reason=row.reason if gate.verdict is Verdict.NONE else gate.reason, message=message)
