"""Remember the rights that are missing, until a request shows that they have been granted.

Each retry of each watch and each write meets a missing right again. Here it is one entry, so that it can be reported
once, by its name.

Source: k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go (the words of a 403 by the authorizer).
"""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from webhook.errors import Forbidden
from webhook.kube.status import RequestedObject
from webhook.rules.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from webhook.errors import ApiError

FORGET_SECONDS = 300.0
"""Seconds after which a right that no request has met is forgotten: its object or namespace may be gone. Each failed
request is repeated sooner than that."""

MAX_RIGHTS = 1000
"""Rights remembered; the one that was met the longest time ago makes room for another."""

_BY_AUTHORIZER = " is forbidden: User "
"""A 403 by a quota or an ending namespace has other words."""

_VERB = re.compile(r" cannot ([a-z]+) resource ")
_VERBS = {"POST": "create", "DELETE": "delete", "PATCH": "patch", "PUT": "update", "WATCH": "watch"}
_IMPLIED = {"patch": ("create",), "watch": ("list",)}
"""Rights that are no longer needed when a request with this verb succeeds. A watch can begin with the list, and an
apply creates a missing object."""

_NAME_SELECTOR = "metadata.name="
_UNAUTHORIZED = 401


class Right(msgspec.Struct, frozen=True, order=True):
    """One verb on one resource; an empty ``namespace`` or ``name`` stands for all."""

    resource: str
    name: str
    namespace: str
    verb: str


class MissingRights:
    """The rights that requests of this process lacked. Safe to use from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._missing: dict[Right, float] = {}
        self._unauthorized = False

    def note(self, method: str, path: str, query: Mapping[str, str] | None, error: ApiError | None) -> None:
        """Note the outcome of a request; ``error`` is None for a 2xx response."""
        if error is None:
            self._unauthorized = False
            # Without the lock, because nearly every request finds it empty.
            if self._missing:
                self._granted(right_of(method, path, query))
        elif isinstance(error, Forbidden):
            # Credentials that are not accepted do not reach the authorizer, so no right is known to be missing.
            if error.status == _UNAUTHORIZED:
                self._unauthorized = True
            elif _BY_AUTHORIZER in str(error):
                self._refused(right_of(method, path, query, str(error)))

    def _granted(self, right: Right) -> None:
        with self._lock:
            for verb in (right.verb, *_IMPLIED.get(right.verb, ())):
                self._missing.pop(Right(right.resource, right.name, right.namespace, verb), None)

    def _refused(self, right: Right) -> None:
        with self._lock:
            # Removed first, so that the order of the dictionary is the order of the last attempts.
            self._missing.pop(right, None)
            self._missing[right] = self._clock()
            if len(self._missing) > MAX_RIGHTS:
                del self._missing[next(iter(self._missing))]

    def missing(self) -> list[Right]:
        """Return the rights that are missing now."""
        with self._lock:
            # Here and not in note(), so that a request never searches all of them.
            for right in [entry for entry, met_at in self._missing.items() if met_at < self._clock() - FORGET_SECONDS]:
                del self._missing[right]
            return sorted(self._missing)

    def sentences(self) -> list[str]:
        """Return the missing rights, one phrase for each resource and name."""
        refused = ["credentials that the API server accepts (401)"] if self._unauthorized else []
        return refused + summarised(self.missing())


def summarised(rights: Iterable[Right]) -> list[str]:
    """Return a phrase for each resource and name: ``the right to list, watch secrets "harbor" in NAMESPACE``."""
    verbs: dict[tuple[str, str], set[str]] = {}
    namespaces: dict[tuple[str, str], set[str]] = {}
    for right in rights:
        key = (right.resource, right.name)
        verbs.setdefault(key, set()).add(right.verb)
        namespaces.setdefault(key, set()).add(right.namespace)
    return [
        f"the right to {', '.join(sorted(verbs[key]))} {_object(*key)}{_within(sorted(namespaces[key]))}"
        for key in sorted(verbs)
    ]


def _object(resource: str, name: str) -> str:
    return f'{resource} "{name}"' if name else resource


def _within(namespaces: list[str]) -> str:
    if namespaces == [""]:
        return ""
    if "" in namespaces:
        return " in all namespaces"
    others = counted(len(namespaces) - 1, "more namespace")
    return f" in {namespaces[0]}" + (f" and {others}" if namespaces[1:] else "")


def right_of(method: str, path: str, query: Mapping[str, str] | None, message: str = "") -> Right:
    """Return the right that a request needs; the ``message`` of a 403 names its verb, which can be a second one."""
    requested = RequestedObject.of_path(path)
    name = requested.name
    # RBAC has a subresource as a resource of its own: the right to create ServiceAccounts does not allow their tokens.
    resource = "/".join(filter(None, (requested.plural, requested.subresource)))
    selector = (query or {}).get("fieldSelector", "")
    # An apply of an absent object needs the right to create, too, and only the message shows which one is missing.
    named = _VERB.search(message)
    if named is not None:
        verb = named[1]
    elif method == "GET":
        verb = "get" if name else "list"
    else:
        verb = _VERBS.get(method, method.lower())
    return Right(resource, name or selector.removeprefix(_NAME_SELECTOR), requested.namespace, verb)
