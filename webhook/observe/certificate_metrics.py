"""Metrics of certificates: of the one that is served, and of those that are issued."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from prometheus_client import CollectorRegistry

EXPIRY = "pullsecrets_certificate_expiry_timestamp_seconds"
AUTHORITY_EXPIRY = "pullsecrets_certificate_authority_expiry_timestamp_seconds"
LAST_ROTATION = "pullsecrets_certificate_last_rotation_timestamp_seconds"


class ServedCertificateMetrics:
    """The certificate in use, and the authorities of callers where they are asked for one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._expiry = Gauge(
            EXPIRY,
            "When the serving certificate ends to be valid, in Unix time; 0 before there is one.",
            registry=registry,
        )
        self._authority_expiry = Gauge(
            AUTHORITY_EXPIRY,
            "When the authority stored with it ends to be valid, in Unix time; 0 when there is none.",
            registry=registry,
        )
        self._rotated = Gauge(
            LAST_ROTATION, "When the serving certificate came into use, in Unix time.", registry=registry
        )
        self._successful = Gauge(
            "pullsecrets_certificate_last_reload_successful",
            "1 while the certificate at its source is the one in use, 0 when it is not usable and an older one stays.",
            registry=registry,
        )
        self._errors = Counter(
            "pullsecrets_certificate_reload_errors",
            "Certificates at the source that could not be taken into use.",
            registry=registry,
        )
        self._callers_expiry = Gauge(
            "pullsecrets_client_ca_expiry_timestamp_seconds",
            "When the last of the authorities of callers ends to be valid, in Unix time; 0 when none is asked for.",
            registry=registry,
        )
        self._callers_successful = Gauge(
            "pullsecrets_client_ca_last_reload_successful",
            "1 while the authorities of callers in the file are in use; 0 when not usable, or when none is asked for.",
            registry=registry,
        )

    def accepted(self, not_after: datetime, authority_not_after: datetime | None) -> None:
        self._expiry.set(not_after.timestamp())
        self._authority_expiry.set(authority_not_after.timestamp() if authority_not_after else 0)
        self._rotated.set(time.time())
        self._successful.set(1)

    def refused(self) -> None:
        self._successful.set(0)
        self._errors.inc()

    def callers_accepted(self, not_after: datetime) -> None:
        self._callers_expiry.set(not_after.timestamp())
        self._callers_successful.set(1)

    def callers_refused(self) -> None:
        self._callers_successful.set(0)


class IssuedCertificateMetrics:
    """Certificates that sync issues and publishes; all zero where another tool does."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.expiry: datetime | None = None
        self.authority_expiry: datetime | None = None
        self._expiry = Gauge(
            EXPIRY, "When the serving certificate in its Secret ends to be valid, in Unix time.", registry=registry
        )
        self._authority_expiry = Gauge(
            AUTHORITY_EXPIRY, "When the authority in its Secret ends to be valid, in Unix time.", registry=registry
        )
        self._rotated = Gauge(
            LAST_ROTATION, "When this process last wrote it, in Unix time; 0 for never.", ("what",), registry=registry
        )
        self._writes = Counter(
            "pullsecrets_certificate_writes",
            "What this process has written: authority, certificate or bundle.",
            ("what",),
            registry=registry,
        )
        self._write_errors = Counter(
            "pullsecrets_certificate_write_errors",
            "Writes of them that failed; that another process was first is no failure.",
            registry=registry,
        )
        self._bundle = Gauge(
            "pullsecrets_ca_bundle_certificates",
            "Certificates in the caBundle: own, foreign, or foreign and expired.",
            ("kind",),
            registry=registry,
        )
        self._unreadable = Counter(
            "pullsecrets_ca_bundle_unreadable",
            "Blocks found in a caBundle that are no certificate, and were left out.",
            registry=registry,
        )

    def holds(self, expiry: datetime | None, authority_expiry: datetime | None) -> None:
        """Tell when what is in the two Secrets expires."""
        self.expiry, self.authority_expiry = expiry, authority_expiry
        self._expiry.set(expiry.timestamp() if expiry else 0)
        self._authority_expiry.set(authority_expiry.timestamp() if authority_expiry else 0)

    def publishes(self, *, own: int, foreign: int, expired: int) -> None:
        """Tell what is in the bundle."""
        for kind, number in (("own", own), ("foreign", foreign), ("foreign expired", expired)):
            self._bundle.labels(kind).set(number)

    def wrote(self, what: str, clock: Callable[[], float] = time.time) -> None:
        """Count a write."""
        self._writes.labels(what).inc()
        self._rotated.labels(what).set(clock())

    def failed(self) -> None:
        """Count a write that failed."""
        self._write_errors.inc()

    def left_out(self, blocks: int) -> None:
        """Count what was in the bundle and could not be read."""
        self._unreadable.inc(blocks)
