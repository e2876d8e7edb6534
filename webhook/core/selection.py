"""Define the fields of a namespace that decisions read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from webhook.core.model import DECLINE_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Namespace:
    """The fields of a namespace that a decision reads."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    terminating: bool = False
    declined: frozenset[str] = frozenset()
    """The pull secrets that it declines; used only if the configuration lets namespaces decline."""
    uid: str = ""
    """Distinguishes it from an earlier namespace with the same name. Empty if a manifest has none."""


def declined_names(annotations: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the pull secrets that a namespace with these annotations declines."""
    text = annotations.get(DECLINE_ANNOTATION)
    return frozenset(filter(None, (name.strip() for name in text.split(",")))) if text else frozenset()
