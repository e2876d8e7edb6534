"""Decode large reviews in a process of its own: ``python -m webhook.serve.decoding``, started by decoder.py.

The standard input has bodies, the standard output has outcomes. Both are frames of four bytes with a length (big
endian) and that many bytes. The process ends with its input, or after a minute without a body.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
from typing import TYPE_CHECKING

import msgspec

from webhook.serve.review import AdmissionRequest, BadReview, RequestHead, parse

if TYPE_CHECKING:
    from typing import IO

_LENGTH_BYTES = 4
_IDLE_SECONDS = 60.0
"""The memory of the process returns to the system after this time, because most clusters rarely have large objects."""

_NICENESS = 5
"""Small reviews go first where the process shares a core with the event loop."""

_M_MMAP_THRESHOLD = -3  # malloc.h
_MAPPED_BYTES = 1024 * 1024


class Outcome(msgspec.Struct, omit_defaults=True):
    """The result of one body: exactly one of the fields is set."""

    request: AdmissionRequest | None = None
    head: RequestHead | None = None
    """A request without its object."""

    problem: str | None = None
    """The message of a BadReview."""


_encode = msgspec.msgpack.Encoder().encode


def outcome_of(body: bytes) -> Outcome:
    """Return the outcome of one body."""
    try:
        request = parse(body)
    except BadReview as error:
        return Outcome(problem=str(error))
    return Outcome(request=request) if isinstance(request, AdmissionRequest) else Outcome(head=request)


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
    while select.select([bodies], [], [], idle_seconds)[0]:
        body = read_frame(bodies)
        if body is None:
            return
        write_frame(outcomes, _encode(outcome_of(body)))
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
