"""The checks of RFC 8259 that a decoder leaves out where it skips over what nobody asked for.

In values that it skips, msgspec checks the grammar, but neither that strings are UTF-8 nor that numbers are within
range. A review is mostly such values (``managedFields``, ``status``), and decoding all of them costs five times as much
as skipping: so the rare body that holds a conspicuous number is found first, and only that one decoded in full.
"""

from __future__ import annotations

import re

import msgspec

_MANY_DIGITS = b"0" * 200
"""With fewer digits and an exponent below 100, a number stays below 1e299: in range of a double."""

_CLASSES = bytes.maketrans(b"0123456789E]} \t\r\n", b"0000000000e,,,,,,")
_SIGN = b"+"
_BIG_EXPONENT = re.compile(rb"0e0000*,")


def check_strictly(body: bytes) -> None:
    """Raise ValueError if ``body`` is not UTF-8, or has a number that is out of range; RecursionError if too deep."""
    if not body.isascii():
        body.decode()
    if _has_conspicuous_number(body):
        try:
            msgspec.json.decode(body)
        except msgspec.ValidationError as error:
            raise ValueError("a number is out of range") from error


def _has_conspicuous_number(body: bytes) -> bool:
    """Return whether there may be a number out of range; strings that look like one count too."""
    classes = body.translate(_CLASSES, _SIGN)
    if _MANY_DIGITS in classes:
        return True
    # The plain search is ten times as fast as the expression, and hits are rare: hexadecimal digests.
    return b"0e000" in classes and _BIG_EXPONENT.search(classes) is not None
