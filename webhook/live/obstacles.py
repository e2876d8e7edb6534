"""Read what keeps the controller from writing: its Lease, and the Events that it has written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from webhook.core.explain.obstacle import Holder, Report, Writer, obstacle_in
from webhook.errors import Forbidden
from webhook.kube.events import COMPONENT
from webhook.kube.lease import decode_lease
from webhook.kube.resources import EVENTS, LEASES, Collection
from webhook.kube.wire import ObjectMeta  # noqa: TC001 - msgspec evaluates the annotations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.live.reader import Reader
    from webhook.live.release import Installed


class Event(msgspec.Struct, frozen=True, rename="camel"):
    """A core/v1 Event."""

    metadata: ObjectMeta
    reason: str = ""
    message: str = ""
    last_timestamp: str | None = None


def read_holder(reader: Reader, installed: Installed) -> Holder:
    """Return who holds the Lease of sync; raises Forbidden where it may not be read."""
    namespace, name = installed.release.namespace, f"{installed.fullname}-sync"
    content = reader.one(LEASES, name, namespace)
    spec = None if content is None else decode_lease(content).spec
    if spec is None or not spec.holder_identity or not spec.renew_time:
        return Holder(namespace, name)
    renewed, term = datetime.fromisoformat(spec.renew_time), timedelta(seconds=spec.lease_duration_seconds or 0)
    return Holder(namespace, name, spec.holder_identity, renewed, term)


def read_reports(reader: Reader, namespace: str | None) -> list[Report]:
    """Return the Events that the controller wrote in a namespace, or in all; none where they may not be listed."""
    query = {"fieldSelector": f"reportingComponent={COMPONENT}"}
    try:
        return list(_reports(reader, Collection(EVENTS, namespace), query))
    except Forbidden:
        reader.lacks("list", "events", namespace)
        return []


def read_writer(reader: Reader, installed: Installed, namespace: str) -> Writer:
    """Return what is known of the controller in one namespace."""
    reports = read_reports(reader, namespace)
    try:
        holder = read_holder(reader, installed)
    except Forbidden:
        reader.lacks("get", f"leases/{installed.fullname}-sync", installed.release.namespace)
        return Writer()
    return Writer(known=True, obstacle=obstacle_in(holder, reports, datetime.now(UTC)))


def _reports(reader: Reader, collection: Collection, query: dict[str, str]) -> Iterator[Report]:
    for event in reader.each(collection, Event, query):
        if event.last_timestamp:
            at = datetime.fromisoformat(event.last_timestamp)
            yield Report(event.metadata.namespace or "", event.reason, event.message, at)
