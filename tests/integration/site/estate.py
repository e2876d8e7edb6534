"""Namespaces in which everything happens that a loop must put right, and what must have become of them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from tests.integration.site.playground import COPY, Playground, dockerconfigjson, service_account, until_right

CONVERGED_SECONDS = 5.0
"""How long after the end of a fault everything must be right."""

_PATIENCE_SECONDS = 60.0
THEIRS = "theirs"


def new_password() -> str:
    """Return a password that was never in use before."""
    return f"password-{uuid.uuid4().hex[:8]}"


class Estate:
    """Some namespaces, right at first, for as long as the ``with`` block lasts; what happens to each is its name.

    There can be ``more``, which only the rotation of the source is about.
    """

    def __init__(self, playground: Playground, more: int = 0) -> None:
        self._playground = playground
        self._password = new_password()
        self._theirs = playground.namespace(selected=False)
        playground.apply(self._theirs, "Secret", COPY, {"stringData": {"theirs": "value"}})
        self._foreign = playground.get(self._theirs, "secrets", COPY)
        playground.opt(self._theirs, "enabled")
        selected = [playground.namespace(selected=True) for _ in range(6 + more)]
        self._deleted, self._edited, self._emptied, self._flapping, self._leaving, self._spare = selected[:6]
        self._expected = {namespace: {"default": [COPY]} for namespace in selected}
        self._left: list[str] = []
        playground.set_source(self._password)
        self.await_right()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for namespace in (self._theirs, *self._expected, *self._left):
            self._playground.cluster.delete_namespace(namespace)

    @property
    def password(self) -> str:
        """The password that each copy must hold."""
        return self._password

    def disturb(self, password: str) -> None:
        """Do to each namespace what it is named for, have one leave and another come, and rotate the source."""
        ours = self._playground
        if ours.get(self._deleted, "secrets", COPY) is not None:
            ours.delete(self._deleted, "secrets", COPY)
        wrong = {"type": "kubernetes.io/dockerconfigjson", "data": dockerconfigjson("not the password")}
        ours.apply(self._edited, "Secret", COPY, wrong)
        theirs = {"imagePullSecrets": [{"name": THEIRS}]}
        ours.apply(self._emptied, "ServiceAccount", "default", theirs)
        self._expected[self._emptied] = {"default": [THEIRS, COPY]}
        self.flap()
        self.leave()
        self._leaving = ours.namespace(selected=True)
        ours.create(self._leaving, "serviceaccounts", service_account("builder", **theirs))
        self._expected[self._leaving] = {"default": [COPY], "builder": [THEIRS, COPY]}
        self.rotate(password)

    def flap(self) -> None:
        """Have a namespace opt out and in again at once."""
        for value in (None, "enabled"):
            self._playground.opt(self._flapping, value)

    def leave(self) -> None:
        """Have a namespace opt out for good."""
        self._playground.opt(self._leaving, None)
        del self._expected[self._leaving]
        self._left.append(self._leaving)

    def is_in_a_left_namespace(self, path: str) -> bool:
        """Return True if the path of a request is in a namespace that has opted out for good."""
        return any(f"/{namespace}/" in path for namespace in self._left)

    def rotate(self, password: str) -> None:
        """Change the source, and nothing else."""
        self._playground.set_source(password)
        self._password = password

    def lose_a_copy(self) -> None:
        """Delete a copy, and nothing else."""
        self._playground.delete(self._spare, "secrets", COPY)

    def versions(self) -> dict[str, str]:
        """Return the resourceVersion of everything that sync may write here."""
        found: dict[str, str] = {}
        for namespace in (self._theirs, *self._expected, *self._left):
            for resource in ("secrets", "serviceaccounts"):
                listed = self._playground.cluster.api.call("GET", f"/api/v1/namespaces/{namespace}/{resource}")
                for item in listed["items"]:
                    metadata = item["metadata"]
                    found[f"{namespace}/{resource}/{metadata['name']}"] = metadata["resourceVersion"]
        return found

    def wrong(self) -> Iterator[str]:
        """Yield what is not as it must be."""
        ours = self._playground
        for namespace, accounts in self._expected.items():
            held = ours.password_in_copy(namespace)
            if held != self._password:
                yield f"{namespace}: the copy holds {held}, not {self._password}"
            for account, references in accounts.items():
                yield from self._references(namespace, account, references)
                if not ours.hands_nothing_back(namespace, account):
                    yield f"{namespace}: {account} still has an owner to get back"
        for namespace in self._left:
            yield from self._references(namespace, "default", [])
            if ours.get(namespace, "secrets", COPY) is not None:
                yield f"{namespace}: the copy is still there"
            if ours.is_managed_by_sync(namespace):
                yield f"{namespace}: default still names sync as a manager"
        if ours.get(self._theirs, "secrets", COPY) != self._foreign:
            yield f"{self._theirs}: the foreign Secret has been touched"
        yield from self._references(self._theirs, "default", [])

    def await_right(self, since: float | None = None, within: float = _PATIENCE_SECONDS) -> float:
        """Wait until nothing is wrong, at most ``within`` seconds after ``since``, and return how many it took."""
        return until_right(self.wrong, time.monotonic() if since is None else since, within)

    def _references(self, namespace: str, account: str, expected: list[str]) -> Iterator[str]:
        found = self._playground.references(namespace, account)
        if found != expected:
            yield f"{namespace}: {account} references {found}, not {expected}"
