from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.serve.review import check_strictly

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
PADDING = b" " * 300_000
"""With it a document is large, and looked at in another way."""

ODDITIES = [
    b"1e999",
    b"-1e309",
    b"1E+400",
    b"9" * 400,
    b"NaN",
    b"1e-999",
    b"18446744073709551616",
    b'"\\ud800"',
    b"1.",
    b"\xff",
]


def judged_right(document: bytes) -> bool:
    """The verdict of the check, and then of the decoder, which skips over everything."""
    try:
        check_strictly(document)
        msgspec.json.decode(document, type=msgspec.Raw)
    except (ValueError, RecursionError):
        return False
    return True


def is_right(document: bytes) -> bool:
    """The verdict of a decoder that reads everything."""
    try:
        document.decode()
        msgspec.json.decode(document)
    except (ValueError, RecursionError, msgspec.ValidationError):
        return False
    return True


@pytest.mark.parametrize("padding", [b"", PADDING], ids=["small", "large"])
@pytest.mark.parametrize("value", ODDITIES)
@pytest.mark.parametrize("around", [b'{"a":[%b]}', b'{"a": %b }', b"[1,%b,2]"])
def test_what_is_skipped_is_judged_like_what_is_read(around: bytes, value: bytes, padding: bytes) -> None:
    document = around % value + padding
    assert judged_right(document) == is_right(document)


@given(JSON, st.booleans())
def test_every_document_is_right(value: object, ascii_only: bool) -> None:
    try:
        document = json.dumps(value, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return  # a lone surrogate has no UTF-8
    check_strictly(document)


@given(JSON, st.data())
def test_a_damaged_document_is_judged_like_one_that_is_read(value: object, data: st.DataObject) -> None:
    document = bytearray(json.dumps({"a": value}).encode())
    at = data.draw(st.integers(0, len(document)))
    document[at : at + data.draw(st.integers(0, 3))] = data.draw(
        st.sampled_from([b"", *ODDITIES]) | st.binary(max_size=3)
    )
    damaged = b"[%b]" % bytes(document)  # a number alone is no review, and not looked at so closely
    assert judged_right(damaged) == is_right(damaged)
