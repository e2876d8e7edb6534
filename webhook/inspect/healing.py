"""Read the state of healing for ``explain``, as far as rights allow: Pods that have not begun, owners, refusals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from webhook.errors import Forbidden
from webhook.inspect.obstacles import read_reports
from webhook.inspect.secrets import read_state
from webhook.kube.pods import PENDING, PodObject, decode_pod, to_pulled_pod
from webhook.kube.resources import PODS, Collection
from webhook.report.healing import HealingView
from webhook.rules.healing_state import decode_healing
from webhook.rules.state_document import HEALING_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import msgspec

    from webhook.inspect.reader import Reader
    from webhook.inspect.release import InstalledRelease
    from webhook.report.explain.obstacle import EventReport
    from webhook.rules.configuration import Configuration
    from webhook.rules.healing import OwnerRecord, PulledPod

EVICTION_REFUSED = "EvictionRefused"
"""Reason of the Event by which the controller reports that the API server refuses an eviction."""

RECENT = timedelta(minutes=2)
"""Age of such an Event that still counts. A refused eviction is tried again every 30 seconds."""


def pulled_pod(content: bytes | msgspec.Raw, configuration: Configuration) -> PulledPod:
    """Return the part of a Pod that healing reads, from JSON."""
    return to_pulled_pod(decode_pod(content), configuration)


def read_view(reader: Reader, installed: InstalledRelease, namespace: str) -> HealingView:
    """Return the state of healing in a namespace."""
    return HealingView(
        read_pending(reader, installed.configuration, namespace),
        read_records(reader, installed),
        refused_evictions(read_reports(reader, namespace), datetime.now(UTC)),
    )


def read_pending(reader: Reader, configuration: Configuration, namespace: str) -> list[PulledPod] | None:
    """Return the Pods of a namespace that have not begun; None if they must not be listed, which is reported."""
    convert = partial(to_pulled_pod, configuration=configuration)
    try:
        return list(map(convert, reader.items(Collection(PODS, namespace, fields=PENDING), PodObject)))
    except Forbidden:
        reader.report_missing("list", PODS.plural, namespace)
        return None


def read_records(reader: Reader, installed: InstalledRelease) -> Mapping[str, OwnerRecord] | None:
    """Return the owners of which Pods were evicted, by UID; None if they must not be read, which is reported."""
    state = read_state(reader, installed)
    if not state.is_read:
        return None
    stored = decode_healing(state.other.get(HEALING_KEY))
    return {} if stored is None else stored.owners


def refused_evictions(reports: Iterable[EventReport], now: datetime) -> dict[str, str]:
    """Return the messages about refused evictions of a namespace, by Pod."""
    return {
        report.name: report.message
        for report in reports
        if report.reason == EVICTION_REFUSED and report.kind == "Pod" and now - report.at <= RECENT
    }
