"""Decode Namespaces, ServiceAccounts and Secrets into values of bounded size, from the JSON of a watch or a list.

The shapes are made for one scope: msgspec skips labels, annotations and fields that no shape names. So an object of
1 MB never becomes a megabyte of Python objects. A ServiceAccount may reference 70,000 Secrets, because etcd accepts
objects of about 1.5 MB. Only the names of configured pull secrets and their positions are kept; the rest is counted.

Source: k8s.io/apiserver limits a JSON Patch to 10,000 operations (pkg/endpoints/handlers/patch.go).
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections import deque
from itertools import islice
from sys import intern
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from webhook.errors import ApiUnavailable
from webhook.kube.wire import WrittenMeta, decoder
from webhook.rules.backfill import ENFORCE_ANNOTATION, enforces_references
from webhook.rules.configuration import DECLINE_ANNOTATION
from webhook.rules.copy_metadata import NOTHING_STORED, stored_metadata
from webhook.rules.decoding import NOT_DECODED
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE, content_hash
from webhook.rules.managed_fields import Entry, list_ownership
from webhook.rules.mistyped import mistyped_opt_in
from webhook.rules.namespace_tokens import LONGEST_SEAL
from webhook.rules.objects import Copy, Namespace, ServiceAccount, declined_names
from webhook.rules.ownership import FIELD_MANAGER, Mark, mark_of
from webhook.rules.references import LocalObjectReference, References
from webhook.rules.renewing import ISSUED_FOR, NOT_ISSUED, IssuedState, issued_state
from webhook.rules.versions import LONGEST_SOURCES, SOURCES_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from webhook.kube.wire import PartialObjectMetadata
    from webhook.rules.ownership import Release
    from webhook.rules.scope import CacheScope

MAX_FINALIZERS, FINALIZER_LENGTH = 3, 100
"""Finalizers that are kept, and characters of each. A tenant can add as many as fit into an object."""

OF_THE_GARBAGE_COLLECTOR = frozenset({"foregroundDeletion", "orphan"})
"""They disappear by themselves. Source: k8s.io/apimachinery, pkg/apis/meta/v1/types.go."""

MAX_KEPT = 1_000
"""Entries with our names that are kept of one list, from its end. Each is one operation of a removal patch."""

SHORT_LIST_BYTES = 4_096
"""Lists up to this size are decoded as a whole, which is faster than scanning. Nearly all lists are that short."""

_ENTRY = re.compile(rb'(?:\{(?:"name":"((?:[^"\\]++|\\.)*+)")?\}|null)[,\]]')
"""One entry and the next delimiter, as the API server writes JSON: without spaces and other fields.

The quantifiers are possessive, so that a name of a megabyte needs no memory for backtracking.
"""

_decode_list = msgspec.json.Decoder(list[LocalObjectReference | None] | None).decode
_decode_text = msgspec.json.Decoder(str).decode


def read_reference_list(data: msgspec.Raw | bytes, names: Collection[str]) -> References:
    """Return the references with one of ``names`` in a list of JSON, with their positions.

    Empty data stands for an absent list.

    Raises:
        msgspec.MsgspecError: the data is not a list of references.
    """
    raw = bytes(data)
    if raw in (b"", b"null"):
        return References()
    kept: deque[tuple[int, str]] = deque(maxlen=MAX_KEPT)
    total = length = 0
    for name in _decoded(raw) if len(raw) <= SHORT_LIST_BYTES else _scanned(raw):
        if name in names:
            # Each ServiceAccount lists the same few names, so they share the text.
            kept.append((length, intern(name)))
            total += 1
        length += 1
    return References(
        present=True,
        names=tuple([name for _, name in kept]),
        positions=tuple([position for position, _ in kept]),
        length=length,
        truncated=total > len(kept),
    )


def _decoded(raw: bytes) -> list[str]:
    return [(entry.name or "") if entry else "" for entry in _decode_list(raw) or ()]


def _scanned(raw: bytes) -> Iterator[str]:
    if not raw.endswith(b"]"):
        _decode_list(raw)  # raises, because the list is truncated
    position, count = 1, 0
    while position < len(raw):
        match = _ENTRY.match(raw, position)
        if match is None:
            # A proxy in between has rewritten the JSON; the list is still the same.
            yield from islice(_decoded(raw), count, None)
            return
        position, count = match.end(), count + 1
        yield _text(match[1] or b"")


def _text(name: bytes) -> str:
    # Only an escape needs the decoder, and names of Secrets that exist have none.
    return _decode_text(b'"' + name + b'"') if b"\\" in name else name.decode()


NO_LABELS: Mapping[str, str] = MappingProxyType({})
"""One for all objects without labels. Names are interned for the same reason: many objects share them."""


SHARED_LABELS = 1000
"""Different labels that are kept for sharing."""

LARGEST_LABELS = 32 * 1024
"""Bytes of a Namespace's labels that are searched for typing errors."""


