"""Read certificate files that change together, such as a mounted Secret, a ConfigMap or the files of an ACME client.

The kubelet updates a mounted Secret by swapping one symlink for the whole folder. A certificate from before the swap
does not match a key from after it. Therefore all files are read again until no swap happened during the read.
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

POLL_SECONDS = 1.0
LARGEST_FILE = 1024 * 1024
"""In bytes; a Secret cannot hold more."""

READS = 5
"""Attempts to read all files without a swap in between; a swap takes microseconds."""


class WatchedFiles:
    """PEM files that belong together, read as one and reread when they change."""

    def __init__(self, *paths: Path) -> None:
        self.paths = paths
        self._digest = b""
        self._last_error = ""

    def read(self) -> tuple[bytes, ...]:
        """Return the contents of all files, from the same moment.

        Raises CertificateInvalid when a file cannot be read.
        """
        for _ in range(READS):
            # A swap changes the target of the symlink ..data, so equal paths before and after show that none happened.
            before = self._resolved()
            try:
                contents = tuple(map(_content, self.paths))
            # The kubelet removes the old folder after the swap, so a file may vanish between both.
            except CertificateInvalid:
                if self._resolved() != before:
                    continue
                raise
            if self._resolved() == before:
                return contents
        raise CertificateInvalid(f"{' and '.join(map(str, self.paths))} change faster than they can be read")

    def load(self, apply: Callable[..., None]) -> None:
        """Read the files and pass their contents to ``apply``. Raises CertificateInvalid when either step fails."""
        contents = self.read()
        # Before it is applied: content that is refused would be refused again each second.
        self._digest = _digest(contents)
        apply(*contents)

    def watch(
        self,
        apply: Callable[..., None],
        on_invalid: Callable[[CertificateInvalid], None],
        stop: threading.Event,
        interval: float = POLL_SECONDS,
    ) -> None:
        """Check the files every ``interval`` seconds until ``stop`` is set, and pass changed contents to ``apply``.

        When reading fails or ``apply`` raises CertificateInvalid, ``on_invalid`` gets the error. While the same error
        lasts, it is reported only once.
        """
        while not stop.wait(interval):
            try:
                self._reload_if_changed(apply)
            except CertificateInvalid as error:
                if str(error) != self._last_error:
                    self._last_error = str(error)
                    on_invalid(error)

    def _reload_if_changed(self, apply: Callable[..., None]) -> None:
        contents = self.read()
        digest = _digest(contents)
        # By content, because a mounted Secret gets a new folder with any change, also of another key.
        if digest != self._digest:
            self._digest = digest
            apply(*contents)
        self._last_error = ""

    def _resolved(self) -> list[str]:
        return [os.path.realpath(path) for path in self.paths]


class CertificateFiles(WatchedFiles):
    """A certificate and a key on disk, in PEM."""

    def __init__(self, certificate: Path, key: Path) -> None:
        super().__init__(certificate, key)


def _content(path: Path) -> bytes:
    try:
        # A path may lead to a device without an end, so the read is bounded.
        with path.open("rb") as file:
            return file.read(LARGEST_FILE)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise CertificateInvalid(f"{path} cannot be read ({reason})")


def _digest(contents: tuple[bytes, ...]) -> bytes:
    return hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in contents)).digest()
