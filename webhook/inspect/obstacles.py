"""Read the obstacles that keep the controller from writing: its Lease, and the Events that it has written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from webhook.errors import Forbidden
from webhook.kube.events import COMPONENT
from webhook.kube.lease import decode_lease
from webhook.kube.resources import EVENTS, LEASES, SECRETS, SERVICE_ACCOUNTS, Collection
from webhook.kube.wire import ObjectMeta, decoder
from webhook.report.explain.obstacle import (
    UNKNOWN_WRITER,
    ControllerState,
    EventReport,
    Holder,
    Target,
    obstacle_everywhere,
    standing_reports,
)
from webhook.rules.ownership import FieldManager, is_written_by_us

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from webhook.inspect.reader import Reader
    from webhook.inspect.release import InstalledRelease


class _Involved(msgspec.Struct, frozen=True):
    kind: str = ""
    name: str = ""


class _Dated(FieldManager, frozen=True, gc=False):
    time: str | None = None


class _WrittenMetadata(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    managed_fields: tuple[_Dated, ...] = ()


class _Written(msgspec.Struct, frozen=True):
    metadata: _WrittenMetadata


_decode_written: Callable[[bytes], _Written] = decoder(_Written)

_RESOURCES = {each.kind: each for each in (SECRETS, SERVICE_ACCOUNTS)}


class Event(msgspec.Struct, frozen=True, rename="camel"):
    """A core/v1 Event."""

    metadata: ObjectMeta
    involved_object: _Involved = _Involved()
    reason: str = ""
    message: str = ""
    first_timestamp: str | None = None
    last_timestamp: str | None = None


def parse_time(text: str | None) -> datetime | None:
    """Return a time that the API server has printed; None without one, or if Python cannot represent it.

    Events and ``managedFields`` are written by tenants, too. The API server accepts the years 0 and 10000, and Python
    does not.
    """
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def read_holder(reader: Reader, installed: InstalledRelease) -> Holder:
    """Return the holder of the Lease of sync; raises Forbidden if it cannot be read."""
    namespace, name = installed.release.namespace, f"{installed.fullname}-sync"
    content = reader.get(LEASES, name, namespace)
    spec = None if content is None else decode_lease(content).spec
    if spec is None or not spec.holder_identity or not spec.renew_time:
        return Holder(namespace, name)
    renewed, term = datetime.fromisoformat(spec.renew_time), timedelta(seconds=spec.lease_duration_seconds or 0)
    return Holder(namespace, name, spec.holder_identity, renewed, term)


def read_reports(reader: Reader, namespace: str | None) -> list[EventReport]:
    """Return the Events that the controller wrote in a namespace, or in all; none if they cannot be listed."""
    query = {"fieldSelector": f"reportingComponent={COMPONENT}"}
    try:
        return list(_reports(reader, Collection(EVENTS, namespace), query))
    except Forbidden:
        reader.report_missing("list", "events", namespace)
        return []


def read_writer(
    reader: Reader, installed: InstalledRelease, namespace: str, is_right: Callable[[Target], bool]
) -> ControllerState:
    """Return the state of the controller in one namespace; ``is_right`` returns True for objects that need no write."""
    return with_reports(reader, read_writer_of_all(reader, installed), read_reports(reader, namespace), is_right)


def read_writer_of_all(reader: Reader, installed: InstalledRelease) -> ControllerState:
    """Return the state of the controller without the reports about single namespaces."""
    release = installed.release.namespace
    try:
        holder = read_holder(reader, installed)
    except Forbidden:
        reader.report_missing("get", f"leases/{installed.fullname}-sync", release)
        return UNKNOWN_WRITER
    return ControllerState(True, obstacle_everywhere(holder, read_reports(reader, release), datetime.now(UTC)))


def with_reports(
    reader: Reader, writer: ControllerState, reports: Iterable[EventReport], is_right: Callable[[Target], bool]
) -> ControllerState:
    """Return the state of the controller with those reports about a namespace that still count."""
    written = partial(is_written_since, reader)
    return replace(writer, reports=standing_reports(reports, datetime.now(UTC), is_right, written))


def is_written_since(reader: Reader, report: EventReport) -> bool:
    """Return True if the controller has written the object of a report since, as its ``managedFields`` prove."""
    resource = _RESOURCES.get(report.kind)
    if resource is None:
        return False
    content, _ = reader.get_if_allowed(resource, report.name, report.namespace)
    if content is None:
        return False
    metadata = _decode_written(content).metadata
    ours = (parse_time(writer.time) for writer in metadata.managed_fields if is_written_by_us((writer,)))
    last = max((time for time in ours if time is not None), default=None)
    if last is None or last != report.at:
        return last is not None and last > report.at
    # Both times are in whole seconds. In the same second, the revisions of etcd show which came first, unless Events
    # are in an etcd of their own.
    return _number(metadata.resource_version) > report.version


def _number(version: str) -> int:
    return int(version) if version.isascii() and version.isdecimal() else 0


def _reports(reader: Reader, collection: Collection, query: dict[str, str]) -> Iterator[EventReport]:
    for event in reader.items(collection, Event, query):
        if (at := parse_time(event.last_timestamp)) is not None:
            involved, version = event.involved_object, _number(event.metadata.resource_version)
            namespace = event.metadata.namespace or ""
            yield EventReport(namespace, event.reason, event.message, at, involved.kind, involved.name, version)
