"""A certificate and its key in two files that change together: a mounted Secret, or what an ACME client writes.

The kubelet changes a mounted Secret by the swap of one symlink for the whole folder. A certificate from before the swap
and a key from after it do not belong together, so both are read again until nothing moved in between.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from webhook.errors import CertificateInvalid

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

LOOK_SECONDS = 1.0
LARGEST_FILE = 1024 * 1024
"""Bytes; as much as a Secret can hold."""

READS = 5
"""Attempts at reading both files without a swap in between; a swap takes microseconds."""


class CertificateFiles:
    """A certificate and a key on disk, in PEM."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.certificate = certificate
        self.key = key
        self._digest = b""
        self._last_error = ""

    def read(self) -> tuple[bytes, bytes]:
        """Return certificate and key from one moment; CertificateInvalid when one cannot be read."""
        for _ in range(READS):
            before = self._resolved()
            try:
                pair = _content(self.certificate), _content(self.key)
            except CertificateInvalid:
                if self._resolved() != before:
                    continue
                raise
            if self._resolved() == before:
                return pair
        raise CertificateInvalid(f"{self.certificate} and {self.key} change faster than they can be read")

    def load(self, serve: Callable[[bytes, bytes], None]) -> None:
        """Read the pair and hand it to ``serve``; CertificateInvalid from either."""
        certificate_pem, key_pem = self.read()
        self._digest = _digest(certificate_pem, key_pem)
        serve(certificate_pem, key_pem)

    def watch(
        self,
        serve: Callable[[bytes, bytes], None],
        on_invalid: Callable[[CertificateInvalid], None],
        stop: threading.Event,
        interval: float = LOOK_SECONDS,
    ) -> None:
        """Look at the files every ``interval`` seconds until ``stop`` is set, and hand each new pair to ``serve``.

        When the files cannot be read, or ``serve`` raises CertificateInvalid, ``on_invalid`` gets it: once, until
        something else is wrong or a pair is served again.
        """
        while not stop.wait(interval):
            try:
                self._look(serve)
            except CertificateInvalid as error:
                if str(error) != self._last_error:
                    self._last_error = str(error)
                    on_invalid(error)

    def _look(self, serve: Callable[[bytes, bytes], None]) -> None:
        certificate_pem, key_pem = self.read()
        digest = _digest(certificate_pem, key_pem)
        if digest != self._digest:
            self._digest = digest
            serve(certificate_pem, key_pem)
        self._last_error = ""

    def _resolved(self) -> tuple[str, str]:
        return os.path.realpath(self.certificate), os.path.realpath(self.key)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_FILE)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise CertificateInvalid(f"{path} cannot be read ({reason})")


def _digest(certificate_pem: bytes, key_pem: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(certificate_pem).digest() + key_pem).digest()
