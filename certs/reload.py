"""The serving certificate of the running process: replaced while it serves, and never by a pair that does not work.

``load_cert_chain`` on a context in use will not do: after a mismatched pair every handshake fails, and while another
thread shakes hands it may crash the process. So each pair gets a context of its own, and the live context hands every
handshake over to the newest by its server name callback: one assignment, safe from any thread.
"""

from __future__ import annotations

import os
import ssl
import tempfile
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from certs.validity import chain_of, check_pair
from webhook.errors import CertificateInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has no others."""


class ServingCertificate:
    """Owns the live TLS context of a server, and the certificate in it.

    ``context`` is what a server listens with; it is usable before the first ``load``, but every handshake fails then.
    """

    def __init__(self) -> None:
        self.context = _server_context()
        self.context.sni_callback = self._hand_over
        self._current: ssl.SSLContext | None = None
        self._not_after: datetime | None = None
        self._lock = threading.Lock()

    @property
    def loaded(self) -> bool:
        """Whether there is a certificate to serve."""
        return self._current is not None

    @property
    def not_after(self) -> datetime | None:
        """When the certificate in service expires, None before the first."""
        return self._not_after

    def load(self, certificate_pem: bytes, key_pem: bytes) -> None:
        """Serve this pair (the leaf first, then intermediates) from the next handshake on.

        CertificateInvalid when it cannot be served, and the one before stays in service. An expired pair is refused,
        one that is not yet valid is not: nobody would come back for it later.
        """
        leaf = chain_of(certificate_pem)[0]
        check_pair(certificate_pem, key_pem, None, (), max(datetime.now(UTC), leaf.not_valid_before_utc))
        context = _server_context()
        try:
            with _as_file(key_pem + b"\n" + certificate_pem) as path:
                context.load_cert_chain(path)
        except ssl.SSLError as error:
            reason = error.reason or "unknown error"
        else:
            with self._lock:
                self._current, self._not_after = context, leaf.not_valid_after_utc
            return
        raise CertificateInvalid(f"the certificate cannot be served: TLS refuses it ({reason})")

    def _hand_over(self, handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> int | None:
        if self._current is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        handshake.context = self._current
        return None


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


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
