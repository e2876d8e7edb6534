"""The checks of RFC 8259 that a decoder leaves out where it skips over what nobody asked for.

In values that it skips, msgspec checks the grammar, but neither that strings are UTF-8 nor that numbers are within
range. A review is mostly such values (``managedFields``, ``status``), and decoding all of them costs five times as much
as skipping. simdjson checks everything in half the time of skipping, but refuses some documents that are right (big
integers, lone surrogates), and takes 13 times a document's size to look at it. So what it accepts is right; of what it
refuses, and of large documents, the rare one that holds a conspicuous number is found, and that one decoded in full.
"""

from __future__ import annotations

import re

import msgspec
import simdjson

_LARGE = 256 * 1024
"""Bytes of a document that simdjson shall not see: it keeps the memory it once took."""

_MANY_DIGITS = b"0" * 200
"""With fewer digits and an exponent below 100, a number stays below 1e299: in range of a double."""

_CLASSES = bytes.maketrans(b"0123456789E]} \t\r\n", b"0000000000e,,,,,,")
_parser = simdjson.Parser()
_SIGN = b"+"
_BIG_EXPONENT = re.compile(rb"0e0000*,")


def check_strictly(body: bytes) -> None:
    """Raise ValueError if ``body`` is not UTF-8, or has a number that is out of range; RecursionError if too deep."""
    if len(body) < _LARGE and _is_plainly_right(body):
        return
    if not body.isascii():
        body.decode()
    if _has_conspicuous_number(body):
        try:
            msgspec.json.decode(body)
        except msgspec.ValidationError as error:
            raise ValueError("a number is out of range") from error


def _is_plainly_right(body: bytes) -> bool:
    try:
        _parser.parse(body)
    except (ValueError, RuntimeError):
        return False
    return True


def _has_conspicuous_number(body: bytes) -> bool:
    """Return whether there may be a number out of range; strings that look like one count too."""
    classes = body.translate(_CLASSES, _SIGN)
    if _MANY_DIGITS in classes:
        return True
    # The plain search is ten times as fast as the expression, and hits are rare: hexadecimal digests.
    return b"0e000" in classes and _BIG_EXPONENT.search(classes) is not None
