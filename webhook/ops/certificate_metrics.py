"""Define metrics of certificates: the one that is served, and those that are issued."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from prometheus_client import CollectorRegistry

    from webhook.rules.expiry import Validity

EXPIRY = "pullsecrets_certificate_expiry_timestamp_seconds"
AUTHORITY_EXPIRY = "pullsecrets_certificate_authority_expiry_timestamp_seconds"
LAST_ROTATION = "pullsecrets_certificate_last_rotation_timestamp_seconds"


class ServedCertificateMetrics:
    """The certificate in use, and the client authorities if clients need a certificate."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._expiry = Gauge(
            EXPIRY,
            "Expiry time of the serving certificate, in Unix seconds; 0 until one is loaded.",
            registry=registry,
        )
        self._authority_expiry = Gauge(
            AUTHORITY_EXPIRY,
            "Expiry time of the CA stored with the serving certificate, in Unix seconds; 0 without one.",
            registry=registry,
        )
        self._rotated = Gauge(
            LAST_ROTATION, "Time when the serving certificate was loaded, in Unix seconds.", registry=registry
        )
        self._successful = Gauge(
            "pullsecrets_certificate_last_reload_successful",
            "1 if the latest certificate is in use, 0 if it is unusable or none was loaded yet.",
            registry=registry,
        )
        self._errors = Counter(
            "pullsecrets_certificate_reload_errors",
            "Certificates that could not be loaded.",
            registry=registry,
        )
        self._callers_expiry = Gauge(
            "pullsecrets_client_ca_expiry_timestamp_seconds",
            "Expiry time of the client CA that expires last, in Unix seconds; 0 without client CAs.",
            registry=registry,
        )
        self._callers_successful = Gauge(
            "pullsecrets_client_ca_last_reload_successful",
            "1 if the client CAs in the file are in use, 0 if they are unusable or not configured.",
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
    """Certificates that sync issues and publishes; all zero if another tool issues them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.serving: Validity | None = None
        self.authority: Validity | None = None
        self._expiry = Gauge(
            EXPIRY, "Expiry time of the serving certificate in its Secret, in Unix seconds.", registry=registry
        )
        self._authority_expiry = Gauge(
            AUTHORITY_EXPIRY, "Expiry time of the CA in its Secret, in Unix seconds.", registry=registry
        )
        self._rotated = Gauge(
            LAST_ROTATION,
            "Time when this process last wrote it, in Unix seconds; 0 for never.",
            ("what",),
            registry=registry,
        )
        self._writes = Counter(
            "pullsecrets_certificate_writes",
            "Writes of this process: authority, certificate or bundle.",
            ("what",),
            registry=registry,
        )
        self._write_errors = Counter(
            "pullsecrets_certificate_write_errors",
            "Failed writes of these. A write conflict with another process does not count.",
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
            "Blocks in a caBundle that are not certificates and were left out.",
            registry=registry,
        )

    def holds(self, serving: Validity | None, authority: Validity | None) -> None:
        """Set the validity of the certificates in the two Secrets."""
        self.serving, self.authority = serving, authority
        self._expiry.set(serving.end.timestamp() if serving else 0)
        self._authority_expiry.set(authority.end.timestamp() if authority else 0)

    def publishes(self, *, own: int, foreign: int, expired: int) -> None:
        """Set the numbers of certificates in the bundle."""
        for kind, number in (("own", own), ("foreign", foreign), ("foreign expired", expired)):
            self._bundle.labels(kind).set(number)

    def wrote(self, kind: str, clock: Callable[[], float] = time.time) -> None:
        """Count a write."""
        self._writes.labels(kind).inc()
        self._rotated.labels(kind).set(clock())

    def failed(self) -> None:
        """Count a failed write."""
        self._write_errors.inc()

    def left_out(self, blocks: int) -> None:
        """Count unreadable blocks of the bundle."""
        self._unreadable.inc(blocks)