class _Annotations(msgspec.Struct, frozen=True):
    decline: str | None = msgspec.field(name=DECLINE_ANNOTATION, default=None)
    enforce: str | None = msgspec.field(name=ENFORCE_ANNOTATION, default=None)


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    deletion_timestamp: str | None = None
    annotations: _Annotations | None = None


class _NamespaceMetadata(_Metadata, frozen=True, rename="camel"):
    labels: msgspec.Raw = msgspec.Raw()


class _NamespaceObject(msgspec.Struct, frozen=True):
    metadata: _NamespaceMetadata


class _ServiceAccountMetadata(_Metadata, frozen=True, rename="camel"):
    managed_fields: tuple[Entry, ...] = ()


class _Written(msgspec.Struct, frozen=True):
    metadata: _ServiceAccountMetadata


_decode_written = decoder(_Written)


_decode_all_labels: Callable[[bytes | msgspec.Raw], dict[str, str]] = decoder(dict[str, str])


def decode_entries(data: bytes) -> tuple[Entry, ...]:
    """Return the managedFields in the JSON of one ServiceAccount."""
    entries: tuple[Entry, ...] = _decode_written(data).metadata.managed_fields
    return entries


class _OwnedMetadata(msgspec.Struct, frozen=True):
    labels: dict[str, msgspec.Raw] = msgspec.field(name="f:labels", default_factory=dict)
    annotations: dict[str, msgspec.Raw] = msgspec.field(name="f:annotations", default_factory=dict)


class _OwnedFields(msgspec.Struct, frozen=True):
    metadata: _OwnedMetadata = msgspec.field(name="f:metadata", default_factory=_OwnedMetadata)


class _OwnerEntry(msgspec.Struct, frozen=True, rename="camel"):
    manager: str = ""
    fields_v1: _OwnedFields = msgspec.field(default_factory=_OwnedFields)


class _OwnedMeta(msgspec.Struct, frozen=True, rename="camel"):
    managed_fields: tuple[_OwnerEntry, ...] = ()


class _OwnedObject(msgspec.Struct, frozen=True):
    metadata: _OwnedMeta


_decode_owned = decoder(_OwnedObject)


def metadata_of_others(data: bytes) -> tuple[frozenset[str], frozenset[str]]:
    """Return the labels and the annotations in the JSON of one object that field managers other than ours own."""
    labels: set[str] = set()
    annotations: set[str] = set()
    for entry in _decode_owned(data).metadata.managed_fields:
        # A prefix, because each creation of a copy has a field manager with a suffix.
        if not entry.manager.startswith(FIELD_MANAGER):
            labels.update(key.removeprefix("f:") for key in entry.fields_v1.metadata.labels)
            annotations.update(key.removeprefix("f:") for key in entry.fields_v1.metadata.annotations)
    return frozenset(labels), frozenset(annotations)


_NO_ANNOTATIONS = _Annotations()


