"""Report the objects that ``pullsecrets cleanup`` would remove, or that it could not remove."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from webhook.report.protocol import RESULT, Line, Severity
from webhook.rules.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence


class Removable(msgspec.Struct, frozen=True):
    """An object, or a part of it, that a cleanup removes; ``cause`` is why it was not removed."""

    kind: str
    name: str = ""
    namespace: str = ""
    part: str = ""
    """The part of the object in words; empty for all of it."""
    cause: str = ""

    @property
    def title(self) -> str:
        """Return ``Secret/web``."""
        return f"{self.kind}/{self.name}" if self.name else self.kind

    def __str__(self) -> str:
        path = "/".join(filter(None, (self.namespace, self.name)))
        return ": ".join(filter(None, (f"{self.kind} {path}".rstrip(), self.part, self.cause)))


class RemovalReport(msgspec.Struct, frozen=True):
    """The objects to remove, with ``is_planned``, else those that are left."""

    objects: Sequence[Removable] = ()
    is_planned: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The headings of the table."""
        return ("NAMESPACE", "OBJECT", RESULT, "DETAIL")

    def lines(self) -> list[Line]:
        """Return the lines of the table."""
        result, severity = ("REMOVE", Severity.NOTE) if self.is_planned else ("LEFT", Severity.FAULT)
        return [
            Line(
                (
                    removable.namespace,
                    removable.title,
                    result,
                    ": ".join(filter(None, (removable.part, removable.cause))),
                ),
                severity.value,
            )
            for removable in self.objects
        ]

    def document(self) -> dict[str, object]:
        """Return everything for programs."""
        return {
            "planned" if self.is_planned else "left": [
                {
                    "namespace": removable.namespace or None,
                    "object": removable.title,
                    "part": removable.part or None,
                    "cause": removable.cause or None,
                }
                for removable in self.objects
            ]
        }

    def summary(self) -> str:
        """Return the result as one line."""
        number = counted(len(self.objects), "item")
        if self.is_planned:
            return f"{number} to remove; no changes were made"
        return f"{number} could not be removed; run the command again"
