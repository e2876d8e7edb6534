"""Damages inputs at random, for a time: no coverage leads it, but it needs nothing that is not there."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

LARGEST = 4096
ODDITIES = (
    *(b"", b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", "é".encode(), "ı".encode(), b"\r\n", b"\\ud800"),
    *(b"null", b"true", b"[]", b"{}", b'""', b"0", b"-1", b"1e999", b"NaN", b"9" * 40, b"[" * 300, b'{"a":' * 300),
    *(b"@", b":", b"/", b"//", b"..", b"*", b"%2f", b"&a", b"*a", b"<<: ", b"- ", b"'", b'"', b"#", b"---\n", b"!!x "),
)


def mutate(data: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """Return ``data`` with a few changes, each at a place of its own."""
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + chance.choice((0, 1, 1, 2, 8, 64)))
        data = data[:start] + _piece(data[start:end], seeds, chance) + data[end:]
    return data[:LARGEST]


def _piece(old: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    match chance.randrange(6):
        case 0:
            return b""
        case 1:
            return bytes(byte ^ (1 << chance.randrange(8)) for byte in old)
        case 2:
            return old * chance.choice((2, 3, 50))
        case 3:
            return chance.choice(ODDITIES)
        case 4:
            return chance.randbytes(chance.choice((1, 2, 8)))
        case _:
            donor = chance.choice(seeds)
            start = chance.randrange(len(donor) + 1)
            return donor[start : start + chance.choice((1, 8, 64))]


def run(target: Callable[[bytes], None], seeds: Sequence[bytes], seconds: float, seed: int) -> int:
    """Try seeds, then damaged ones for so many seconds of CPU; return how many. A failure tells the input that made it.

    CPU time, because a busy machine would leave too few inputs.
    """
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be unforeseeable
    deadline = time.thread_time() + seconds
    count = 0
    while count < len(seeds) or time.thread_time() < deadline:
        data = seeds[count] if count < len(seeds) else mutate(chance.choice(seeds), seeds, chance)
        try:
            target(data)
        except Exception as error:
            error.add_note(f"input, to be kept in the corpus: {data!r}")
            raise
        count += 1
    return count
