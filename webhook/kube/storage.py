"""Compute how many bytes the API server gives etcd for a Secret: those of its key, and of its value.

The value is a protobuf message. With encryption at rest, etcd gets some dozen bytes more.

Sources: k8s.io/api/core/v1/generated.proto, k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto,
k8s.io/apimachinery/pkg/runtime/generated.proto (the envelope).
"""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from webhook.kube.wire import decoder
from webhook.rules.dockerconfig import COPY_KEY
from webhook.rules.ownership import FIELD_MANAGER, FieldManager, is_ours
from webhook.rules.versions import SOURCES_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KEY_PREFIX = "/registry/secrets/"
"""The API server's default."""

# "k8s" and a zero byte, before each object that is stored as protobuf.
_MAGIC = 4
_TIME = 10
"""Bytes of a time of this century, as a field."""

_FLAG = 2
"""Bytes of a field that is a bool or a small number."""

_LAST_SHORT = 15
"""The highest number of a field whose tag is one byte."""

_SEVEN_BITS = 7


class ManagedFields(FieldManager, frozen=True, gc=False, rename="camel"):
    """A complete entry of ``metadata.managedFields``."""

    api_version: str = ""
    time: str = ""
    fields_type: str = ""
    fields_v1: dict[str, object] = msgspec.field(default_factory=dict)
    subresource: str = ""


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    namespace: str
    uid: str = ""
    generate_name: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    managed_fields: tuple[ManagedFields, ...] = ()


class StoredSecret(msgspec.Struct, frozen=True):
    """A core/v1 Secret with all that a copy is stored with; ``data`` is base64 text. Never shown."""

    metadata: _Metadata
    type: str = ""
    data: dict[str, str] = {}
    immutable: bool | None = None

    def __repr__(self) -> str:
        return f"Secret {self.metadata.namespace}/{self.metadata.name}"

    @property
    def changed_at(self) -> str:
        """The time of our last update, as in the API; empty if the copy has not been changed since it was created."""
        return next((entry.time for entry in self.metadata.managed_fields if _has_updated(entry)), "")

    def after_update(self) -> StoredSecret:
        """Return the same Secret after we have updated it with another content that is as long.

        With the first update, the field manager of updates gets an entry with the same fields as that of the creation,
        and the latter loses the fields that differ.
        """
        writers = self.metadata.managed_fields
        if any(map(_has_updated, writers)):
            return self
        entries = [_after_update(entry) if is_ours(entry) else entry for entry in writers]
        updated = [replace(entry, manager=FIELD_MANAGER) for entry in writers if is_ours(entry)][:1]
        return replace(self, metadata=replace(self.metadata, managed_fields=(*entries, *updated)))

    def stored_bytes(self) -> int:
        """Return the bytes of the key and of the value in etcd."""
        metadata = self.metadata
        key_bytes = len(f"{KEY_PREFIX}{metadata.namespace}/{metadata.name}".encode())
        data = {key: b64decode(value) for key, value in self.data.items()}
        secret = (
            _field(1, _size_of_metadata(metadata))
            + _map(2, data)
            + _text(3, self.type)
            # A pointer in Go: nil is not written.
            + (0 if self.immutable is None else _FLAG)
        )
        # Empty texts are written, too: gogo/protobuf writes each field that is not a pointer.
        envelope = _field(1, _text(1, "v1") + _text(2, "Secret")) + _field(2, secret) + _text(3, "") + _text(4, "")
        return key_bytes + _MAGIC + envelope


decode_stored: Callable[[bytes | msgspec.Raw], StoredSecret] = decoder(StoredSecret)


def _has_updated(entry: FieldManager) -> bool:
    return is_ours(entry) and entry.manager == FIELD_MANAGER


def _after_update(entry: ManagedFields) -> ManagedFields:
    """Return the entry of a creation without the fields that an update takes over: the content and its sources."""
    fields = _without(entry.fields_v1, ("f:data", f"f:{COPY_KEY}"))
    fields = _without(fields, ("f:metadata", "f:annotations", f"f:{SOURCES_ANNOTATION}"))
    return replace(entry, fields_v1=fields)


def _without(fields: Mapping[str, object], path: tuple[str, ...]) -> dict[str, object]:
    """Return fields without one of them, and without the parents that contain no other."""
    first, *rest = path
    inner = fields.get(first)
    others = {key: value for key, value in fields.items() if key != first}
    if not rest or not isinstance(inner, dict):
        return others
    left = _without(inner, tuple(rest))
    return {**others, first: left} if left else others


def _size_of_metadata(metadata: _Metadata) -> int:
    # Field 4 is selfLink and 6 is resourceVersion. Both are empty in etcd, whose own revision is the resourceVersion.
    texts = {1: metadata.name, 2: metadata.generate_name, 3: metadata.namespace, 4: "", 5: metadata.uid, 6: ""}
    return (
        sum(_text(number, text) for number, text in texts.items())
        + _FLAG  # the generation, which Secrets do not have
        + _TIME
        + _map(11, _encoded(metadata.labels))
        + _map(12, _encoded(metadata.annotations))
        + sum(_text(14, finalizer) for finalizer in metadata.finalizers)
        + sum(_field(17, _size_of_entry(entry)) for entry in metadata.managed_fields)
    )


def _size_of_entry(entry: ManagedFields) -> int:
    # FieldsV1 is stored as the bytes of its JSON, in a message of its own.
    fields = _field(1, len(msgspec.json.encode(entry.fields_v1)))
    texts = {1: entry.manager, 2: entry.operation, 3: entry.api_version, 6: entry.fields_type, 8: entry.subresource}
    return sum(_text(number, text) for number, text in texts.items()) + _TIME + _field(7, fields)


def _encoded(texts: Mapping[str, str]) -> dict[str, bytes]:
    return {key: value.encode() for key, value in texts.items()}


def _map(number: int, entries: Mapping[str, bytes]) -> int:
    return sum(_field(number, _text(1, key) + _field(2, len(value))) for key, value in entries.items())


def _text(number: int, text: str) -> int:
    return _field(number, len(text.encode()))


def _field(number: int, length: int) -> int:
    """Return the bytes of a field that has this length without its head."""
    return (1 if number <= _LAST_SHORT else 2) + _size_of_number(length) + length


def _size_of_number(number: int) -> int:
    # A varint has 7 bits in each byte, and 0 takes one byte as well.
    return max(1, -(-number.bit_length() // _SEVEN_BITS))
