"""Replace the serving certificate of the running process, and never with a pair that does not work.

``load_cert_chain`` on a context in use is unsafe. After a mismatched pair every handshake fails, and during a handshake
in another thread it may crash the process. So each pair gets its own context. The server name callback of the live
context moves each handshake to the newest one. That is one assignment, which is safe from any thread.

Settings that apply before the callback come from the live context and never change: the protocol versions and the
requirement of a client certificate. The client authorities come from the context of the pair.
"""

from __future__ import annotations

import os
import ssl
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from certs.validity import certificates_in, chain_of, check_pair
from webhook.errors import CertificateInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: only forward secrecy and authenticated encryption. All suites of TLS 1.3 have both."""


class ServingCertificate:
    """The live TLS context of a server and its current certificate.

    A server listens with ``context``. It can do so before the first ``load``, but every handshake fails until then.
    With ``verifies_clients``, handshakes also fail before the first ``trust_clients``, and for clients without a
    certificate from one of the authorities given there.
    """

    def __init__(
        self, minimum_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2, *, verifies_clients: bool = False
    ) -> None:
        self._minimum_version = minimum_version
        self._verifies_clients = verifies_clients
        self.context = self._new_context()
        self.context.sni_callback = self._select_context
        self._current: ssl.SSLContext | None = None
        self._pair: _Pair | None = None
        self._client_authorities = ""
        # Pair and client authorities are changed by two threads, and each new context needs both.
        self._lock = threading.Lock()

    @property
    def loaded(self) -> bool:
        """Return whether a certificate is loaded."""
        return self._pair is not None

    @property
    def not_after(self) -> datetime | None:
        """Return the expiry time of the current certificate, or None before the first one is loaded."""
        return None if self._pair is None else self._pair.not_after

    def problem(self, now: datetime) -> str | None:
        """Return why handshakes fail at ``now``, or None when they work."""
        if self._pair is None:
            return "no usable certificate yet"
        if now > self._pair.not_after:
            return f"the certificate expired at {self._pair.not_after.isoformat()}"
        if now < self._pair.not_before:
            return f"the certificate is not valid before {self._pair.not_before.isoformat()}"
        if self._verifies_clients and not self._client_authorities:
            return "no authority of clients yet"
        return None

    def load(self, certificate_pem: bytes, key_pem: bytes) -> None:
        """Serve this pair (the leaf first, then intermediates) from the next handshake on.

        Raises CertificateInvalid when the pair cannot be served; the previous pair stays in service. An expired pair is
        rejected. A pair that is not yet valid is accepted, because it would not be offered again later.
        """
        leaf = chain_of(certificate_pem)[0]
        # Without a CA bundle and names, because replicas cannot see what the API server trusts, or by which name it
        # calls.
        check_pair(certificate_pem, key_pem, None, (), max(datetime.now(UTC), leaf.not_valid_before_utc))
        # With a line break in between, because a key file may end without one.
        pair = _Pair(key_pem + b"\n" + certificate_pem, leaf.not_valid_before_utc, leaf.not_valid_after_utc)
        with self._lock:
            # First the context, which may be refused. Then the pair, whose times readiness reports.
            self._current = self._context_of(pair, self._client_authorities)
            self._pair = pair

    def trust_clients(self, authorities_pem: bytes) -> None:
        """Accept, from the next handshake on, only clients with a certificate of one of these authorities.

        Raises CertificateInvalid when one of them cannot be read; the previous authorities stay in force.
        """
        authorities, unparsable = certificates_in(authorities_pem)
        if unparsable or not authorities:
            raise CertificateInvalid(
                "the authorities of clients are not readable PEM certificates: see --client-ca-file"
            )
        text = "".join(ssl.DER_cert_to_PEM_cert(authority.public_bytes(Encoding.DER)) for authority in authorities)
        with self._lock:
            if self._pair is not None:
                self._current = self._context_of(self._pair, text)
            self._client_authorities = text

    def _context_of(self, pair: _Pair, client_authorities: str) -> ssl.SSLContext:
        context = self._new_context()
        try:
            with _as_file(pair.pem) as path:
                context.load_cert_chain(path)
            if client_authorities:
                context.load_verify_locations(cadata=client_authorities)
        except ssl.SSLError as error:
            reason = error.reason or "unknown error"
        else:
            return context
        raise CertificateInvalid(f"the certificate cannot be served: TLS refuses it ({reason})")

    def _select_context(self, handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> int | None:
        # OpenSSL calls this for each handshake. The name is None for a caller that uses an IP address.
        if self._current is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        handshake.context = self._current
        return None

    def _new_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = self._minimum_version
        context.set_ciphers(CIPHERS)
        context.set_alpn_protocols(["http/1.1"])
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        # Resumed connections would skip the certificate check, so session tickets are off.
        # The option is for TLS 1.2. TLS 1.3 needs num_tickets as well.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        if self._verifies_clients:
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@dataclass(frozen=True, slots=True, repr=False)
class _Pair:
    """Key and chain in one PEM text, and the validity period of the leaf."""

    pem: bytes
    not_before: datetime
    not_after: datetime


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Yield a path for OpenSSL, which reads keys only from files: in memory on Linux, else a file of mode 0600."""
    if hasattr(os, "memfd_create"):
        # In memory, so that a key never reaches a disk, and the root file system may be read-only.
        descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.name
