"""One Kubernetes object as a file has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Manifest:
    """An object in the API's JSON form, and what identifies it; its body is not shown, because it may be a Secret's.

    ``namespace`` is filled in where the file leaves it out; a Namespace has its own name there. ``generated`` means
    that ``name`` is a ``generateName``. ``origin`` tells a person where it stands: ``team.yaml, document 2``.
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
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def title(self) -> str:
        """Kind and name, as kubectl writes them: ``Pod/migrate``; a generated name ends in ``*``."""
        return f"{self.kind}/{self.name}{'*' if self.generated else ''}"

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What may be there only once: group, kind, namespace and name."""
        return (self.group, self.kind, self.namespace, self.name)

    def is_core(self, kind: str) -> bool:
        """Whether this is a ``kind`` of the core group."""
        return self.kind == kind and self.group == ""
