"""What the loop keeps of each namespace: enough for a plan, and nothing of what a Secret holds."""

from __future__ import annotations

import gc
import json
import threading
import tracemalloc
import uuid
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import pytest

from tests.unit.polling import until
from tests.unit.sync.world import CONFIGURATION, LABEL, OURS, RELEASE
from webhook.errors import Invalid
from webhook.kube.client import Client
from webhook.kube.listing import PAGE_BYTES
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE
from webhook.rules.ownership import NAMESPACE_UID_LABEL
from webhook.sync.caches import Caches
from webhook.sync.sources import SourceStore

NAMESPACES = 1_000
PAYLOAD = b64encode(b"x" * 12_000).decode()
"""What each copy holds: much more than may be kept of it."""

MOST_BYTES = 2_048
"""Kept of each namespace with its ServiceAccount and its copy, by Python's own count: 20 MiB for 10,000 namespaces."""

LARGEST_BLOCK = 512 * 1024
"""Bytes of one allocation. Only the interpreter's own table of interned strings is larger: it doubles at some time, and
when depends on the tests that ran before in this process."""

MOST_BYTES_OF_A_PAGE = 4 * PAGE_BYTES
"""While a page is decoded: its bytes, what is made of them, and as much again for what the test makes them of."""


class Cluster:
    """Answers lists and watches with as many objects as there are namespaces; then nothing happens any more."""

    def __init__(self, *, watch_list: bool) -> None:
        self._watch_list = watch_list
        self._stopped = threading.Event()
        self.connectivity = self

    def wait_up(self, stopping: threading.Event) -> None:
        """Hold the reflectors back once the cluster is closed: its watches end with it."""
        stopping.wait()

    @contextmanager
    def stream(self, path: str, query: Mapping[str, str], *, inactivity: float) -> Iterator[Lines]:
        assert inactivity > 0
        initial = "sendInitialEvents" in query
        if initial and not self._watch_list:
            raise Invalid("sendInitialEvents is forbidden", status=422)
        yield Lines(path, count(path) if initial else None, self._stopped)

    def request(self, method: str, path: str, *, query: Mapping[str, str], max_bytes: int) -> bytes:
        assert max_bytes >= PAGE_BYTES
        first = int(query.get("continue", "0"))
        last = first + int(query["limit"])
        assert (method, self._watch_list) == ("GET", False)
        items = [stored(path, number) for number in range(first, min(last, count(path)))]
        following = {"continue": str(last)} if last < count(path) else {}
        return json.dumps({"metadata": {"resourceVersion": "1000000", **following}, "items": items}).encode()

    def close(self) -> None:
        self._stopped.set()


class Lines:
    """One watch; it begins with that many objects, unless ``count`` is None."""

    def __init__(self, path: str, count: int | None, stopped: threading.Event) -> None:
        self._path = path
        self._count = count
        self._stopped = stopped

    def lines(self) -> Iterator[bytes]:
        if self._count is not None:
            for number in range(self._count):
                yield event("ADDED", stored(self._path, number))
            end = {"annotations": {"k8s.io/initial-events-end": "true"}, "resourceVersion": "1000000"}
            yield event("BOOKMARK", {"metadata": end})
        self._stopped.wait(60.0)

    def shutdown(self) -> None:
        self._stopped.set()


def count(path: str) -> int:
    """Return how many objects are there: none in the one namespace where the source would be."""
    return 0 if "/namespaces/" in path else NAMESPACES


def stored(path: str, number: int) -> dict[str, Any]:
    """Return an object as the API server sends it, with all that nobody reads."""
    namespace = f"team-{number:05}-production"
    match path.rpartition("/")[2]:
        case "namespaces":
            labels = {LABEL: "enabled", "kubernetes.io/metadata.name": namespace, "example.com/team": f"team-{number}"}
            return {"metadata": metadata(number, "", namespace, labels)}
        case "serviceaccounts":
            references = [{"name": "theirs"}, {"name": "pull"}]
            return {"metadata": metadata(number, namespace, "default", {}), "imagePullSecrets": references}
        case _:
            found = metadata(number, namespace, "pull", OURS | {NAMESPACE_UID_LABEL: str(uuid.UUID(int=number))})
            return {"metadata": found, "type": COPY_TYPE, "data": {COPY_KEY: PAYLOAD}}


def metadata(number: int, namespace: str, name: str, labels: dict[str, str]) -> dict[str, Any]:
    fields: dict[str, dict[str, Any]] = {f"f:part-{part}": {} for part in range(30)}
    return {
        "name": name,
        **({"namespace": namespace} if namespace else {}),
        **({"labels": labels} if labels else {}),
        "uid": str(uuid.UUID(int=number)),
        "resourceVersion": str(100_000 + number),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:metadata": fields}}],
    }


def event(kind: str, obj: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode()


@pytest.mark.parametrize(("watch_list", "extra"), [(True, 0), (False, MOST_BYTES_OF_A_PAGE)], ids=["stream", "pages"])
def test_little_is_kept_of_a_namespace_and_little_more_needed_to_read_it(*, watch_list: bool, extra: int) -> None:
    cluster = Cluster(watch_list=watch_list)
    book = SourceStore(lambda: None, lambda _: None, lambda *_: None)
    gc.collect()
    tracemalloc.start()
    try:
        caches = Caches(cast("Client", cluster), RELEASE, book, lambda _: None, lambda *_: None, lambda: None)
        caches.configure(CONFIGURATION)
        until(lambda: not caches.unsynced())
        gc.collect()
        traced, peak = tracemalloc.get_traced_memory()
        kept = sum(trace.size for trace in tracemalloc.take_snapshot().traces if trace.size <= LARGEST_BLOCK)
    finally:
        tracemalloc.stop()
        cluster.close()
        caches.stop()

    copies = caches.copies("pull")
    assert copies is not None
    assert len(caches.namespaces.names()) == NAMESPACES
    for table in (caches.service_accounts, copies):
        assert sum(map(table.count_in, table.namespaces())) == NAMESPACES
    assert kept / NAMESPACES < MOST_BYTES
    assert peak < traced + NAMESPACES * MOST_BYTES + extra
