"""Namespaces by the thousand, and what happens in them, as quickly as the API server takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from webhook.kube.client import Client
from webhook.kube.connect import connect
from webhook.kube.resources import NAMESPACES, SECRETS, SERVICE_ACCOUNTS, Resource

CREATORS = 8
ACCOUNT = "default"


class Filling:
    """Writes as cluster-admin, with several connections."""

    def __init__(self, kubeconfig: Path) -> None:
        self._client: Client = connect(kubeconfig)

    def create(self, names: Iterable[str], labels: Mapping[str, str]) -> None:
        """Create namespaces; their ServiceAccounts come later."""
        _each(names, lambda name: self._client.create(NAMESPACES, {"metadata": {"name": name, "labels": labels}}))

    def make(self, objects: Iterable[tuple[Resource, Mapping[str, Any], str]]) -> None:
        """Create objects, each with its kind and its namespace."""
        _each(objects, lambda each: self._client.create(*each))

    def probe(self) -> None:
        """Read one object."""
        self._client.request("GET", NAMESPACES.path(None, "default"))

    def delete_copies(self, names: Iterable[str], copy: str) -> None:
        """Take the copies away, and leave the references to them."""
        _each(names, lambda name: self._client.request("DELETE", SECRETS.path(name, copy)))

    def reset(self, names: Iterable[str], copy: str) -> None:
        """Take the copies, the references and every trace of who wrote them away, as before the first write."""
        _each(names, lambda name: self._reset(name, copy))

    def _reset(self, name: str, copy: str) -> None:
        self._client.request("DELETE", SECRETS.path(name, copy))
        # A list with one empty entry is how the owners of all fields are taken away.
        fresh: dict[str, Any] = {"imagePullSecrets": None, "metadata": {"managedFields": [{}]}}
        self._patch(SERVICE_ACCOUNTS.path(name, ACCOUNT), fresh)

    def stir(self, names: Sequence[str], events: int) -> None:
        """Change labels of namespaces and annotations of ServiceAccounts, by turns, that many times in all."""
        _each(range(events), lambda number: self._change(names[number // 2 % len(names)], number))

    def label(self, name: str, labels: Mapping[str, str]) -> None:
        """Set labels of a namespace."""
        self._patch(NAMESPACES.path(None, name), {"metadata": {"labels": labels}})

    def _change(self, name: str, number: int) -> None:
        mark = {"example.com/stirred": str(number)}
        if number % 2:
            self._patch(SERVICE_ACCOUNTS.path(name, ACCOUNT), {"metadata": {"annotations": mark}})
        else:
            self.label(name, mark)

    def _patch(self, path: str, body: Mapping[str, Any]) -> None:
        self._client.request("PATCH", path, body=body, content_type="application/merge-patch+json")


def _each(items: Iterable[Any], write: Callable[[Any], object]) -> None:
    with ThreadPoolExecutor(CREATORS) as creators:
        for _ in creators.map(write, items):
            pass
