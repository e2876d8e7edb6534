"""The objects of the fake API server: optimistic concurrency, server-side apply and history, as the real one has them.

Simplified: a list is owned as a whole, ``managedFields`` has the managers without their fields, and nothing is
validated except the two rules on Secrets that the loop meets.
"""

from __future__ import annotations

import copy
import json
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import jsonpatch

Object: TypeAlias = dict[str, Any]
_Path: TypeAlias = tuple[str, ...]

_UNOWNED = {("apiVersion",), ("kind",)} | {
    ("metadata", field)
    for field in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "managedFields")
}


class Refused(Exception):
    """An answer that is not 2xx: what the API server says in a Status."""

    def __init__(self, code: int, reason: str, message: str, *, plural: str = "", name: str = "") -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.details = {"name": name, "kind": plural} if name else {}

    @property
    def status(self) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "Status",
            "status": "Failure",
            "code": self.code,
            "reason": self.reason,
            "message": self.message,
            "details": self.details,
        }


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names: a collection in one namespace or in all, or one object."""

    collection: str
    plural: str
    namespace: str
    name: str

    @classmethod
    def parse(cls, path: str) -> Target:
        parts = path.strip("/").split("/")
        size = 2 if parts[0] == "api" else 3
        prefix, rest = "/".join(parts[:size]), parts[size:]
        namespace = rest[1] if rest[:1] == ["namespaces"] and len(rest) > 2 else ""
        plural, *names = (rest[2:] if namespace else rest) or [""]
        return cls(f"{prefix}/{plural}", plural, namespace, names[0] if names else "")

    def holds(self, obj: Object, name: str) -> bool:
        metadata = obj["metadata"]
        return self.namespace in ("", metadata.get("namespace", "")) and name in ("", metadata["name"])


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the history; a bookmark has no collection: it is for every watch."""

    revision: int
    type: str
    collection: str
    object: Object


