"""Add to the rows of Pods without a due reference what healing would do: evict them, or only report them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from webhook.report.coverage import registries_for, registries_in
from webhook.report.preview.row import Effect
from webhook.rules.healing import HealingInput, HealingReason, Verdict, healed_part, judge_namespace
from webhook.rules.text import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from webhook.report.preview.row import Row
    from webhook.report.preview.secrets import Expected, Sources
    from webhook.rules.configuration import Configuration
    from webhook.rules.healing import JudgedPod, OwnerRecord, PulledPod
    from webhook.rules.objects import Namespace


class LackingPod(NamedTuple):
    """A Pod without a due reference, and its row."""

    pod: PulledPod
    row: Row


@dataclass(frozen=True, slots=True)
class HealingForecast:
    """Forecasts what healing does; ``registries`` are those of the copies as they will be."""

    given: HealingInput
    registries: Mapping[str, Collection[str]]
    unseen: Collection[str] = field(default=())
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
        known = registries_for(configuration, sources)
        unseen = [name for name, content in expected.items() if content.unseen]
        return cls(HealingInput(healed_part(configuration), now, records), {**known, **kept}, unseen)

    def rows(self, namespace: Namespace, lacking: Sequence[LackingPod]) -> Iterator[Row]:
        """Yield the rows of the Pods of a namespace that lack a reference, in their order."""
        judged = judge_namespace(namespace, [each.pod for each in lacking], self.registries, self.given)
        outcomes = {each.case.pod.uid: each for each in judged.pods}
        for pod, row in lacking:
            yield self._row(row, outcomes[pod.uid])

    def _row(self, row: Row, judged: JudgedPod) -> Row:
        gate, pod = judged.gate, judged.case.pod
        if gate is not None and gate.reason in (HealingReason.ENDING, HealingReason.PULLING):
            return row
        cannot = f"it cannot pull {pod.failing[0]}, and lacks {listed(row.added)}"
        if not set(row.added).isdisjoint(self.unseen):
            why = f"{cannot}: you lack the right to read the source, so it is not known if healing evicts it"
            return replace(row, why=why)
        if gate is None:
            why = f"{cannot}: healing evicts it, so that it is recreated"
            return replace(row, effect=Effect.EVICT, reason=HealingReason.DUE, why=why)
        why = f"{cannot}: healing does not evict it, because {gate.stopped(judged.case)}"
        if gate.reason is HealingReason.TRIAL:
            why = f"{cannot}: healing evicts it later; {gate.stopped(judged.case)}"
            return replace(row, effect=Effect.EVICT, reason=gate.reason, why=why)
        return replace(row, reason=row.reason if gate.verdict is Verdict.NONE else gate.reason, why=why)
