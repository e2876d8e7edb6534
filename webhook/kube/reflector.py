"""Keep a handler up to date with every object of a collection.

The reflector lists, then watches from the list's resourceVersion. The first list is a WatchList stream if the server
supports it.

A watch may look healthy and be behind: an API server that has lost etcd, an etcd that was restored, a proxy that
swallows data. So a watch lasts for seconds only. Then the API server has to send a bookmark, and the next watch is a
new connection that may reach another API server. The collection is listed again, page by page and without a
resourceVersion, in these cases:

- 410 Gone, an ERROR event, or an event that cannot be decoded.
- A resourceVersion that goes backwards: etcd was restored.
- A watch that received nothing for :data:`INACTIVITY_SECONDS`, or two watches in a row that failed.
- Every few hours, without a cause.

Failures back off with jitter.

Sources: k8s.io/client-go/tools/cache/reflector.go; KEP-956 (bookmarks), KEP-3157 (WatchList), KEP-5504 (comparable
resourceVersions).
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar

import structlog

from webhook.errors import ApiError, ApiUnavailable, Forbidden, Gone, Invalid
from webhook.kube.listing import current_version, list_decoder, list_objects
from webhook.kube.status import decode_status, error_from_status
from webhook.kube.wire import Bookmark, EventType, Object, WatchEvent, decode_bookmark, decode_event, decoder
from webhook.rules.timing import delay
from webhook.rules.versions import is_older

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from webhook.kube.client import Client
    from webhook.kube.resources import Collection
    from webhook.kube.stream import Stream

log = structlog.get_logger(__name__)

WATCH_SECONDS = 12
WATCH_JITTER_SECONDS = 3
"""Requested seconds of one watch, and how many seconds longer it may be. The API server sends a bookmark 2 s before the
end (k8s.io/apiserver, pkg/storage/cacher/cache_watcher.go). A resumed watch costs it next to nothing."""

INACTIVITY_SECONDS = 20.0
"""Seconds of silence after which the peer counts as gone: a bookmark and the end of the watch are overdue."""

RELIST_SECONDS = 4 * 3600.0
RELIST_JITTER_SECONDS = 2 * 3600.0
"""Age in seconds at which a list is read again without a cause, and how much older it may become."""

FAILED_WATCHES = 2
"""Watches in a row that failed before they received anything. After these the collection is listed again."""

BACKOFF_BASE = 0.2
BACKOFF_CAP = 2.0
"""Seconds between attempts at most. The cap is low because it bounds how long the controller is blind after an outage.
A request every two seconds is no burden for an API server that has just come back."""

WATCH_BACKOFF_BASE = 0.5
WATCH_BACKOFF_CAP = 10.0
"""Seconds between attempts while lists succeed and watches fail: these requests are answered, and a list is heavy."""

STEADY_SECONDS = 5.0
"""Seconds after which a watch resets the backoff. Even if all watches end like that, it is one request in five seconds.
"""

SHORT_WATCH_SECONDS = 1.0
"""A watch that ends sooner counts as a failure, with or without events. Otherwise the controller would spin on a server
or proxy that sends one event and hangs up."""

W = TypeVar("W", bound=Object)
V = TypeVar("V")
V_contra = TypeVar("V_contra", contravariant=True)

_Pending: TypeAlias = dict[tuple[str, str], V]


class Handler(Protocol[V_contra]):
    """Receives the objects of one collection, from one thread, in order."""

    def replace(self, objects: Iterable[V_contra], resource_version: str, /) -> None:
        """Replace all known objects with these of a list of that version; all others are gone."""

    def upsert(self, obj: V_contra) -> None:
        """Add an object that is new, or update one that has changed."""

    def remove(self, obj: V_contra) -> None:
        """Remove an object that has been deleted, given in its last state."""


class Reflector(Generic[W, V]):
    """Reflects one collection into one handler, in a thread of its own.

    ``shape`` is the msgspec struct that objects are decoded into. ``convert`` turns it into the value for the handler,
    object by object. So discarded parts (the content of a Secret) are never held for a whole list. ``on_connected()``
    is called when a watch is open, and ``on_synced()`` when :attr:`has_synced` becomes true. ``on_restart(collection,
    cause)`` is called when a watch could not be opened, or ended before its time.
    """

    def __init__(  # noqa: PLR0913 - the collection, and all who follow it
        self,
        client: Client,
        collection: Collection,
        shape: type[W],
        convert: Callable[[W], V],
        handler: Handler[V],
        *,
        on_connected: Callable[[], None] | None = None,
        on_restart: Callable[[Collection, str], None] | None = None,
        on_synced: Callable[[], None] | None = None,
        inactivity: float = INACTIVITY_SECONDS,
    ) -> None:
        self.collection = collection
        self._client = client
        self._convert = convert
        self._handler = handler
        self._decode_list = list_decoder(shape)
        self._decode_object = decoder(shape)
        self._on_connected = on_connected
        self._on_restart = on_restart
        self._on_synced = on_synced
        self._inactivity = inactivity
        self._stopping = threading.Event()
        self._wake = threading.Event()
        """Ends the pause between two attempts."""

        self.has_synced = False
        """True if the handler has received everything at least once."""

        self._connected = False
        self._stream: Stream | None = None
        self._resource_version = ""
        self._uses_watch_list = True
        self._pending: _Pending[V] | None = None
        """The initial objects of a WatchList, until their end is announced."""
        self._failed_watches = 0
        self._renewals = 0
        """Number of calls of :meth:`renew`; ``_renewal`` is the one that the current list or watch follows."""

        self._renewal = self._renewed = 0
        self._must_relist = False
        self._listed_at = 0.0
        self._relist_at = 0.0
        self._thread = threading.Thread(target=self._run, name=f"reflector {collection}", daemon=True)

    def start(self) -> None:
        """Start to reflect."""
        self._thread.start()

    def stop(self) -> None:
        """Signal the thread to end, without waiting; see :meth:`join`."""
        # The flag first: a reader that wakes must find the reason, or it would report a failure.
        self._stopping.set()
        self._wake.set()
        stream = self._stream
        if stream is not None:
            stream.shutdown()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end: the handler is not called after that."""
        self._thread.join(timeout)

    def renew(self, *, relist: bool = False) -> None:
        """End the watch and resume it over a new connection, or list again first; see :attr:`is_renewed`."""
        # The flag before the number: a pass that begins in between would count as renewed without a list.
        self._must_relist = self._must_relist or relist
        self._renewals += 1
        self._wake.set()
        stream = self._stream
        if stream is not None:
            stream.shutdown()
        # The list or the watch that is being opened began before this call, so its response would not count.
        elif self._thread.ident is not None:
            self._client.connectivity.interrupt(self._thread.ident)

    @property
    def is_renewed(self) -> bool:
        """True if the API server has answered a list or a watch that began after the last :meth:`renew`."""
        return self._renewed == self._renewals

    @property
    def is_connected(self) -> bool:
        """True while a watch is open; otherwise the data of the handler becomes stale."""
        return self._connected

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                self._list_and_watch()
                # A watch that ends in its time is followed by the next without a pause.
                failures = self._failed_watches = 0
            except Exception as error:  # noqa: BLE001
                # A reflector that ends silently would be the worst outcome: report, list again, continue.
                self._connected = False
                if self._stopping.is_set():
                    return
                if self._is_outdated:
                    self._failed_watches = 0  # broken by renew()
                    continue
                # After a watch that worked for a while, this failure is the first of a series.
                steady = time.monotonic() - started >= STEADY_SECONDS
                failures = 1 if steady else failures + 1
                self._recover(error, failures, has_listed=self._listed_at >= started)

    @property
    def _is_outdated(self) -> bool:
        """True if the current list or watch began before the last :meth:`renew`."""
        return self._renewal != self._renewals

    def _recover(self, error: Exception, failures: int, *, has_listed: bool) -> None:
        base, cap = (WATCH_BACKOFF_BASE, WATCH_BACKOFF_CAP) if has_listed else (BACKOFF_BASE, BACKOFF_CAP)
        seconds = delay(failures, random.random(), base=base, cap=cap)  # noqa: S311 (jitter)
        log_fields = {"collection": str(self.collection), "retry_in": round(seconds, 2)}
        if isinstance(error, ApiError):
            seconds = max(seconds, error.retry_after or 0.0)
            # A missing right is reported by webhook.kube.rights, once for all watches and retries.
            level = log.debug if isinstance(error, Forbidden) else log.info
            level("watch interrupted", cause=str(error), **log_fields)
        else:
            log.error("watch failed", exc_info=error, **log_fields)
        # A defect of the handler may have left an object out, and only a list brings it again.
        if isinstance(error, Gone) or not isinstance(error, ApiError) or self._failed_watches >= FAILED_WATCHES:
            self._resource_version = ""
        if self._on_restart is not None:
            self._on_restart(self.collection, type(error).__name__)
        self._wake.wait(seconds)
        self._client.connectivity.wait_up(self._stopping)

    def _list_and_watch(self) -> None:
        # In this order: a call of renew() in between ends the next pause, and marks this pass as outdated.
        self._wake.clear()
        self._renewal = self._renewals
        if self._must_relist or (self._listed_at and time.monotonic() >= self._relist_at):
            self._resource_version, self._must_relist = "", False
        if not self._resource_version:
            # The first list only. Later something has gone wrong, perhaps with streams too, and a list is one response.
            if self._uses_watch_list and self._watch_list():
                return
            self._list()
        self._watch({"resourceVersion": self._resource_version})

    def _watch_list(self) -> bool:
        """Stream the initial objects, then the changes; False if the server does not support that."""
        # An empty resourceVersion requests the current state, which the API server confirms with etcd (KEP-3157).
        self._uses_watch_list = False
        query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "resourceVersion": ""}
        self._pending = {}
        try:
            self._watch(query)
        except ApiError as error:
            if self._resource_version or not _is_watch_list_unsupported(error):
                raise
            log.info("watch list not offered", collection=str(self.collection), cause=str(error))
            self._failed_watches = 0
            return False
        finally:
            # An incomplete set must not reach the handler, because replace() drops all other objects.
            self._pending = None
        return True

    def _list(self) -> None:
        # Without a resourceVersion the read is consistent: a state older than the one seen must not come back.
        objects, resource_version = list_objects(self._client, self.collection, self._decode_list, self._convert)
        self._replace(objects, resource_version)

    def _replace(self, objects: Iterable[V], resource_version: str) -> None:
        self._handler.replace(objects, resource_version)
        # After the handler has the objects: a new leader writes when this is true.
        self._renewed = self._renewal
        self._resource_version = resource_version
        self._listed_at = time.monotonic()
        self._relist_at = self._listed_at + RELIST_SECONDS + random.random() * RELIST_JITTER_SECONDS  # noqa: S311
        if not self.has_synced:
            self.has_synced = True
            if self._on_synced is not None:
                self._on_synced()

    def _watch(self, position: dict[str, str]) -> None:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            # Jitter, so that watches that began together do not all reconnect together.
            "timeoutSeconds": str(WATCH_SECONDS + random.randint(0, WATCH_JITTER_SECONDS)),  # noqa: S311
            **position,
            **self.collection.selector,
        }
        started = time.monotonic()
        try:
            self._read_stream(query)
        except ApiError as error:
            # Without any response, the API server is away. Then the watch may resume later.
            self._failed_watches += bool(error.status)
            raise
        if self._is_outdated:
            return
        if self._pending is not None or time.monotonic() - started < SHORT_WATCH_SECONDS:
            raise ApiUnavailable(f"WATCH {self.collection.path}: the server ended the watch immediately")
        if self._failed_watches:
            # Nothing arrived, not even a bookmark. A collection without changes since the API server started sends
            # none. But a watch from a version that etcd has discarded gets none either.
            self._check_version(current_version(self._client, self.collection))

    def _read_stream(self, query: dict[str, str]) -> None:
        """Process the events of one watch until it ends."""
        with self._client.stream(self.collection.path, query, inactivity=self._inactivity) as stream:
            self._stream = stream
            self._connected = True
            self._failed_watches += 1  # until an event arrives
            try:
                if self._stopping.is_set() or self._is_outdated:
                    return
                # A watch from a version counts as renewed when it opens, and a WatchList with its last initial object.
                if self._pending is None:
                    self._renewed = self._renewal
                if self._on_connected is not None:
                    self._on_connected()
                for line in stream.lines():
                    self._handle_line(line)
            finally:
                self._stream = None
                if stream.fell_silent:
                    self._resource_version = ""

    def _handle_line(self, line: bytes) -> None:
        try:
            self._handle_event(decode_event(line))
        except ApiError:
            # The same line would come again after a resume; a list contains only the current objects.
            self._resource_version = ""
            raise
        # Only after the event is handled: an event that cannot be decoded does not prove that the watch works.
        self._failed_watches = 0

    def _handle_event(self, event: WatchEvent) -> None:
        """Process one event."""
        if event.type is EventType.ERROR:
            status = decode_status(event.object)
            raise error_from_status("WATCH", self.collection.path, status, status.code)
        if event.type is EventType.BOOKMARK:
            self._handle_bookmark(decode_bookmark(event.object))
            return
        obj: W = self._decode_object(event.object)
        if self._pending is not None:
            self._add_pending(self._pending, event.type, obj)
            return
        self._advance(obj.metadata.resource_version)
        if event.type is EventType.DELETED:
            self._handler.remove(self._convert(obj))
        else:
            self._handler.upsert(self._convert(obj))

    def _handle_bookmark(self, bookmark: Bookmark) -> None:
        if self._pending is None:
            self._advance(bookmark.metadata.resource_version)
        elif bookmark.ends_initial_events:
            pending, self._pending = self._pending, None
            self._replace(pending.values(), bookmark.metadata.resource_version)

    def _advance(self, resource_version: str) -> None:
        """Note the resourceVersion that the watch has reached."""
        self._check_version(resource_version)
        self._resource_version = resource_version

    def _check_version(self, resource_version: str) -> None:
        """Raise Gone if the API server is at an older version than the one that was seen."""
        if is_older(resource_version, self._resource_version):
            message = f"WATCH {self.collection.path}: resourceVersion {resource_version} is older than the last one"
            raise Gone(f"{message}, {self._resource_version}: etcd was restored, or this API server is behind")

    def _add_pending(self, pending: _Pending[V], event: EventType, obj: W) -> None:
        key = (obj.metadata.namespace, obj.metadata.name)
        if event is EventType.DELETED:
            pending.pop(key, None)
        else:
            pending[key] = self._convert(obj)


def _is_watch_list_unsupported(error: ApiError) -> bool:
    """True if WatchList is unavailable: the feature is off (400, 422), or etcd is too old for it (500)."""
    return isinstance(error, Invalid) or (error.status == 500 and "RequestWatchProgress" in str(error))  # noqa: PLR2004
