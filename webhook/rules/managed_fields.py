"""Keep the ownership of ``imagePullSecrets`` with the people who own it.

The API server records the writer of each field of an object in ``metadata.managedFields``. With server-side apply
(``kubectl apply --server-side``, Helm 4) a person who changes a field of another owner gets a conflict.
``imagePullSecrets`` of a ServiceAccount is one field with one owner. A controller that writes an entry owns the whole
list. This module plans how to hand it back:

- An entry of our field manager that owns the list is removed. The previous owners own it again.
- An object without any entry gets one of ours that owns only ``metadata.uid``, which cannot change. Without it, the
  first server-side apply makes ``before-first-apply`` the owner of the list, and the person gets a conflict with it.
- If that has happened, and the list has only references of ours, ``before-first-apply`` loses the list.

Source: k8s.io/apimachinery/pkg/apis/meta/v1/types.go (ManagedFieldsEntry), pkg/util/managedfields/internal; KEP-555.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from webhook.rules.ownership import FIELD_MANAGER, FieldManager

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook.rules.patch import PatchOperation

PATH = "/metadata/managedFields"
LIST_FIELD = "f:imagePullSecrets"

STAND_IN = "before-first-apply"
"""The API server's name for unrecorded writers of an object before its first server-side apply."""

MAX_OWNERS = 8
"""Owners of one list that are remembered. A person can add as many as fit into an object."""

PLACEHOLDER_FIELDS: Mapping[str, object] = {"f:metadata": {"f:uid": {}}}
PLACEHOLDER = {
    "manager": FIELD_MANAGER,
    "operation": "Update",
    "apiVersion": "v1",
    "fieldsType": "FieldsV1",
    "fieldsV1": PLACEHOLDER_FIELDS,
}


class _Fields(msgspec.Struct, frozen=True, gc=False):
    # Raw, because only its presence matters.
    image_pull_secrets: msgspec.Raw | msgspec.UnsetType = msgspec.field(name=LIST_FIELD, default=msgspec.UNSET)


class Entry(FieldManager, frozen=True, gc=False, rename="camel"):
    """One entry of a ServiceAccount, with its information about the list."""

    api_version: str = ""
    subresource: str = ""
    fields_v1: _Fields = _Fields()

    @property
    def owns_list(self) -> bool:
        return self.fields_v1.image_pull_secrets is not msgspec.UNSET

    @property
    def owner(self) -> Owner:
        return Owner(self.manager, self.operation, self.api_version, self.subresource)


class Owner(NamedTuple):
    """The identity of an entry."""

    manager: str
    operation: str
    api_version: str
    subresource: str


class ListOwnership(msgspec.Struct, frozen=True, gc=False):
    """The owners of one ServiceAccount's list; positions are those in ``managedFields``, -1 for none."""

    entries: int = 1
    ours: int = -1
    """Our entry; it is a placeholder unless it ``holds`` the list."""
    holds: bool = False
    stand_in: int = -1
    """The entry of ``before-first-apply``, if it owns the list."""
    owners: tuple[Owner, ...] = ()
    """All other owners of the list."""


SETTLED = ListOwnership()
"""Another writer wrote the object, and there is nothing to hand back."""


def list_ownership(entries: Sequence[Entry]) -> ListOwnership:
    """Return the owners of the list of a ServiceAccount with these entries."""
    ours, stand_in, holds = -1, -1, False
    owners: list[Owner] = []
    for position, entry in enumerate(entries):
        if entry.manager == FIELD_MANAGER and entry.operation == "Update" and not entry.subresource:
            ours, holds = position, entry.owns_list
        elif not entry.owns_list:
            continue
        elif entry.manager == STAND_IN and entry.operation == "Update":
            stand_in = position
        elif len(owners) < MAX_OWNERS:
            owners.append(entry.owner)
    return _shared(len(entries), ours, holds, stand_in, tuple(owners))


@lru_cache(maxsize=1024)
def _shared(entries: int, ours: int, holds: bool, stand_in: int, owners: tuple[Owner, ...]) -> ListOwnership:
    """Return one shared value for the many ServiceAccounts that are alike."""
    return ListOwnership(entries, ours, holds, stand_in, owners)


class HandBackNeed(NamedTuple):
    """The ownership to hand back: whether our placeholder stays, and whether ``before-first-apply`` loses the list."""

    keep: bool
    from_stand_in: bool


