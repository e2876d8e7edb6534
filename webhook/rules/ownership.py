"""Decide whether a Secret with a copy's name is a copy that this release wrote for its namespace.

Labels alone prove nothing: a person who copies a Secret with ``kubectl get -o yaml`` copies them too. The proof has two
further parts. A label has the UID of the namespace that the copy was written for, so a person's copy in another
namespace has the wrong UID. The API server also lists the field managers that wrote an object, and a person's tool is
listed instead of ours. ``kubectl get`` leaves that list out, and the API server ignores it when an object is created.

The names of the labels are part of the chart's ValidatingAdmissionPolicies. Change them together.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "pull-secret-webhook"
RELEASE_LABEL = "pullsecrets.webhook/release"
RELEASE_NAMESPACE_LABEL = "pullsecrets.webhook/release-namespace"
NAMESPACE_UID_LABEL = "pullsecrets.webhook/namespace-uid"
"""UID of the namespace that a copy was written for. Copies of release 0.1 lack it."""

FIELD_MANAGER = "pull-secret-webhook"
"""The field manager of every write except creations, which add a suffix: see :mod:`webhook.sync.writes`."""


class Release(msgspec.Struct, frozen=True):
    """A Helm release, by its name and namespace."""

    name: str
    namespace: str


class FieldManager(msgspec.Struct, frozen=True, gc=False):
    """A field manager, and whether it writes by server-side apply (``Apply``) or otherwise (``Update``)."""

    manager: str = ""
    operation: str = ""


class Ownership(Enum):
    """The owner of a Secret with a copy's name, in its namespace."""

    OURS = auto()
    """Written by this release for this namespace."""
    RESTORED = auto()
    """It was ours, and a backup restored it into a recreated namespace or without its field managers.

    It is corrected if the namespace is selected, and never deleted, because it may be a person's copy.
    """
    FOREIGN = auto()
    """Any other Secret. It is never changed or deleted, and the references to it stay."""


class Mark(msgspec.Struct, frozen=True):
    """The rest of the proof in a Secret with the labels of this release."""

    namespace_uid: str = ""
    """The namespace that it was written for; empty for a copy of release 0.1."""
    written: bool = True
    """True if one of our field managers is among its writers."""


def labels_for(release: str, release_namespace: str) -> dict[str, str]:
    """Return the labels that identify the objects of this release."""
    return {
        MANAGED_BY_LABEL: MANAGED_BY,
        RELEASE_LABEL: release,
        RELEASE_NAMESPACE_LABEL: release_namespace,
    }


def copy_labels(release: str, release_namespace: str, namespace_uid: str) -> dict[str, str]:
    """Return the labels of a copy that is written for a namespace."""
    return labels_for(release, release_namespace) | {NAMESPACE_UID_LABEL: namespace_uid}


def is_labelled(labels: Mapping[str, str], release: str, release_namespace: str) -> bool:
    """Return whether an object carries the labels of exactly this release. That alone does not make it ours."""
    return (
        labels.get(RELEASE_LABEL) == release
        and labels.get(RELEASE_NAMESPACE_LABEL) == release_namespace
        and labels.get(MANAGED_BY_LABEL) == MANAGED_BY
    )


def mark_of(
    labels: Mapping[str, str], writers: Iterable[FieldManager], release: str, release_namespace: str
) -> Mark | None:
    """Return the proof in a Secret; None without the labels of this release."""
    if not is_labelled(labels, release, release_namespace):
        return None
    return Mark(labels.get(NAMESPACE_UID_LABEL, ""), is_written_by_us(writers))


def ownership_of(mark: Mark | None, namespace_uid: str) -> Ownership:
    """Return whose a Secret is, in the namespace with this UID.

    =========================  ===================  ==============================
    UID in its label           written by us        written by others only
    =========================  ===================  ==============================
    that of its namespace      ours                 restored
    none                       ours, of release 0.1 foreign
    another                    restored             foreign
    =========================  ===================  ==============================
    """
    if mark is None:
        return Ownership.FOREIGN
    if mark.namespace_uid == namespace_uid:
        # Without our manager, a backup tool or a person has created it in this namespace.
        return Ownership.OURS if mark.written else Ownership.RESTORED
    # A person who copies a copy to another namespace copies its labels as well.
    if not mark.written:
        return Ownership.FOREIGN
    # Release 0.1 wrote no UID. Another UID with our manager is from a backup, such as one of Velero.
    return Ownership.RESTORED if mark.namespace_uid else Ownership.OURS


def is_a_copy(labels: Mapping[str, str]) -> bool:
    """Return whether an object with ``labels`` was written by any release of this project."""
    return labels.get(MANAGED_BY_LABEL) == MANAGED_BY


def is_written_by_us(writers: Iterable[FieldManager]) -> bool:
    """Return whether one of our field managers is among the writers of a Secret.

    Copies are written only by server-side apply. An Update with our manager name is from another writer.
    """
    return any(map(is_ours, writers))


def is_ours(writer: FieldManager) -> bool:
    """Return whether a writer of a Secret is one of our field managers."""
    # A creation has a suffix for its process, so that a late one of another process is a conflict.
    is_named = writer.manager == FIELD_MANAGER or writer.manager.startswith(f"{FIELD_MANAGER}-")
    return is_named and writer.operation == "Apply"
