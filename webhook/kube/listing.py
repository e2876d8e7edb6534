"""List a whole collection, page by page.

Source: KEP-365 (paged lists); k8s.io/client-go/tools/pager/pager.go.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

import msgspec

from webhook.errors import ApiUnavailable, ResponseTooLarge
from webhook.kube.wire import ListMeta, Object, ObjectList, decoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.kube.client import Client
    from webhook.kube.resources import Collection

FIRST_PAGE_LIMIT = 100
PAGE_LIMIT = 500
"""Objects in the first page of a list, and the maximum for each other page, as in client-go's pager."""

PAGE_BYTES = 4 * 1024 * 1024
"""Intended bytes of a page, judged by the objects of the previous one. Five hundred copies may be a few kilobytes each,
or one megabyte each."""

MAX_PAGE_BYTES = 2 * PAGE_BYTES
"""Bytes of a page that are read at most. The page after a light one may be heavy: it is requested again, with fewer
objects. A page of one object always fits, because etcd does not store larger ones."""

SHRINK_FACTOR = 8
"""Factor by which the number of objects shrinks in that case."""


class _ListHead(msgspec.Struct, frozen=True):
    metadata: ListMeta


_decode_head: Callable[[bytes], _ListHead] = decoder(_ListHead)

W = TypeVar("W", bound=Object)
V = TypeVar("V")


def list_decoder(shape: type[W]) -> Callable[[bytes], ObjectList[W]]:
    """Return the decoder for a page of a list of ``shape``."""
    decode: Callable[[bytes], ObjectList[W]] = decoder(ObjectList[shape])  # type: ignore[valid-type]
    return decode


def list_objects(
    client: Client,
    collection: Collection,
    decode: Callable[[bytes], ObjectList[W]],
    convert: Callable[[W], V],
) -> tuple[list[V], str]:
    """Return every object of a collection, and the resourceVersion of the collection.

    The read is consistent. ``convert`` reduces each object to the part that is kept, page by page. So discarded parts
    (the content of a Secret) are never held for a whole list.
    """
    objects: list[V] = []
    # Without a resourceVersion the API server reads from etcd, or confirms that its cache is current (KEP-2340).
    query = {"limit": str(FIRST_PAGE_LIMIT), **collection.selector}
    while True:
        metadata, limit = _list_page(client, collection, query, decode, lambda obj: objects.append(convert(obj)))
        if not metadata.continue_:
            return objects, metadata.resource_version
        # The token holds the version of the first page, so all pages are of one moment. The limit may differ.
        query |= {"continue": metadata.continue_, "limit": str(limit)}


def current_version(client: Client, collection: Collection) -> str:
    """Return the current resourceVersion of a collection; the read is consistent."""
    # One object, because the API server takes a limit of 0 as no limit.
    data = read_page(client, collection.path, {"limit": "1", **collection.selector})
    return _version(collection, _decode_head(data).metadata)


def _version(collection: Collection, metadata: ListMeta) -> str:
    if not metadata.resource_version:
        # Every list of the API server has one. Without it, an empty list would come from another server.
        raise ApiUnavailable(f"GET {collection.path}: the answer is not a list of the API server", status=HTTPStatus.OK)
    return metadata.resource_version


def _list_page(
    client: Client,
    collection: Collection,
    query: dict[str, str],
    decode: Callable[[bytes], ObjectList[W]],
    keep: Callable[[W], None],
) -> tuple[ListMeta, int]:
    # A function of its own, so that this page is freed while the next one is loaded.
    data = read_page(client, collection.path, query)
    page = decode(data)
    _version(collection, page.metadata)
    for obj in page.items:
        keep(obj)
    return page.metadata, page_limit(len(data), len(page.items))


def read_page(client: Client, path: str, query: dict[str, str]) -> bytes:
    """Return a page of a list; ``query`` holds the ``limit``, which is lowered until the page fits.

    Raises:
        ResponseTooLarge: even one object does not fit.
    """
    while True:
        try:
            return client.request("GET", path, query=query, max_bytes=MAX_PAGE_BYTES)
        except ResponseTooLarge:
            limit = int(query["limit"])
            if limit == 1:
                raise
            query["limit"] = str(max(limit // SHRINK_FACTOR, 1))


def page_limit(size: int, count: int) -> int:
    """Return the number of objects to request after a page of ``count`` objects that had ``size`` bytes."""
    # A page may be empty because of a selector, and still not be the last.
    fitting = PAGE_BYTES * count // size if count else PAGE_LIMIT
    return min(max(fitting, 1), PAGE_LIMIT)