def hand_back_needed(ownership: ListOwnership, *, ours: int, entries: int) -> HandBackNeed | None:
    """Return the ownership to hand back of a list with ``entries`` entries, of which ``ours`` are ours, or None.

    A placeholder without a reference of ours may belong to another release in the same cluster. It stays.
    """
    if not ours and not ownership.holds:
        return None
    # If one reference is not ours, before-first-apply may stand for a person, who keeps the list.
    need = HandBackNeed(keep=ours > 0, from_stand_in=ownership.stand_in >= 0 and 0 < ours == entries)
    return need if hand_back(ownership, need) else None


def hand_back(
    ownership: ListOwnership, need: HandBackNeed, restore: Sequence[tuple[int, Owner]] = ()
) -> list[PatchOperation]:
    """Return the operations that return the list to its owners; none if they already own it.

    ``restore`` are the owners before our write, each with the position of its entry, -1 if that is gone.
    """
    # Positions are those before the patch: entries are changed first, then ours is removed, and new ones are appended.
    operations: list[PatchOperation] = []
    if need.from_stand_in:
        operations.append({"op": "remove", "path": f"{PATH}/{ownership.stand_in}/fieldsV1/{LIST_FIELD}"})
    operations += [
        {"op": "add", "path": f"{PATH}/{position}/fieldsV1/{LIST_FIELD}", "value": {}}
        for position, _ in restore
        if position >= 0
    ]
    # The stand-in's entry may own only the list; the API server drops such an entry then.
    others = ownership.entries - (ownership.ours >= 0) - need.from_stand_in
    if ownership.ours >= 0:
        operations += _hand_back_ours(ownership, need, alone=not others and not restore)
    elif need.keep and not others and not restore:
        added = {"path": f"{PATH}/-", "value": PLACEHOLDER} if ownership.entries else _first_entry()
        operations.append({"op": "add", **added})  # type: ignore[typeddict-item]
    operations += [
        {"op": "add", "path": f"{PATH}/-", "value": _entry_of(owner)} for position, owner in restore if position < 0
    ]
    return operations


def _hand_back_ours(ownership: ListOwnership, need: HandBackNeed, *, alone: bool) -> list[PatchOperation]:
    path = f"{PATH}/{ownership.ours}"
    # The last entry stays as a placeholder, because an object without entries would get before-first-apply.
    if need.keep and alone:
        return [{"op": "add", "path": f"{path}/fieldsV1", "value": PLACEHOLDER_FIELDS}] if ownership.holds else []
    in_use = need.keep and not ownership.holds and not ownership.owners
    return [] if in_use else [{"op": "remove", "path": path}]


def _first_entry() -> dict[str, object]:
    # An absent list has no end to append to.
    return {"path": PATH, "value": [PLACEHOLDER]}


def to_restore(owners: Sequence[Owner], entries: Sequence[Entry]) -> list[tuple[int, Owner]]:
    """Return the ``owners`` that no longer own the list of an object with these ``entries``."""
    entries_by_owner = {entry.owner: (position, entry.owns_list) for position, entry in enumerate(entries)}
    # The entry may have gone, because the API server removes an entry that owns no field any more.
    lost = ((entries_by_owner.get(owner, (-1, False)), owner) for owner in owners)
    return [(position, owner) for (position, owns), owner in lost if not owns]


def _entry_of(owner: Owner) -> dict[str, object]:
    entry: dict[str, object] = {
        "manager": owner.manager,
        "operation": owner.operation,
        "apiVersion": owner.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": {LIST_FIELD: {}},
    }
    return entry | ({"subresource": owner.subresource} if owner.subresource else {})


NEVER_SET = "pullsecrets.webhook/tracked"
"""An annotation that is never set, so that an entry that owns it conflicts with no other manager."""


def begin_tracking(now: str) -> PatchOperation:
    """Return the operation that makes the API server record which manager sets which field, from this change on.

    The API server skips an object that has no managedFields, and most ServiceAccounts have none. The guard then cannot
    distinguish our writes from those of a mutating policy in the same request, and refuses both. ``now`` is a
    ``metav1.Time``. The operation replaces all existing entries. Use it only for an object that is not tracked, with a
    test of its version.

    Source: k8s.io/apimachinery, pkg/util/managedfields/internal/skipnonapplied.go.
    """
    entry = {
        "manager": FIELD_MANAGER,
        "operation": "Update",
        "apiVersion": "v1",
        "time": now,
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:annotations": {f"f:{NEVER_SET}": {}}}},
    }
    return {"op": "add", "path": "/metadata/managedFields", "value": [entry]}