class Storage:
    """Objects by target; every method takes the lock, and ``changed`` tells of each new entry of the history."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.revision = 100
        self.compacted = 0
        self.history: list[Change] = []
        self._objects: dict[Target, Object] = {}
        self._owners: dict[Target, dict[_Path, set[str]]] = {}
        self._writers: dict[Target, dict[tuple[str, str], None]] = {}

    def get(self, target: Target) -> Object:
        with self.changed:
            if target not in self._objects:
                message = f'{target.plural} "{target.name}" not found'
                raise Refused(404, "NotFound", message, plural=target.plural, name=target.name)
            return self._objects[target]

    def select(self, target: Target, name: str = "") -> list[Object]:
        with self.changed:
            kept = sorted(self._objects.items(), key=lambda item: (item[0].namespace, item[0].name))
            return [obj for key, obj in kept if key.collection == target.collection and target.holds(obj, name)]

    def of_kind(self, plural: str) -> list[Object]:
        with self.changed:
            return [obj for key, obj in self._objects.items() if key.plural == plural]

    def create(self, target: Target, body: Object, manager: str, operation: str = "Update") -> Object:
        metadata = body["metadata"]
        key = Target(target.collection, target.plural, target.namespace, metadata["name"])
        with self.changed:
            if key in self._objects:
                raise Refused(409, "AlreadyExists", f'{key.plural} "{key.name}" already exists')
            return self._write(key, body, manager, operation)

    def apply(self, target: Target, body: Object, manager: str, *, force: bool) -> Object:
        with self.changed:
            old = self._objects.get(target)
            self._expect(target, old, body["metadata"])
            owners = self._owners.setdefault(target, {})
            wanted = dict(_leaves(body))
            disputed = [
                path
                for path, value in wanted.items()
                if old and _at(old, path) != value and owners.get(path, set()) - {manager}
            ]
            if disputed and not force:
                raise Refused(409, "Conflict", f"Apply failed with {len(disputed)} conflicts: {_named(disputed)}")
            new = copy.deepcopy(old or {})
            for path in [path for path, managers in owners.items() if managers == {manager} and path not in wanted]:
                _set(new, path, None)
                del owners[path]
            for path, value in {**wanted, ("apiVersion",): body["apiVersion"], ("kind",): body["kind"]}.items():
                _set(new, path, value)
            for path in wanted:
                owners[path] = {manager} if path in disputed else owners.get(path, set()) | {manager}
            return self._store(target, new, (manager, "Apply"))

    def json_patch(self, target: Target, operations: list[Any], manager: str) -> Object:
        with self.changed:
            old = self.get(target)
            try:
                new: Object = jsonpatch.apply_patch(old, operations)
            except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException):
                message = "the server rejected our request due to an error in our request"
                raise Refused(422, "Invalid", message) from None
            return self._write(target, new, manager)

    def merge_patch(self, target: Target, body: Object, manager: str, operation: str = "Update") -> Object:
        with self.changed:
            old = self.get(target)
            self._expect(target, old, body.get("metadata", {}))
            return self._write(target, _merged(old, body), manager, operation)

    def delete(self, target: Target, preconditions: Object) -> Object:
        with self.changed:
            old = self.get(target)
            self._expect(target, old, preconditions)
            del self._objects[target]
            self._owners.pop(target, None)
            self._writers.pop(target, None)
            self.revision += 1
            gone = {**old, "metadata": {**old["metadata"], "resourceVersion": str(self.revision)}}
            self._tell("DELETED", target.collection, gone)
            return gone

    def bookmark(self) -> None:
        """Send every watch a bookmark, at a revision of its own."""
        with self.changed:
            self.revision += 1
            self._tell("BOOKMARK", "", {"metadata": {"resourceVersion": str(self.revision)}})

    def compact(self) -> None:
        """Forget the history: a watch that begins at an older revision meets 410."""
        with self.changed:
            self.revision += 1
            self.compacted = self.revision

    def _write(self, target: Target, new: Object, manager: str, operation: str = "Update") -> Object:
        before = dict(_leaves(self._objects.get(target, {})))
        owners = self._owners.setdefault(target, {})
        for path, value in _leaves(new):
            if path not in before or before[path] != value:
                owners[path] = {manager}
        return self._store(target, new, (manager, operation))

    def _store(self, target: Target, new: Object, writer: tuple[str, str]) -> Object:
        old = self._objects.get(target)
        metadata = {key: value for key, value in new.get("metadata", {}).items() if value is not None}
        known = old["metadata"] if old else {"uid": str(uuid.uuid4()), "creationTimestamp": "2026-01-01T00:00:00Z"}
        identity = {key: known.get(key) for key in ("uid", "creationTimestamp", "resourceVersion")}
        namespace = {"namespace": target.namespace} if target.namespace else {}
        new = {**new, "metadata": {**metadata, **identity, **namespace, "name": target.name}}
        if new == old:
            return new
        writers = self._writers.setdefault(target, {})
        writers[writer] = None
        new["metadata"]["managedFields"] = [{"manager": name, "operation": how} for name, how in writers]
        if old is not None and target.plural == "secrets":
            _check_secret(old, new)
        self.revision += 1
        new["metadata"]["resourceVersion"] = str(self.revision)
        new = json.loads(json.dumps(new))
        self._objects[target] = new
        self._tell("ADDED" if old is None else "MODIFIED", target.collection, new)
        return new

    def _tell(self, kind: str, collection: str, obj: Object) -> None:
        self.history.append(Change(self.revision, kind, collection, obj))
        self.changed.notify_all()

    def _expect(self, target: Target, old: Object | None, expected: Object) -> None:
        for field in ("uid", "resourceVersion"):
            if expected.get(field) and (old is None or old["metadata"][field] != expected[field]):
                raise Refused(
                    409, "Conflict", f'{target.plural} "{target.name}": the {field} given is not the current one'
                )


def _check_secret(old: Object, new: Object) -> None:
    if old.get("type") != new.get("type"):
        raise Refused(422, "Invalid", "Secret is invalid: type: Invalid value: field is immutable")
    if old.get("immutable") and old.get("data") != new.get("data"):
        raise Refused(422, "Invalid", "Secret is invalid: data: Forbidden: field is immutable when `immutable` is set")


def _leaves(value: Object, path: _Path = ()) -> Iterator[tuple[_Path, Any]]:
    for key, inner in value.items():
        here = (*path, key)
        if isinstance(inner, dict) and inner:
            yield from _leaves(inner, here)
        elif here not in _UNOWNED:
            yield here, inner


def _at(value: Any, path: _Path) -> Any:  # noqa: ANN401
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _set(value: Object, path: _Path, new: object) -> None:
    for key in path[:-1]:
        value = value.setdefault(key, {})
    if new is None:
        value.pop(path[-1], None)
    else:
        value[path[-1]] = new


def _merged(old: object, patch: object) -> Any:  # noqa: ANN401
    if not isinstance(patch, dict):
        return patch
    base = old if isinstance(old, dict) else {}
    kept = {key: value for key, value in base.items() if patch.get(key, value) is not None}
    return kept | {key: _merged(base.get(key), value) for key, value in patch.items() if value is not None}


def _named(paths: list[_Path]) -> str:
    return ", ".join("." + ".".join(path) for path in paths)
