"""Define the JSON shapes that watches and lists have in common, with only the fields that are read."""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import msgspec

from webhook.errors import ApiUnavailable
from webhook.rules.decoding import NOT_DECODED
from webhook.rules.ownership import FieldManager  # noqa: TC001 - msgspec evaluates the annotation

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
"""The annotation of the bookmark that ends the initial objects of a WatchList (KEP-3157)."""


class ObjectMeta(msgspec.Struct, frozen=True, rename="camel"):
    """The part of ``metav1.ObjectMeta`` that decisions and preconditions need."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    deletion_timestamp: str | None = None


class WrittenMeta(ObjectMeta, frozen=True, rename="camel"):
    """The same, with the managers that wrote the object, and the finalizers that keep it from being deleted."""

    creation_timestamp: str = ""
    managed_fields: tuple[FieldManager, ...] = ()
    finalizers: tuple[str, ...] = ()


class PartialObjectMetadata(msgspec.Struct, frozen=True):
    """An object of any kind, of which only the metadata is read; the API server has the same name for it."""

    metadata: ObjectMeta


class Object(Protocol):
    """The fields that every reflected shape has."""

    @property
    def metadata(self) -> ObjectMeta:
        """The object's metadata."""


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    """The part of ``metav1.ListMeta`` that paging needs."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")
    remaining_item_count: int = 0
    """Number of objects in the pages after this one; absent with a selector."""


class ConfigMap(msgspec.Struct, frozen=True):
    """A core/v1 ConfigMap."""

    metadata: ObjectMeta
    data: dict[str, str] = {}


class Identity(msgspec.Struct, frozen=True):
    """The subject of a response: an object, or a Status that names one."""

    metadata: ObjectMeta = ObjectMeta()
    # A Status has the name of its object in details, and metadata without a name.
    details: ObjectMeta | None = None

    @property
    def of(self) -> str:
        """The name of the object."""
        return self.metadata.name or (self.details.name if self.details else "")


class ObjectList(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list."""

    metadata: ListMeta
    items: list[T]


class EventType(StrEnum):
    """The types of a watch event."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"
    ERROR = "ERROR"


class WatchEvent(msgspec.Struct, frozen=True):
    """One line of a watch; the object is decoded when its type is known."""

    type: EventType
    # The objects of BOOKMARK and ERROR have other shapes than those of the collection.
    object: msgspec.Raw


class BookmarkMeta(msgspec.Struct, frozen=True, rename="camel"):
    """The metadata of a bookmark."""

    # Required, because a bookmark without it would reset the position of the watch.
    resource_version: str
    annotations: dict[str, str] | None = None


class Bookmark(msgspec.Struct, frozen=True):
    """The object of a BOOKMARK event: a resourceVersion up to which everything has been sent."""

    metadata: BookmarkMeta

    @property
    def ends_initial_events(self) -> bool:
        """True if this bookmark completes the initial objects of a WatchList."""
        return (self.metadata.annotations or {}).get(INITIAL_EVENTS_END) == "true"


def decoder(shape: Any) -> Callable[[bytes | msgspec.Raw], Any]:  # noqa: ANN401 (a runtime generic alias has no better type)
    """Return a function that decodes JSON into ``shape``.

    It raises :class:`ApiUnavailable`. A response that is not the requested object comes from a broken connection or
    from something that is not an API server. Such failures are temporary. The content is never quoted.
    """
    decode = msgspec.json.Decoder(shape).decode

    def decode_or_unavailable(data: bytes | msgspec.Raw) -> Any:  # noqa: ANN401
        try:
            return decode(data)
        except NOT_DECODED:
            message = "the API server's answer is not the requested JSON"
            raise ApiUnavailable(message, status=HTTPStatus.OK) from None

    return decode_or_unavailable


decode_bookmark: Callable[[bytes | msgspec.Raw], Bookmark] = decoder(Bookmark)
decode_config_map: Callable[[bytes], ConfigMap] = decoder(ConfigMap)
decode_identity: Callable[[bytes], Identity] = decoder(Identity)
decode_event: Callable[[bytes | msgspec.Raw], WatchEvent] = decoder(WatchEvent)
