"""Define the values of a preview: one row for each object, and for each copy."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from webhook.report.protocol import Line, Severity


class Effect(StrEnum):
    """The effect on an object."""

    NONE = "none"
    REFERENCES = "references"
    """The imagePullSecrets of the object or of its Pods would change."""
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    PROBLEM = "problem"
    """Something is wrong, and a person has to act."""
    UNDECIDED = "undecided"
    """The result depends on an object that is not in the manifests, or that you lack the right to read."""
    RECREATE = "recreate"
    """A Pod lacks a due reference and would have to be recreated."""
    EVICT = "evict"
    """A Pod lacks a due reference, and healing would evict it."""

    @property
    def is_change(self) -> bool:
        """Return whether the object would be written, or evicted."""
        return self in (Effect.REFERENCES, Effect.CREATE, Effect.UPDATE, Effect.DELETE, Effect.EVICT)


class PreviewReason(StrEnum):
    """The reason ids of ``plan`` and ``explain`` only, besides those of decisions, sources and findings."""

    NAMESPACE_SELECTED = "namespace-selected"
    SOURCE_VALID = "source-valid"
    SOURCE_NOT_SEEN = "source-not-seen"
    CREDENTIAL_DUE = "credential-due"
    SOURCE_NAME_HASHED = "source-name-hashed"
    COPY_DUE = "copy-due"
    COPY_CURRENT = "copy-current"
    COPY_KEPT = "copy-kept"
    COPY_OUTDATED = "copy-outdated"
    COPY_DROPPED = "copy-dropped"
    COPY_NOT_WANTED = "copy-not-wanted"
    COPY_NOT_SEEN = "copy-not-seen"
    ROTATION_UNDER_WAY = "rotation-under-way"
    ROTATION_ABORTED = "rotation-aborted"
    ROTATION_NOT_SEEN = "rotation-not-seen"
    TENANT_SECRET_ABSENT = "tenant-secret-absent"  # noqa: S105 - a reason id, as the two below
    TENANT_SECRET_UNUSABLE = "tenant-secret-unusable"  # noqa: S105
    TENANT_SECRET_NOT_SEEN = "tenant-secret-not-seen"  # noqa: S105
    POD_WITHOUT_REFERENCE = "pod-without-reference"
    REFERENCE_DUE = "reference-due"
    REGISTRY_NOT_COVERED = "registry-not-covered"
    WEBHOOK_NOT_REGISTERED = "webhook-not-registered"
    WEBHOOK_NOT_ASKED = "webhook-not-asked"
    WEBHOOK_UNREACHABLE = "webhook-unreachable"
    WEBHOOK_NOT_SEEN = "webhook-not-seen"


RESULTS = {
    Effect.NONE: "=",
    Effect.CREATE: "+ copy",
    Effect.UPDATE: "~ copy",
    Effect.DELETE: "- copy",
    Effect.PROBLEM: "!",
    Effect.UNDECIDED: "?",
    Effect.RECREATE: "(recreate)",
    Effect.EVICT: "- evicted",
}
"""The result of each effect in a table; that of references has their names."""

_COLOURS = {
    # Writes have the colours of a diff.
    Effect.REFERENCES: "green",
    Effect.CREATE: "green",
    Effect.UPDATE: "yellow",
    Effect.DELETE: "red",
    Effect.PROBLEM: Severity.FAULT.value,
    Effect.UNDECIDED: Severity.UNKNOWN.value,
    Effect.RECREATE: Severity.UNKNOWN.value,
    Effect.EVICT: "yellow",
}


class Row(msgspec.Struct, frozen=True):
    """The effect on one object, with a stable reason id and a sentence that explains it.

    ``added`` and ``removed`` are names that its imagePullSecrets would gain and lose. ``gates`` has the reason for each
    pull secret. ``origin`` is empty for a copy, which has no manifest; for other objects in a cluster it is
    ``cluster``. ``title`` is kind and name. ``owner`` is the workload of a Pod that lacks a reference, or the Pod.
    """

    namespace: str
    title: str
    effect: Effect
    reason: str
    message: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    gates: tuple[tuple[str, str], ...] = ()
    origin: str = ""
    owner: str = ""

    @property
    def is_copy(self) -> bool:
        """Return whether this is a copy, written by the controller, and not an object of the manifests."""
        return not self.origin

    @property
    def is_summary(self) -> bool:
        """Return whether this is about all copies of a pull secret, ``PullSecret/NAME``, which is no object."""
        return self.title.startswith("PullSecret/")

    def line(self) -> Line:
        """Return the line for a table."""
        cells = (self.namespace, self.title, self._result(), self.reason, self.message)
        return Line(cells, _COLOURS.get(self.effect, ""))

    def _result(self) -> str:
        if self.effect is not Effect.REFERENCES:
            return RESULTS[self.effect]
        signed = (("+", self.added), ("-", self.removed))
        return " ".join(f"{sign} {', '.join(names)}" for sign, names in signed if names)

    def wide_line(self) -> Line:
        """Return the line for a table that has the owner and the reason for each pull secret, too."""
        cells, colour = self.line()
        gates = " ".join(f"{name}={reason}" for name, reason in self.gates)
        return Line((*cells, self.owner or "<none>", gates or "<none>"), colour)

    def document(self) -> dict[str, object]:
        """Return the row for programs."""
        return {
            "namespace": self.namespace,
            "object": self.title,
            "effect": str(self.effect),
            "added": list(self.added),
            "removed": list(self.removed),
            "reason": str(self.reason),
            "why": self.message,
            "pullSecrets": [{"name": name, "reason": str(reason)} for name, reason in self.gates],
            "origin": self.origin or None,
            "owner": self.owner or None,
        }
