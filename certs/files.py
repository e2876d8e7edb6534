"""Certificates in files that change together: a mounted Secret or ConfigMap, or what an ACME client writes.

The kubelet changes a mounted Secret by the swap of one symlink for the whole folder. A certificate from before the swap
and a key from after it do not belong together, so all files are read again until nothing moved in between.
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


class WatchedFiles:
    """PEM files that belong together, read as one and read again when they change."""

    def __init__(self, *paths: Path) -> None:
        self.paths = paths
        self._digest = b""
        self._last_error = ""

    def read(self) -> tuple[bytes, ...]:
        """Return the content of each file, all from one moment; CertificateInvalid when one cannot be read."""
        for _ in range(READS):
            before = self._resolved()
            try:
                contents = tuple(map(_content, self.paths))
            except CertificateInvalid:
                if self._resolved() != before:
                    continue
                raise
            if self._resolved() == before:
                return contents
        raise CertificateInvalid(f"{' and '.join(map(str, self.paths))} change faster than they can be read")

    def load(self, serve: Callable[..., None]) -> None:
        """Read the files and hand their contents to ``serve``; CertificateInvalid from either."""
        contents = self.read()
        self._digest = _digest(contents)
        serve(*contents)

    def watch(
        self,
        serve: Callable[..., None],
        on_invalid: Callable[[CertificateInvalid], None],
        stop: threading.Event,
        interval: float = LOOK_SECONDS,
    ) -> None:
        """Look at the files every ``interval`` seconds until ``stop`` is set, and hand what is new to ``serve``.

        When the files cannot be read, or ``serve`` raises CertificateInvalid, ``on_invalid`` gets it: once, until
        something else is wrong or new contents are served.
        """
        while not stop.wait(interval):
            try:
                self._look(serve)
            except CertificateInvalid as error:
                if str(error) != self._last_error:
                    self._last_error = str(error)
                    on_invalid(error)

    def _look(self, serve: Callable[..., None]) -> None:
        contents = self.read()
        digest = _digest(contents)
        if digest != self._digest:
            self._digest = digest
            serve(*contents)
        self._last_error = ""

    def _resolved(self) -> list[str]:
        return [os.path.realpath(path) for path in self.paths]


class CertificateFiles(WatchedFiles):
    """A certificate and a key on disk, in PEM."""

    def __init__(self, certificate: Path, key: Path) -> None:
        super().__init__(certificate, key)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_FILE)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise CertificateInvalid(f"{path} cannot be read ({reason})")


def _digest(contents: tuple[bytes, ...]) -> bytes:
    return hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in contents)).digest()
