"""The cluster as it is at one moment: listed, not watched, for who comes, works, and goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from webhook.core.scope import scope_of
from webhook.core.state import NamespaceState
from webhook.errors import ApiError
from webhook.kube.listing import list_decoder, list_objects
from webhook.kube.objects import Shapes
from webhook.kube.resources import NAMESPACES, SECRETS, SERVICE_ACCOUNTS, Collection
from webhook.sync.shapes import SecretObject, to_copy
from webhook.sync.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from webhook.core.model import Configuration
    from webhook.core.selection import Namespace
    from webhook.core.state import Copy, ServiceAccount
    from webhook.kube.client import Client
    from webhook.sync.release import Release


class Inventory:
    """Namespaces, their ServiceAccounts, and the Secrets that have one of the configuration's names."""

    def __init__(self, client: Client, release: Release, configuration: Configuration) -> None:
        self._client = client
        self._release = release
        self._namespaces: dict[str, Namespace] = {}
        self.service_accounts: Table[ServiceAccount] = Table(_never_the_same, _nobody_waits)
        self._shapes = Shapes(scope_of(configuration))
        self._copies: dict[str, Table[Copy]] = {
            name: Table(_never_the_same, _nobody_waits) for name in configuration.secret_names
        }

    def read(self) -> dict[str, ApiError]:
        """Read all of it again; return why Secrets of some names could not be listed.

        Raises:
            ApiError: namespaces or ServiceAccounts could not be listed: without them nothing is known.
        """
        shapes = self._shapes
        namespaces = self._list(Collection(NAMESPACES), shapes.namespace, shapes.to_namespace)
        self._namespaces = {namespace.name: namespace for namespace in namespaces}
        self.service_accounts.replace(
            self._list(Collection(SERVICE_ACCOUNTS), shapes.service_account, shapes.to_service_account)
        )
        unread = {}
        for name, table in self._copies.items():
            try:
                table.replace(self._list(Collection(SECRETS, name=name), SecretObject, self._to_copy))
            except ApiError as error:
                unread[name] = error
        return unread

    def copies(self, name: str) -> Table[Copy] | None:
        """Return the Secrets of that name; None for a name that was not asked for."""
        return self._copies.get(name)

    def read_service_account(self, data: bytes) -> ServiceAccount:
        """Return what is kept of a ServiceAccount in an answer of the API server."""
        return self._shapes.read_service_account(data)

    def states(self) -> Iterator[NamespaceState]:
        """Yield what is known of each namespace, by name."""
        for name in sorted(self._namespaces):
            yield self.state_of(name)

    def state_of(self, name: str) -> NamespaceState:
        """Return what is known of a namespace that has been listed, our own writes included."""
        namespace = self._namespaces[name]
        found = {secret: table.of_namespace(namespace.name).get(secret) for secret, table in self._copies.items()}
        copies = {secret: copy for secret, copy in found.items() if copy is not None}
        accounts = self.service_accounts.of_namespace(namespace.name)
        return NamespaceState(namespace, copies, tuple(accounts.values()))

    def _list(self, collection: Collection, shape: Any, convert: Callable[[Any], Any]) -> list[Any]:  # noqa: ANN401
        objects, _ = list_objects(self._client, collection, list_decoder(shape), convert)
        return objects

    def _to_copy(self, obj: SecretObject) -> Copy:
        return to_copy(obj, self._release)


def _never_the_same(_old: object, _new: object) -> bool:
    return False


def _nobody_waits(_namespace: str) -> None:
    """Nothing waits for a change: the next pass reads everything again."""
