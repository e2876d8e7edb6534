"""Which installation this is: it marks what it writes, and touches only what it has marked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Release:
    """A Helm release, by its name and namespace."""

    name: str
    namespace: str
