"""Have large reviews decoded by another process, so that small ones do not wait.

A thread is not enough: a decoder keeps the interpreter for tens of milliseconds, and the event loop needs it several
times for one small review. The other process returns only the fields of a decision, which are few. The decision stays
here, where the configuration and the namespaces are.
"""

from __future__ import annotations

import subprocess
import sys
import threading

import msgspec
import structlog

from webhook.serve import decoding
from webhook.serve.decoding import Outcome, read_frame, write_frame
from webhook.serve.review import BadReview, RequestHead, parse

log = structlog.get_logger(__name__)

_ATTEMPTS = 2
"""The process may have ended since the previous body, because it ends when it is idle."""

_TIMEOUT_SECONDS = 10.0
"""A body takes less than 0.1 s on an idle machine. The API server waits for 10 s by default, and for 30 s at most."""

_decode = msgspec.msgpack.Decoder(Outcome).decode


class DecoderProcess:
    """Decodes bodies one by one. The process starts with the first body."""

    def __init__(self, timeout: float = _TIMEOUT_SECONDS) -> None:
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def parse(self, body: bytes) -> RequestHead:
        """Return what review.parse returns; raises BadReview like it. Without the process, it is called here."""
        with self._lock:
            outcome = self._outcome_of(body)
        if outcome is None:
            log.warning("large review decoded in the main process", bytes=len(body))
            return parse(body)
        if outcome.problem is not None:
            raise BadReview(outcome.problem)
        request = outcome.request or outcome.head
        assert request is not None  # noqa: S101 - the other process sets one of the three
        return request

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _outcome_of(self, body: bytes) -> Outcome | None:
        for _ in range(_ATTEMPTS):
            try:
                answer = self._exchange(body)
            except OSError:
                answer = None
            if answer is not None:
                return _decode(answer)
            self.stop()
        return None

    def _exchange(self, body: bytes) -> bytes | None:
        process = self._process = self._process or _start()
        # A process that hangs must not keep this thread forever: the next bodies wait for it.
        timer = threading.Timer(self._timeout, process.kill)
        timer.daemon = True
        timer.start()
        try:
            assert process.stdin is not None  # noqa: S101 - both are pipes
            assert process.stdout is not None  # noqa: S101
            write_frame(process.stdin, body)
            return read_frame(process.stdout)
        finally:
            timer.cancel()


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", decoding.__name__]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - our own module
