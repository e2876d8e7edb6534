"""Represent one Kubernetes object from a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Manifest:
    """An object in the API's JSON form and its identity. The repr hides the body, because it may be a Secret's.

    ``namespace`` gets a default if the file has none; for a Namespace it is its own name. ``generated`` means that
    ``name`` is a ``generateName``. ``origin`` is the location for people: ``team.yaml, document 2``.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    body: Mapping[str, object] = field(repr=False)
    origin: str
    generated: bool = False

    @property
    def group(self) -> str:
        """Return the API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def title(self) -> str:
        """Return kind and name as kubectl writes them: ``Pod/migrate``; a generated name ends in ``*``."""
        return f"{self.kind}/{self.name}{'*' if self.generated else ''}"

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """Return the identity that must be unique: group, kind, namespace and name."""
        return (self.group, self.kind, self.namespace, self.name)

    def is_core(self, kind: str) -> bool:
        """Return whether this is a ``kind`` of the core group."""
        return self.kind == kind and self.group == ""
