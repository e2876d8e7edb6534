"""Read objects for a person: a missing right is remembered and reported, and the rest continues."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from webhook.errors import ApiUnavailable, ClusterSilent, Forbidden, NotFound, UsageError
from webhook.kube.listing import PAGE_LIMIT, page_limit, read_page
from webhook.kube.wire import ObjectList, decoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from webhook.kube.client import Client
    from webhook.kube.resources import Collection, Resource

_T = TypeVar("_T")

FEW = 8
"""Up to this many namespaces are read one by one; for more, one list of the whole cluster is cheaper."""

UNAUTHORIZED = 401

_NEXT = "Next: kubectl config get-contexts"


def lacking(verb: str, objects: str, namespace: str | None = None) -> str:
    """Return the sentence about a right that the user of this command does not have."""
    return f"you lack the right to {verb} {objects}{f' in namespace {namespace}' if namespace else ''}"


class Reader:
    """Reads with one client. ``missing`` are the missing rights, as sentences, each once.

    ``on_page(number, remaining)`` receives the number of objects in a page, and the number of objects that are still to
    come.
    """

    def __init__(self, client: Client, on_page: Callable[[int, int], None] = lambda *_: None) -> None:
        self.client = client
        self.on_page = on_page
        self.missing: dict[str, None] = {}

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> bytes | None:
        """Return an object as JSON; None if it does not exist.

        Raises:
            Forbidden: the right to get it is missing.
            ClusterSilent: the API server does not answer.
            UsageError: the API server does not accept the credentials.
        """
        try:
            return self._answered(lambda: self.client.get(resource, name, namespace))
        except NotFound:
            return None

    def get_path(self, path: str) -> bytes:
        """Return the answer to a request that is about no object, such as ``/version``; raises as :meth:`get`."""
        return self._answered(lambda: self.client.request("GET", path))

    def get_if_allowed(self, resource: Resource, name: str, namespace: str | None = None) -> tuple[bytes | None, bool]:
        """Return an object as JSON, None if it does not exist, and True if that could be determined."""
        try:
            return self.get(resource, name, namespace), True
        except Forbidden:
            self.report_missing("get", f"{resource.plural}/{name}", namespace)
            return None, False

    def items(self, collection: Collection, shape: type[_T], query: Mapping[str, str] | None = None) -> Iterator[_T]:
        """Yield the objects of a collection, decoded as ``shape``, page by page; raises as :meth:`get`."""
        decode = decoder(ObjectList[shape])  # type: ignore[valid-type]
        parameters = {"limit": str(PAGE_LIMIT), **collection.selector, **(query or {})}
        while True:
            data = self._page(collection.path, parameters)
            page = decode(data)
            self.on_page(len(page.items), page.metadata.remaining_item_count)
            yield from page.items
            if not page.metadata.continue_:
                return
            parameters |= {"continue": page.metadata.continue_, "limit": str(page_limit(len(data), len(page.items)))}
            del data, page

    def report_missing(self, verb: str, objects: str, namespace: str | None = None) -> None:
        """Remember that a right is missing."""
        self.missing[lacking(verb, objects, namespace)] = None

    def _page(self, path: str, query: dict[str, str]) -> bytes:
        return self._answered(lambda: read_page(self.client, path, query))

    def _answered(self, ask: Callable[[], bytes]) -> bytes:
        try:
            return ask()
        except ApiUnavailable as error:
            host = self.client.host
            raise ClusterSilent(f"{host}: {error}: choose another cluster with --context. {_NEXT}") from None
        except Forbidden as error:
            if error.status != UNAUTHORIZED:
                raise
            host = self.client.host
            raise UsageError(
                f"the API server at {host} refuses the credentials: log in again, or choose others with "
                f"--context. {_NEXT}"
            ) from None