class ScopedDecoder:
    """The shapes of one scope, and the values that are made of them.

    ``namespace`` and ``service_account`` are msgspec structs for :func:`webhook.kube.wire.decoder`.
    """

    def __init__(self, scope: CacheScope) -> None:
        self.scope = scope
        self._namespace_keys, self._account_keys = _fields(scope.namespace_labels), _fields(scope.account_labels)
        self.namespace: Any = _NamespaceObject
        self._decode_labels = decoder(_labels_shape(self._namespace_keys))
        references = ("references", msgspec.Raw, msgspec.field(name="imagePullSecrets", default=msgspec.Raw()))
        self.service_account: Any = _object(
            "ServiceAccountObject", self._account_keys, references, base=_ServiceAccountMetadata
        )
        self._decode_service_account = decoder(self.service_account)
        self._shared: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}

    def to_namespace(self, obj: Any) -> Namespace:  # noqa: ANN401 (a shape made at run time has no better type)
        """Return the part of a Namespace that decisions read."""
        metadata = obj.metadata
        annotations = metadata.annotations or _NO_ANNOTATIONS
        declined = declined_names({DECLINE_ANNOTATION: annotations.decline or ""})
        return Namespace(
            name=intern(metadata.name),
            labels=self._namespace_labels(metadata.labels),
            terminating=metadata.deletion_timestamp is not None,
            # A text of 256 KiB may name a hundred thousand pull secrets that do not exist.
            declined=declined & self.scope.names if declined else declined,
            uid=intern(metadata.uid),
        )

    def _namespace_labels(self, raw: msgspec.Raw) -> Mapping[str, str]:
        """Return the labels that decisions read, and one that may be a typing error of the opt-in label."""
        size = len(memoryview(raw))
        if size <= len(b"null"):
            return NO_LABELS
        labels = self._labels(self._decode_labels(raw), self._namespace_keys)
        # To decode all labels takes longer than to search their bytes. Only the few with the value in them are decoded.
        opt_in = self.scope.opt_in
        if opt_in.label in labels or size > LARGEST_LABELS or f'"{opt_in.deciding_value}"'.encode() not in bytes(raw):
            return labels
        mistyped = mistyped_opt_in(_decode_all_labels(raw), opt_in)
        return labels if mistyped is None else {**labels, intern(mistyped[0]): intern(mistyped[1])}

    def to_service_account(self, obj: Any) -> ServiceAccount:  # noqa: ANN401 (as above)
        """Return the part of a ServiceAccount that a plan reads.

        Raises:
            ApiUnavailable: its ``imagePullSecrets`` is not a list of references, which no API server sends.
        """
        metadata = obj.metadata
        try:
            references = read_reference_list(obj.references, self.scope.names)
        except NOT_DECODED:
            raise ApiUnavailable("the API server's answer is not the requested JSON") from None
        return ServiceAccount(
            namespace=intern(metadata.namespace),
            name=intern(metadata.name),
            resource_version=metadata.resource_version,
            labels=self._labels(metadata.labels, self._account_keys),
            references=references,
            terminating=metadata.deletion_timestamp is not None,
            enforces=enforces_references({ENFORCE_ANNOTATION: (metadata.annotations or _NO_ANNOTATIONS).enforce or ""}),
            ownership=list_ownership(metadata.managed_fields),
            # Unlike names, UIDs cannot be shared. So only those that requests for tokens need are kept.
            uid=metadata.uid if metadata.name in self.scope.token_accounts else "",
        )

    def _labels(self, labels: Any, keys: Iterable[tuple[str, str]]) -> Mapping[str, str]:  # noqa: ANN401 (as above)
        """Return the labels with these keys; most objects have equal ones, and share them."""
        if labels is None:
            return NO_LABELS
        items = tuple([(key, value) for field, key in keys if (value := getattr(labels, field)) is not None])
        if not items:
            return NO_LABELS
        if (shared := self._shared.get(items)) is not None:
            return shared
        if len(self._shared) >= SHARED_LABELS:
            # Objects keep the mapping that they have. Only those that come later share new ones.
            self._shared.clear()
        # Two reflectors may be here at the same time: then one of two equal values is kept.
        return self._shared.setdefault(items, MappingProxyType(dict(items)))

    def read_service_account(self, data: bytes) -> ServiceAccount:
        """Return the same from the JSON of one ServiceAccount."""
        return self.to_service_account(self._decode_service_account(data))


def to_namespace(obj: PartialObjectMetadata) -> Namespace:
    """Return a Namespace with all of its labels, for commands that look at one namespace at a time."""
    metadata = obj.metadata
    return Namespace(
        name=intern(metadata.name),
        labels=metadata.labels or NO_LABELS,
        terminating=metadata.deletion_timestamp is not None,
        declined=declined_names(metadata.annotations) if metadata.annotations else frozenset(),
        uid=intern(metadata.uid),
    )


