"""Load each new serving certificate, and keep the previous one when the new one is unusable."""

from __future__ import annotations

import base64
import binascii
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from certs.validity import certificates_in, not_after
from webhook.errors import CertificateInvalid
from webhook.kube.objects import AUTHORITY_KEY, CERTIFICATE_KEY, PRIVATE_KEY_KEY

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable

    from certs.reload import ServingCertificate
    from webhook.kube.objects import SecretObject
    from webhook.ops.health import HealthCheck
    from webhook.ops.metrics import AdmissionMetrics

log = structlog.get_logger(__name__)

REMIND_SECONDS = 60.0
"""Seconds between two log lines while the first certificate is missing."""

POLL_SECONDS = 1.0


class CertificateLoader:
    """Loads each new pair, or keeps the old one and reports the reason. Safe to call from any thread."""

    def __init__(self, serving: ServingCertificate, check: HealthCheck, metrics: AdmissionMetrics) -> None:
        self._serving = serving
        self._metrics = metrics.certificate
        self._secret, self._refused = "", ""
        # The check polls, because a certificate also expires when no event happens.
        check.follows(self._problem)

    def wait_for(self, secret: str, stop: threading.Event, seconds: float = REMIND_SECONDS) -> None:
        """Report the Secret of the first certificate, ``NAMESPACE/NAME``, while no pair of it is served.

        The check reports it immediately, the log after a second and then each minute. Returns when a certificate is
        loaded, or when ``stop`` is set.
        """
        self._secret = secret
        # An existing Secret is read within this time, so that a usual start logs nothing.
        self._loaded_within(POLL_SECONDS, stop)
        while not (self._serving.loaded or stop.is_set()):
            log.warning("waiting for the certificate", awaited=self._awaited)
            if self._loaded_within(seconds, stop):
                return

    @property
    def _awaited(self) -> str:
        """The Secret with its content; a better content if the last one was refused."""
        if self._refused:
            return f"a usable pair in Secret {self._secret}: {self._refused}"
        return f"Secret {self._secret} with {CERTIFICATE_KEY} and {PRIVATE_KEY_KEY}"

    def _loaded_within(self, seconds: float, stop: threading.Event) -> bool:
        end = time.monotonic() + seconds
        while not self._serving.loaded and time.monotonic() < end:
            if stop.wait(POLL_SECONDS):
                return True
        return self._serving.loaded

    def _problem(self) -> str | None:
        problem = self._serving.problem(datetime.now(UTC))
        # Once a pair was loaded, its problem is that of its validity, and the Secret is not awaited any more.
        if problem is None or self._serving.loaded or not self._secret:
            return problem
        return f"{problem}: waiting for {self._awaited}"

    def load(self, certificate_pem: bytes, key_pem: bytes, authority_pem: bytes = b"") -> None:
        """Serve this pair from the next handshake on. CertificateInvalid leaves everything unchanged.

        ``authority_pem`` is used only for metrics; trusting it is the API server's decision.
        """
        # First the load, which may raise: metrics and log describe only a pair that is served.
        self._serving.load(certificate_pem, key_pem)
        not_after = self._serving.not_after
        if not_after is not None:
            self._metrics.accepted(not_after, _expiry(authority_pem))
            log.info("certificate in use", not_after=not_after.isoformat())

    def report_refused(self, error: CertificateInvalid) -> None:
        """Report why a certificate is not loaded."""
        # It is kept for the report: a Secret with an unusable pair must not be reported as missing.
        self._refused = str(error)
        self._metrics.refused()
        log.warning("certificate refused", cause=str(error), old_one_stays=self._serving.loaded)

    def load_client_authorities(self, authorities_pem: bytes) -> None:
        """Accept clients of these authorities from the next handshake on.

        CertificateInvalid leaves everything unchanged.
        """
        self._serving.trust_clients(authorities_pem)
        # The latest end counts, because a client needs only one of the authorities.
        ends = [certificate.not_valid_after_utc for certificate in certificates_in(authorities_pem)[0]]
        self._metrics.callers_accepted(max(ends))
        log.info("authorities of callers in use", number=len(ends), not_after=max(ends).isoformat())

    def report_refused_authorities(self, error: CertificateInvalid) -> None:
        """Report why the client authorities are not loaded."""
        self._metrics.callers_refused()
        log.warning("authorities of callers refused", cause=str(error))


def _expiry(certificate_pem: bytes) -> datetime | None:
    try:
        return not_after(certificate_pem)
    except CertificateInvalid:
        return None


def _pair(secret: SecretObject) -> tuple[bytes, bytes]:
    """Return certificate and key in PEM. Raises CertificateInvalid when one is missing or unreadable."""
    # A Secret without content has no data at all in the API's JSON.
    data = secret.data or {}
    try:
        # Without validate, Python skips characters that are not base64, and returns other bytes.
        certificate, key = (
            base64.b64decode(data.get(name, ""), validate=True) for name in (CERTIFICATE_KEY, PRIVATE_KEY_KEY)
        )
    except binascii.Error:
        raise CertificateInvalid(f"{secret!r} contains data that is not base64") from None
    if not certificate or not key:
        raise CertificateInvalid(f"{secret!r} does not contain {CERTIFICATE_KEY} and {PRIVATE_KEY_KEY}")
    return certificate, key


def _authority(secret: SecretObject) -> bytes:
    """Return the certificate of the authority in PEM; empty when it is missing."""
    try:
        return base64.b64decode((secret.data or {}).get(AUTHORITY_KEY, ""), validate=True)
    except binascii.Error:
        return b""


class TlsSecretHandler:
    """A reflector's handler that passes on the pair in one Secret. A deleted Secret changes nothing."""

    def __init__(self, loader: CertificateLoader) -> None:
        self._loader = loader

    def replace(self, objects: Iterable[SecretObject], _version: str) -> None:
        for secret in objects:
            self.upsert(secret)

    def upsert(self, obj: SecretObject) -> None:
        try:
            self._loader.load(*_pair(obj), _authority(obj))
        except CertificateInvalid as error:
            self._loader.report_refused(error)

    def remove(self, obj: SecretObject) -> None:
        self._loader.report_refused(CertificateInvalid(f"{obj!r} has been deleted"))
