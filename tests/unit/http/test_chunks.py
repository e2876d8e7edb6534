from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.http.message import Chunks
from webhook.http.reply import Refusal

ALLOWED = 1000


def chunked(pieces: Sequence[bytes], trailers: bytes = b"", extension: bytes = b"") -> bytes:
    framed = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces if piece)
    return framed + b"0\r\n" + trailers + b"\r\n"


def decoded(*pieces: bytes, allowed: int = ALLOWED) -> Chunks:
    chunks = Chunks(allowed)
    for piece in pieces:
        chunks.feed(piece)
    return chunks


@given(st.lists(st.binary(max_size=50), max_size=8), st.data())
def test_a_body_is_the_same_however_it_is_cut(pieces: list[bytes], data: st.DataObject) -> None:
    stream = chunked(pieces, b"X: y\r\n", b";a=b") + b"next"
    cut = data.draw(st.integers(0, len(stream)))
    chunks = decoded(stream[:cut], allowed=ALLOWED)
    if chunks.complete:
        assert chunks.rest + stream[cut:] == b"next"
    else:
        chunks.feed(stream[cut:])
        assert chunks.rest == b"next"
    assert (chunks.complete, bytes(chunks.body)) == (True, b"".join(pieces))


@pytest.mark.parametrize(
    "stream",
    [
        b"zz\r\n",
        b"-1\r\n",
        b"\r\n",
        b" 1\r\na\r\n",
        b"1\r\nab\r\n",
        b"1 x\r\na\r\n",
        b"123456789\r\n",
        b"0\r\nno colon\r\n",
    ],
)
def test_what_is_no_chunk_is_refused(stream: bytes) -> None:
    with pytest.raises(Refusal, match="malformed"):
        decoded(stream)


@pytest.mark.parametrize(
    "stream",
    [
        b"1\r\na\r\n" * 5000,
        b"1" * 5000,
        b"1;" + b"x" * 5000,
        b"0\r\n" + b"X: y\r\n" * 5000,
        b"0\r\nX: " + b"y" * 5000,
    ],
    ids=["tiny chunks", "an endless size", "an endless extension", "endless trailers", "an endless trailer"],
)
def test_what_is_mostly_framing_is_refused_while_it_comes(stream: bytes) -> None:
    taken = b""
    chunks = Chunks(ALLOWED)

    def feed() -> None:
        nonlocal taken
        while len(taken) < len(stream):
            piece = stream[len(taken) : len(taken) + 100]
            taken += piece
            chunks.feed(piece)

    with pytest.raises(Refusal, match="mostly framing"):
        feed()
    assert len(taken) <= 2 * ALLOWED + 200


def test_chunks_as_others_send_them_are_no_burden() -> None:
    assert decoded(chunked([b"x" * 200] * 5000)).complete
