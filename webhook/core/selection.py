"""Namespaces, as far as decisions read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from webhook.core.model import DECLINE_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Namespace:
    """What a decision reads of a namespace."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    terminating: bool = False
    declined: frozenset[str] = frozenset()
    """The pull secrets that it does not want; it counts only where the configuration lets namespaces decline."""
    uid: str = ""
    """Tells it from a namespace of the same name that was there before. Empty in a manifest that has none."""


def declined_names(annotations: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the pull secrets that a namespace with these annotations does not want."""
    text = annotations.get(DECLINE_ANNOTATION)
    return frozenset(filter(None, (name.strip() for name in text.split(",")))) if text else frozenset()
