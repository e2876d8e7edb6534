"""Check the rules of RFC 8259 that the decoder skips in unread values.

In values that it skips, msgspec checks the grammar, but not that strings are UTF-8 and numbers are in range. A review
is mostly such values (``managedFields``, ``status``), and decoding all of them costs five times as much as skipping.
simdjson checks everything in half the time of skipping. But it rejects some valid documents (big integers, lone
surrogates), and needs 13 times a document's size in memory. So documents that it accepts are valid. In documents that
it rejects, and in large ones, only numbers that may be out of range are checked one by one, without decoding.
"""

from __future__ import annotations

import codecs
import math
import re
from typing import TYPE_CHECKING

import simdjson

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGE = 256 * 1024
"""In bytes. Larger documents are not given to simdjson, because it never frees its memory."""

_PIECE = 64 * 1024
"""Bytes checked in one step, so that large documents need no large copies and other threads get turns."""

LONGEST_NUMBER = 1000
"""In characters. Numbers in objects of the API are much shorter."""

MOST_CONSPICUOUS = 10_000
"""Limit of numbers in one document with an exponent of three or more digits, or with hundreds of digits."""

_MANY_DIGITS = b"0" * 200
"""With fewer digits and an exponent below 100, a number stays below 1e299, in the range of a double."""

_CLASSES = bytes.maketrans(b"0123456789E]} \t\r\n", b"0000000000e,,,,,,")
_parser = simdjson.Parser()
_SIGN = b"+"
_BIG_EXPONENT = re.compile(rb"0e0000*,")
_CONSPICUOUS = re.compile(rb"(?<![0-9.eE+])(?:[0-9.]{200,}+(?:[eE][+-]?[0-9]++)?|[0-9][0-9.]*+[eE][+]?[0-9]{3,}+)")


def check_strictly(body: bytes) -> None:
    """Raise ValueError if ``body`` is not UTF-8, or contains a number out of range."""
    if len(body) < _LARGE and _is_plainly_right(body):
        return
    if not body.isascii():
        _check_utf8(body)
    if _has_conspicuous_number(body):
        _check_numbers(body)


def _is_plainly_right(body: bytes) -> bool:
    try:
        _parser.parse(body)
    except (ValueError, RuntimeError):
        return False
    return True


def _check_utf8(body: bytes) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(body), _PIECE):
        decoder.decode(body[start : start + _PIECE])
    decoder.decode(b"", final=True)


def _has_conspicuous_number(body: bytes) -> bool:
    """Return whether a number may be out of range; strings that look like one count too."""
    classes = body.translate(_CLASSES, _SIGN)
    if _MANY_DIGITS in classes:
        return True
    # The plain search is ten times as fast as the expression. Hits are rare; they are hexadecimal digests.
    return b"0e000" in classes and _BIG_EXPONENT.search(classes) is not None


def _check_numbers(body: bytes) -> None:
    """Check each conspicuous number outside of strings."""
    # Without escaped characters, each quotation mark begins or ends a string.
    text = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    for count, number in enumerate(_outside_strings(text)):
        too_much = len(number) > LONGEST_NUMBER or count >= MOST_CONSPICUOUS
        if too_much or (not number.isdigit() and math.isinf(float(number))):
            raise ValueError("a number is out of range")


def _outside_strings(text: bytes) -> Iterator[bytes]:
    quotes = position = 0
    for match in _CONSPICUOUS.finditer(text):
        quotes += text.count(b'"', position, match.start())
        position = match.start()
        if quotes % 2 == 0:
            yield match[0]
