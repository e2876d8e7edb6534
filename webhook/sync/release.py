"""Identify the installation, which marks its objects and touches only these."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Release:
    """A Helm release, by its name and namespace."""

    name: str
    namespace: str


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """The Secrets of the release's serving certificate, and its DNS names."""

    leaf_secret: str
    authority_secret: str
    webhook_configuration: str
    sans: tuple[str, ...]
