"""Define the settings of the ``sync`` process, from its command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from certs.lifetimes import Lifetimes
    from webhook.rules.ownership import Release


class CertificateNames(msgspec.Struct, frozen=True):
    """The Secrets of the release's serving certificate, and its DNS names."""

    leaf_secret: str
    authority_secret: str
    webhook_configuration: str
    sans: tuple[str, ...]


class SyncSettings(msgspec.Struct, frozen=True):
    """The flags of ``pullsecrets sync``, each checked and with its default filled in."""

    config: Path
    kubeconfig: Path | None
    release: Release
    bind_address: str
    metrics_port: int
    workers: int
    writes_per_second: int
    lease_name: str | None
    """None runs without an election: this process is the only one."""
    config_map: str
    """The ConfigMap of the release namespace that the configuration file is mounted from; empty for none."""
    state_secret: str
    """The Secret of the release namespace that keeps the state; empty for none."""
    certificates: CertificateNames | None
    """None leaves the certificate and the caBundle to another tool."""
    lifetimes: Lifetimes
    providers: Path | None = None
    """The folder with credential providers; None if there is none."""
    login_seconds: float | None = None
    """Seconds between two tests of the credentials at their registries; None for no tests."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names that the plain-HTTP port accepts, besides those of the cluster."""
    status_page: bool = True
    """True if the status page is served."""
    cluster_name: str = ""
    """The name of the cluster on the status page; empty for none."""
