"""Read the configuration file at the start, and again whenever its content changes.

The kubelet updates a mounted ConfigMap by swapping its ``..data`` symlink. Editors write in place or rename a new file
over the old one. They need no special handling: the file is small, so each check opens it by its path and compares the
content.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from webhook.errors import ConfigurationInvalid, Problem, UsageError
from webhook.files.configuration import parse
from webhook.files.yaml import LARGEST_DOCUMENT

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from webhook.rules.configuration import Configuration

POLL_SECONDS = 1.0
"""Seconds between two checks. The kubelet takes up to a minute to refresh a mount, so more checks bring no gain."""

READS_BEFORE_ABSENT = 2
"""Failed checks in a row before the file counts as missing, so that a rename in between does not matter."""


class ConfigurationFile:
    """A configuration document on disk. The release namespace is always excluded from its selection.

    It is not thread-safe: call ``load`` first, then ``watch`` in one thread.
    """

    def __init__(self, path: Path, release_namespace: str) -> None:
        self.path = path
        self._release_namespace = release_namespace
        self.digest = ""
        """Digest of the content that was last accepted or rejected, set after the callbacks; see :func:`digest_of`."""

        self._digest = ""
        self._current: Configuration | None = None
        self._failed_reads = 0

    def load(self) -> Configuration:
        """Return the configuration. Raises UsageError when the file cannot be read or its document is invalid."""
        content = self._read()
        self._digest = self.digest = digest_of(content)
        self._current = self._parse(content)
        return self._current

    def watch(
        self,
        on_change: Callable[[Configuration], None],
        on_invalid: Callable[[UsageError], None],
        stop: threading.Event,
        interval: float = POLL_SECONDS,
    ) -> None:
        """Check the file every ``interval`` seconds until ``stop`` is set; callbacks run in this thread.

        ``on_change`` gets each valid document that differs from the last one, but not after a change of comments only.
        It also gets the old one when it returns after an invalid one. ``on_invalid`` is called once for each distinct
        invalid content, and once when the file is missing.
        """
        while not stop.wait(interval):
            self.check(on_change, on_invalid)

    def check(self, on_change: Callable[[Configuration], None], on_invalid: Callable[[UsageError], None]) -> None:
        """Check the file once; the callbacks are those of :meth:`watch`."""
        try:
            content = self._read()
        except UsageError as error:
            self._failed_reads += 1
            # Equal and not greater, so that a missing file is reported only once.
            if self._failed_reads == READS_BEFORE_ABSENT:
                # So the same content is announced again when the file returns.
                self._digest, self._current = "", None
                on_invalid(error)
            return
        self._failed_reads = 0
        if digest_of(content) == self._digest:
            return
        self._digest = digest_of(content)
        self._apply(content, on_change, on_invalid)
        # After the callbacks: sync compares it with the ConfigMap, and must not lead with a configuration not yet in
        # force.
        self.digest = self._digest

    def _apply(
        self, content: bytes, on_change: Callable[[Configuration], None], on_invalid: Callable[[UsageError], None]
    ) -> None:
        try:
            configuration = self._parse(content)
        except UsageError as error:
            # The previous content is announced again when it returns.
            self._current = None
            on_invalid(error)
            return
        if configuration != self._current:
            self._current = configuration
            on_change(configuration)

    def _read(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                # One byte more than is allowed shows that the file is too large. A device such as /dev/zero has no end.
                return file.read(LARGEST_DOCUMENT + 1)
        except OSError as error:
            reason = error.strerror or type(error).__name__
        message = f"the configuration file {self.path} cannot be read ({reason}): give its path with --config"
        raise UsageError(message)

    def _parse(self, content: bytes) -> Configuration:
        text = _text(content)
        if text is None:
            raise ConfigurationInvalid(str(self.path), [Problem("", "the document is not UTF-8 text")])
        configuration = parse(text, str(self.path))
        return configuration.excluding(self._release_namespace) if self._release_namespace else configuration


def _text(content: bytes) -> str | None:
    try:
        # Editors on Windows put a byte order mark before the text.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def digest_of(content: bytes) -> str:
    """Return a digest of a document, or of the part that is read if the document is too large."""
    return hashlib.sha256(content[: LARGEST_DOCUMENT + 1]).hexdigest()
