"""Which installation this is: it marks what it writes, and touches only what it has marked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Release:
    """A Helm release, by its name and namespace."""

    name: str
    namespace: str


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """Where the release's serving certificate lives and what it is for."""

    leaf_secret: str
    authority_secret: str
    webhook_configuration: str
    sans: tuple[str, ...]
