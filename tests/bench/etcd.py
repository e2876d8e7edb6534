"""Read from etcd's own metrics what it was given, and put namespaces by the hundred thousand directly into it."""

from __future__ import annotations

import json
import re
import uuid
from base64 import b64decode, b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection

from tests.cluster.api import Api
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterFailed

WRITERS = 4
_PUTS = "etcd_mvcc_put_total"
_PUT_BYTES = "etcd_debugging_mvcc_total_put_size_in_bytes"
_LOG_BYTES = "etcd_disk_wal_write_bytes_total"
_UID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Written:
    """The puts that etcd was given between two moments."""

    puts: int
    put_bytes: int
    """Bytes of the keys and values of these puts."""
    log_bytes: int
    """Bytes that etcd wrote to its log for them, with the frames of each entry."""

    def without(self, puts: int, size: int) -> Written:
        """Return the same without so many puts of others, each of that many bytes; what the log takes is shared."""
        share = (self.puts - puts) / self.puts if self.puts else 0.0
        return Written(self.puts - puts, self.put_bytes - puts * size, round(self.log_bytes * share))


class Etcd:
    """The etcd of one cluster, as its administrator."""

    def __init__(self, cluster: Cluster) -> None:
        self._api: Api = cluster.etcd
        self._before = self._counters()

    def since(self) -> Written:
        """Return what etcd was given since the last call, or since the beginning."""
        before, self._before = self._before, self._counters()
        puts, put_bytes, log_bytes = (now - then for now, then in zip(self._before, before, strict=True))
        return Written(puts, put_bytes, log_bytes)

    def size(self, key: str) -> int:
        """Return the bytes of a key and its value."""
        return len(key.encode()) + len(self.value(key))

    def value(self, key: str) -> bytes:
        """Return a value. Raises ClusterFailed if there is none."""
        found = self._api.call("POST", "/v3/kv/range", {"key": _encoded(key.encode())}).get("kvs")
        if not found:
            raise ClusterFailed(f"etcd has no {key}")
        return b64decode(found[0]["value"])

    def clone_namespace(self, template: str, names: Sequence[str]) -> None:
        """Put copies of a namespace and of its ``default`` ServiceAccount, each with UIDs of its own.

        The names have as many characters as the template's: so a stored object, which is a protobuf message, needs no
        other change. Both objects of a namespace are one revision, and no two of a kind are.
        """
        assert all(len(name) == len(template) for name in names)
        keys = [f"/registry/namespaces/{template}", f"/registry/serviceaccounts/{template}/default"]
        objects = [_Template(key, self.value(key)) for key in keys]

        def put(share: Sequence[str]) -> None:
            connection = self._api.connect()
            for name in share:
                _put(connection, [each.renamed(template, name) for each in objects])
            connection.close()

        with ThreadPoolExecutor(WRITERS) as writers:
            for _ in writers.map(put, [names[first::WRITERS] for first in range(WRITERS)]):
                pass

    def _counters(self) -> tuple[int, int, int]:
        text = self._api.request("GET", "/metrics").text
        puts, put_bytes, log_bytes = (_metric(text, name) for name in (_PUTS, _PUT_BYTES, _LOG_BYTES))
        return puts, put_bytes, log_bytes


@dataclass(frozen=True, slots=True)
class _Template:
    """A stored object that is copied."""

    key: str
    value: bytes

    def renamed(self, template: str, name: str) -> tuple[bytes, bytes]:
        """Return key and value of the same object for another namespace, with a UID of its own."""
        found = _UID.search(self.value)
        assert found is not None
        value = self.value.replace(template.encode(), name.encode()).replace(found[0], str(uuid.uuid4()).encode())
        return self.key.replace(template, name).encode(), value


def _put(connection: HTTPConnection, pairs: Sequence[tuple[bytes, bytes]]) -> None:
    """Put several values as one revision."""
    puts = [{"request_put": {"key": _encoded(key), "value": _encoded(value)}} for key, value in pairs]
    connection.request("POST", "/v3/kv/txn", json.dumps({"success": puts}), {"Content-Type": "application/json"})
    response = connection.getresponse()
    body = response.read().decode()
    if response.status != HTTPStatus.OK:
        raise ClusterFailed(f"etcd refused a namespace: {response.status} {body[:200]}")


def _metric(text: str, name: str) -> int:
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    if found is None:
        raise ClusterFailed(f"etcd has no metric {name}")
    return round(float(found[1]))


def _encoded(value: bytes) -> str:
    return b64encode(value).decode()
