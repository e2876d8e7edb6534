"""The values of a preview: one row for each object that is looked at, and for each copy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Effect(StrEnum):
    """What would become of an object."""

    NONE = "none"
    REFERENCES = "references"
    """Its imagePullSecrets would change, or those of its Pods."""
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    PROBLEM = "problem"
    """Something is wrong, and a person has to act."""
    UNDECIDED = "undecided"
    """It depends on an object that is not among the manifests, or may not be read."""
    RECREATE = "recreate"
    """A Pod that runs without a reference: it would have to be created anew."""

    @property
    def is_change(self) -> bool:
        """Whether something would be written."""
        return self in (Effect.REFERENCES, Effect.CREATE, Effect.UPDATE, Effect.DELETE)


class PreviewReason(StrEnum):
    """The reason ids that only ``plan`` and ``explain`` have, beside those of decisions, sources and findings."""

    NAMESPACE_SELECTED = "namespace-selected"
    SOURCE_VALID = "source-valid"
    SOURCE_NOT_SEEN = "source-not-seen"
    COPY_DUE = "copy-due"
    COPY_CURRENT = "copy-current"
    COPY_KEPT = "copy-kept"
    COPY_OUTDATED = "copy-outdated"
    COPY_NOT_WANTED = "copy-not-wanted"
    COPY_NOT_SEEN = "copy-not-seen"
    POD_WITHOUT_REFERENCE = "pod-without-reference"
    REFERENCE_DUE = "reference-due"
    REGISTRY_NOT_COVERED = "registry-not-covered"
    WEBHOOK_NOT_REGISTERED = "webhook-not-registered"
    WEBHOOK_NOT_ASKED = "webhook-not-asked"
    WEBHOOK_UNREACHABLE = "webhook-unreachable"
    WEBHOOK_NOT_SEEN = "webhook-not-seen"


@dataclass(frozen=True, slots=True)
class Row:
    """What would become of one object, with the stable id of the reason and a sentence that explains it.

    ``added`` and ``removed`` are the names that its imagePullSecrets would gain and lose; ``gates`` the reason of each
    pull secret by itself. ``origin`` is empty for a copy: no manifest has it; in a cluster it is ``cluster`` for all
    others. ``title`` is kind and name.
    """

    namespace: str
    title: str
    effect: Effect
    reason: str
    why: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    gates: tuple[tuple[str, str], ...] = ()
    origin: str = ""

    @property
    def is_copy(self) -> bool:
        """Whether this is a copy, which the sync loop writes, and no object of the manifests."""
        return not self.origin
