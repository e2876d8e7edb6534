"""Decode JSON as Go's ``encoding/json`` does, because every reader of a pull secret is written in Go.

The differences to Python's decoder change which credential a reader finds. Go finds fields by name in any case, skips
null fields, and keeps the last of two equal fields. It replaces text that is not UTF-8 with U+FFFD. Two equal fields
that are maps are merged.

Source: Go 1.26, encoding/json (decode.go, fold.go).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

DAMAGED = "\ufffd"
"""Go's replacement for invalid text."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_FOLDED = str.maketrans({"\u017f": "s", "\u212a": "k"})
"""The two letters outside of ASCII that Go folds to ASCII letters."""


class JsonObject:
    """An object as its pairs, in order. The repr hides them, because they contain credentials."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = [(go_text(key), go_text(value) if isinstance(value, str) else value) for key, value in pairs]

    def __repr__(self) -> str:
        return "JsonObject(…)"

    def named(self, name: str) -> Iterator[object]:
        """Yield each value that Go would store in the field ``name``, in order."""
        return (value for key, value in self.pairs if key.translate(_FOLDED).lower() == name)


def decode(content: bytes) -> object:
    """Return the document, with each object as a JsonObject; None if it is not JSON.

    Failure returns None, because an exception of the decoder may contain the content.
    """
    try:
        # Each invalid byte becomes one surrogate, and later one U+FFFD. Go also writes one for each byte.
        text = content.decode("utf-8", errors="surrogateescape")
        return json.loads(
            text, object_pairs_hook=JsonObject, parse_constant=_refuse, parse_int=_ignore, parse_float=_ignore
        )
    except (ValueError, RecursionError):
        return None


def go_text(value: str) -> str:
    """Return text as Go decodes it: a surrogate, which has no UTF-8, becomes U+FFFD."""
    return _SURROGATE.sub(DAMAGED, value)


def _ignore(_number: str) -> int:
    return 0  # readers ignore numbers, and Python refuses to convert very long ones


def _refuse(constant: str) -> object:
    raise ValueError(constant)
