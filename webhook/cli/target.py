"""An object as a person names it on the command line: ``pod/web``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from webhook.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS: Mapping[str, str] = {
    "pod": "Pod",
    "po": "Pod",
    "pods": "Pod",
    "sa": "ServiceAccount",
    "serviceaccount": "ServiceAccount",
    "serviceaccounts": "ServiceAccount",
    "ns": "Namespace",
    "namespace": "Namespace",
    "namespaces": "Namespace",
    "reason": "reason",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A kind and a name; the kind is as it was typed where it is none that is known here."""

    kind: str
    name: str

    @property
    def is_known(self) -> bool:
        """Whether something can be said about an object of this kind."""
        return self.kind in _KINDS.values()


def complete_target(incomplete: str) -> list[str]:
    """Return what a target may begin with; for a reason, which ids there are."""
    if not incomplete.startswith("reason/"):
        return [each for each in ("pod/", "sa/", "ns/", "reason/") if each.startswith(incomplete)]
    from webhook.core.catalog import CATALOG  # noqa: PLC0415 - only when somebody asks

    return [found for reason in CATALOG if (found := f"reason/{reason}").startswith(incomplete)]


def parse_target(text: str, forms: str = "pod/NAME, sa/NAME, ns/NAME or reason/ID") -> Target:
    """Return what ``kind/name`` names; UsageError with the ``forms`` that are possible when it is not one of them."""
    kind, slash, name = text.partition("/")
    if not (kind and slash and name) or "/" in name:
        raise UsageError(f"{text} names no object: write {forms}")
    return Target(_KINDS.get(kind.lower(), kind), name)
