"""The serving certificate of the running process: replaced while it serves, and never by a pair that does not work.

``load_cert_chain`` on a context in use will not do: after a mismatched pair every handshake fails, and while another
thread shakes hands it may crash the process. So each pair gets a context of its own, and the live context hands every
handshake over to the newest by its server name callback: one assignment, safe from any thread.

What is decided before that callback comes from the live context and never changes: protocol versions, and whether the
client has to show a certificate. The certificates of client authorities come from the context of the pair.
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
"""For TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has no others."""


class ServingCertificate:
    """Owns the live TLS context of a server, and the certificate in it.

    ``context`` is what a server listens with; it is usable before the first ``load``, but every handshake fails then.
    With ``verifies_clients`` each handshake also fails before the first ``trust_clients``, and for every client that
    has no certificate of an authority given there.
    """

    def __init__(
        self, minimum_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2, *, verifies_clients: bool = False
    ) -> None:
        self._minimum_version = minimum_version
        self._verifies_clients = verifies_clients
        self.context = self._new_context()
        self.context.sni_callback = self._hand_over
        self._current: ssl.SSLContext | None = None
        self._pair: _Pair | None = None
        self._client_authorities = ""
        self._lock = threading.Lock()

    @property
    def loaded(self) -> bool:
        """Whether there is a certificate to serve."""
        return self._pair is not None

    @property
    def not_after(self) -> datetime | None:
        """When the certificate in service expires, None before the first."""
        return None if self._pair is None else self._pair.not_after

    def problem(self, now: datetime) -> str | None:
        """Return why nobody can be served at ``now``, None when all is well."""
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

        CertificateInvalid when it cannot be served, and the one before stays in service. An expired pair is refused,
        one that is not yet valid is not: nobody would come back for it later.
        """
        leaf = chain_of(certificate_pem)[0]
        check_pair(certificate_pem, key_pem, None, (), max(datetime.now(UTC), leaf.not_valid_before_utc))
        pair = _Pair(key_pem + b"\n" + certificate_pem, leaf.not_valid_before_utc, leaf.not_valid_after_utc)
        with self._lock:
            self._current = self._context_of(pair, self._client_authorities)
            self._pair = pair

    def trust_clients(self, authorities_pem: bytes) -> None:
        """Serve, from the next handshake on, clients with a certificate of one of these authorities and no others.

        CertificateInvalid when not all of them can be read, and those before stay in force.
        """
        authorities, unparsable = certificates_in(authorities_pem)
        if unparsable or not authorities:
            raise CertificateInvalid(
                "the authorities of clients are not readable PEM certificates: see --client-ca-file"
            )
        text = "".join(ssl.DER_cert_to_PEM_cert(one.public_bytes(Encoding.DER)) for one in authorities)
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

    def _hand_over(self, handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> int | None:
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
        # No connection is spared the look at certificates because there was one before it.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        if self._verifies_clients:
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@dataclass(frozen=True, slots=True, repr=False)
class _Pair:
    """Key and chain in one PEM text, and when the leaf is valid."""

    pem: bytes
    not_before: datetime
    not_after: datetime


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Give OpenSSL, which reads keys only from files, a path: to memory on Linux, else to a file of mode 0600."""
    if hasattr(os, "memfd_create"):
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