def _fields(label_keys: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return for each label key the name of its field in the shape."""
    return tuple((f"label_{number}", key) for number, key in enumerate(sorted(label_keys)))


def _object(
    name: str,
    label_keys: Iterable[tuple[str, str]],
    *fields: Any,  # noqa: ANN401 (as above)
    base: type[_Metadata] = _Metadata,
) -> Any:  # noqa: ANN401 (as above)
    labels = _labels_shape(label_keys)
    # None is the default, because the API server leaves out labels that are empty.
    metadata = msgspec.defstruct("Metadata", [("labels", labels | None, None)], bases=(base,), frozen=True)
    return msgspec.defstruct(name, [("metadata", metadata), *fields], frozen=True)


def _labels_shape(label_keys: Iterable[tuple[str, str]]) -> Any:  # noqa: ANN401 (as above)
    label_fields = [(field, str | None, msgspec.field(name=key, default=None)) for field, key in label_keys]
    return msgspec.defstruct("Labels", label_fields, frozen=True)


TLS_TYPE = "kubernetes.io/tls"
CERTIFICATE_KEY, PRIVATE_KEY_KEY, AUTHORITY_KEY = "tls.crt", "tls.key", "ca.crt"
"""The keys of a Secret with a certificate; cert-manager uses the same."""


class SecretObject(msgspec.Struct, frozen=True):
    """A core/v1 Secret; ``data`` is base64 text. Never shown."""

    metadata: WrittenMeta
    type: str = ""
    data: dict[str, str] | None = None
    immutable: bool | None = None

    def __repr__(self) -> str:
        return f"Secret {self.metadata.namespace}/{self.metadata.name}"

    def content(self, key: str) -> bytes:
        """Return the decoded content of a key; empty without it."""
        # The API server only ever returns valid base64.
        return b64decode((self.data or {}).get(key, ""))


decode_secret: Callable[[bytes | msgspec.Raw], SecretObject] = decoder(SecretObject)


def to_copy(obj: SecretObject, release: Release) -> Copy:
    """Return the part of a Secret with a copy's name that the plan reads: a hash instead of its content."""
    metadata = obj.metadata
    mark = mark_of(metadata.labels or {}, metadata.managed_fields, release.name, release.namespace)
    if mark is not None:
        # The same string as in the namespaces' cache.
        mark = Mark(intern(mark.namespace_uid), mark.written)
    return Copy(
        namespace=intern(metadata.namespace),
        name=intern(metadata.name),
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        mark=mark,
        # The content of a foreign Secret does not concern us, not even as a hash.
        content_hash=intern(content_hash(obj.content(COPY_KEY))) if mark is not None else "",
        # The API server does not bound the length of a Secret's type, so only our own type is kept.
        type=COPY_TYPE if obj.type == COPY_TYPE else "",
        immutable=obj.immutable is True,
        terminating=metadata.deletion_timestamp is not None,
        finalizers=_kept_by(metadata),
        issued=_issued_of(metadata) if mark is not None and metadata.annotations else NOT_ISSUED,
        sources=_sources_of(metadata) if mark is not None and metadata.annotations else "",
        metadata=(
            stored_metadata(metadata.labels or {}, metadata.annotations)
            if mark is not None and metadata.annotations
            else NOTHING_STORED
        ),
    )


def _issued_of(metadata: WrittenMeta) -> IssuedState:
    """Return the annotations about the tokens in a copy. A tenant can write long ones, which no release does."""
    annotations = metadata.annotations or {}
    if ISSUED_FOR not in annotations or len(annotations[ISSUED_FOR]) > LONGEST_SEAL:
        return NOT_ISSUED
    # The other annotations are for sources. A tenant can write them on a copy, at any length.
    state = issued_state({}, annotations)
    return IssuedState(issued_at=state.issued_at, expires_at=state.expires_at, issued_for=state.issued_for)


def _kept_by(metadata: WrittenMeta) -> tuple[str, ...]:
    """Return the first finalizers of other parties that keep a deleted object; each is cut to size."""
    if metadata.deletion_timestamp is None:
        return ()
    others = (name for name in metadata.finalizers if name not in OF_THE_GARBAGE_COLLECTOR)
    # Bounded, because a tenant chooses number and length of the finalizers, and each cached copy would keep them.
    return tuple(name[:FINALIZER_LENGTH] for name in islice(others, MAX_FINALIZERS))


def _sources_of(metadata: WrittenMeta) -> str:
    """Return the annotation with the versions of the sources; the copies of one pull secret share the text."""
    text = (metadata.annotations or {}).get(SOURCES_ANNOTATION, "")
    return intern(text) if len(text) <= LONGEST_SOURCES else ""
