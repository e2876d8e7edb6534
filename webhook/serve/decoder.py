"""Decode large reviews in another process, so that small ones do not wait.

A thread is not enough: a decoder keeps the interpreter for tens of milliseconds, and the event loop needs it several
times for one small review. The other process returns only the fields of a decision, which are few. The decision stays
here, where the configuration and the namespaces are.

The other process is ``python -m webhook.serve.decoder``. Its standard input has bodies, its standard output has
outcomes. Both are frames of four bytes with a length (big endian) and that many bytes. It ends with its input, or after
a minute without a body.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import msgspec

from webhook.serve.review import AdmissionRequest, BadReview, RequestHead, parse

if TYPE_CHECKING:
    from typing import IO

_MODULE = "webhook.serve.decoder"
"""Not ``__name__``, which is another one in the other process."""

_ATTEMPTS = 2
"""The process may have ended since the previous body, because it ends when it is idle."""

_TIMEOUT_SECONDS = 10.0
"""A body takes less than 0.1 s on an idle machine. The API server waits for 10 s by default, and for 30 s at most."""


class DecoderProcess:
    """Decodes bodies one by one. The process starts with the first body."""

    def __init__(self, timeout: float = _TIMEOUT_SECONDS) -> None:
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def parse(self, body: bytes) -> RequestHead:
        """Return what review.parse returns; raises BadReview like it. Without the process, it is called here."""
        # One body at a time: two bodies in the pipes could get each other's outcome. The port's worker thread calls
        # this.
        with self._lock:
            outcome = self._outcome_of(body)
        if outcome is None:
            import structlog  # noqa: PLC0415 - the other process does not log, and saves 9 MiB

            structlog.get_logger(__name__).warning("large review decoded in the main process", bytes=len(body))
            # A slow answer is better than a missing one, for which the API server applies the failure policy.
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
            # This closes the pipes and reaps the process, so that it does not stay as a zombie.
            self._process.communicate()
            self._process = None

    def _outcome_of(self, body: bytes) -> DecodedBody | None:
        for _ in range(_ATTEMPTS):
            try:
                answer = self._exchange(body)
            # Python ignores SIGPIPE, so a write to a process that has ended raises BrokenPipeError.
            except OSError:
                answer = None
            if answer is not None:
                return _decode(answer)
            # A frame may be half written or half read, so the pipes of this process cannot be used again.
            self.stop()
        return None

    def _exchange(self, body: bytes) -> bytes | None:
        process = self._process = self._process or _start()
        # A process that hangs must not keep this thread forever: the next bodies wait for it.
        timer = threading.Timer(self._timeout, process.kill)
        # Otherwise the end of this process would wait for the timer.
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
    # Without -P, Python would look for the module in the working directory first.
    command = [sys.executable, "-P", "-m", _MODULE]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - our own module


_LENGTH_BYTES = 4
_IDLE_SECONDS = 60.0
"""The memory of the process returns to the system after this time, because most clusters rarely have large objects."""

_NICENESS = 5
"""Small reviews go first where the process shares a core with the event loop."""

_M_MMAP_THRESHOLD = -3  # malloc.h
_MAPPED_BYTES = 1024 * 1024


class DecodedBody(msgspec.Struct, omit_defaults=True):
    """The result of one body: exactly one of the fields is set."""

    request: AdmissionRequest | None = None
    head: RequestHead | None = None
    """A request without its object."""

    problem: str | None = None
    """The message of a BadReview."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(DecodedBody).decode


def outcome_of(body: bytes) -> DecodedBody:
    """Return the outcome of one body."""
    try:
        request = parse(body)
    except BadReview as error:
        return DecodedBody(problem=str(error))
    return DecodedBody(request=request) if isinstance(request, AdmissionRequest) else DecodedBody(head=request)


def write_frame(stream: IO[bytes], content: bytes) -> None:
    """Write ``content`` after its length. Raises OSError if the other process has ended."""
    stream.write(len(content).to_bytes(_LENGTH_BYTES, "big"))
    stream.write(content)
    stream.flush()


def read_frame(stream: IO[bytes]) -> bytes | None:
    """Return the content of the next frame; None at the end of the stream, also within a frame."""
    length = int.from_bytes(stream.read(_LENGTH_BYTES), "big")
    content = stream.read(length)
    return content if length and len(content) == length else None


def main(idle_seconds: float = _IDLE_SECONDS) -> None:
    """Answer body after body."""
    _prepare()
    bodies, outcomes = sys.stdin.buffer, sys.stdout.buffer
    # select() sees the pipe and not the reader's buffer. The buffer is empty here, because the next body is only sent
    # after this outcome.
    while select.select([bodies], [], [], idle_seconds)[0]:
        body = read_frame(bodies)
        if body is None:
            return
        write_frame(outcomes, _encode(outcome_of(body)))
        # It has up to 7 MiB, and would otherwise stay in memory until the next body.
        del body


def _prepare() -> None:
    # Ctrl-C reaches the whole process group, and a drain may still need this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    # A large block is returned to the system as soon as it is free. glibc only.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)


if __name__ == "__main__":
    main()
