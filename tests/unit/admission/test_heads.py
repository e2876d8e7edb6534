from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.admission.connection import Connection
from webhook.admission.endpoint import SMALL_BODY
from webhook.admission.heads import LONGEST_HEAD, MOST_HEADS, KnownHeads
from webhook.observe.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Sequence

LINES = (
    b"POST /mutate?timeout=5s HTTP/1.1",
    b"Host: webhook.pull-secrets.svc:443",
    b"User-Agent: kube-apiserver-admission",
    b"Content-Length: 2",
    b"Accept: application/json",
    b"Content-Type: application/json",
    b"Accept-Encoding: gzip",
)


def request(body: bytes = b"{}", lines: Sequence[bytes] = LINES) -> bytes:
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join([length if line.startswith(b"Content-Length") else line for line in lines]) + b"\r\n\r\n" + body


def heads_that_know(*requests: bytes) -> KnownHeads:
    heads = KnownHeads()
    for each in requests:
        heads.learn(each)
    return heads


def without(name: bytes, *instead: bytes) -> list[bytes]:
    return [*(line for line in LINES if not line.startswith(name)), *instead]


def test_a_head_is_known_again_whatever_the_length_of_the_body() -> None:
    heads = heads_that_know(request(b"{}"))
    longer = request(b"x" * 12345)
    assert heads.find(longer) == (longer.index(b"xxx"), 12345)


def test_a_head_is_known_before_its_body_has_come() -> None:
    head = request(b"x" * 100)[:-100]
    assert heads_that_know(request()).find(head) == (len(head), 100)


@pytest.mark.parametrize(
    "other",
    [
        b"",
        request()[:50],
        request(lines=without(b"Host", b"Host: other")),
        request(lines=without(b"Accept-Encoding")),
        request(lines=without(b"Content-Length")),
        request(lines=without(b"Content-Length", b"content-length: 2")),
        request().replace(b"Content-Length: 2", b"Content-Length: -2"),
        request().replace(b"Content-Length: 2", b"Content-Length: "),
        request().replace(b"Content-Length: 2", b"Content-Length: 99999999"),
        request().replace(b"Content-Length: 2", b"Content-Length: 2\r\nContent-Length: 3"),
        request().replace(b"Content-Length: 2", b"Content-Length: 2\r\nTransfer-Encoding: chunked"),
        request().replace(b"/mutate", b"/other"),
        b"\r\n" + request(),
    ],
)
def test_any_other_head_is_not_known(other: bytes) -> None:
    assert heads_that_know(request()).find(other) is None


@pytest.mark.parametrize(
    "line",
    [
        b"Connection: close",
        b"connection: keep-alive",
        b"Expect: 100-continue",
        b"Transfer-Encoding: chunked",
        b"Content-Encoding: identity",
        b"content-length: 2",
        b"Upgrade: h2c",
        b"X-Folded: a\r\n b",
        b"X-Odd: \xc3\xa4",
        b"X-Bare: a\nb",
        b"X_Y: z",
        b"X-Long: " + b"x" * LONGEST_HEAD,
    ],
)
def test_a_head_with_anything_special_is_not_learnt(line: bytes) -> None:
    special = request(lines=[*LINES, line])
    assert heads_that_know(special).find(special) is None


def test_only_so_many_heads_are_remembered() -> None:
    requests = [request(lines=[*LINES, b"X-Number: %d" % number]) for number in range(MOST_HEADS + 1)]
    heads = heads_that_know(*requests)
    assert [heads.find(each) is not None for each in requests] == [True] * MOST_HEADS + [False]


def ask(pieces: Sequence[bytes], *, knowing: bool) -> tuple[tuple[bytes, bool], Traffic]:
    heads = KnownHeads()
    if knowing:
        assert Connection(heads).feed([request()])[0].endswith(b"\r\n\r\n{}")
        assert heads.find(request()) is not None
    connection = Connection(heads)
    return connection.feed(pieces), connection.traffic


@pytest.mark.parametrize(
    "pieces",
    [
        [request(b"one")],
        [request(b"one"), request(b"two")],
        [request(b"one") + request(b"two")],
        [request(b"one")[:-2], b"ne" + request(b"two"), request(b"three")],
        [request(b"x" * SMALL_BODY)],
        [request(b"x" * (SMALL_BODY + 1))],
        [request(b"x" * 50_000)[:30_000], request(b"x" * 50_000)[30_000:]],
        [request(b"")],
        [request(b"one")[:-3]],
        [request(b"one", [*LINES, b"Connection: close"]), request(b"two")],
        [request(b"one")[:-2], b"ne" + request(b"two", [*LINES, b"Connection: close"]) + request(b"three")],
        [b"GET /mutate HTTP/1.1\r\nHost: x\r\n\r\n", request(b"one")],
        [request(b"one", without(b"Content-Type", b"Content-Type: text/plain")) + request(b"two")],
        [request(b"one").replace(b"/mutate", b"/other"), request(b"two")],
        [b"nonsense\r\n\r\n", request(b"one")],
        [b"\r\n", request(b"one")],
    ],
)
def test_a_head_that_is_known_changes_nothing_but_the_time_it_takes(pieces: Sequence[bytes]) -> None:
    assert ask(pieces, knowing=True) == ask(pieces, knowing=False)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_is_done_to_the_bytes_a_known_head_changes_nothing(data: st.DataObject) -> None:
    stream = bytearray(b"".join(request(body) for body in data.draw(st.lists(st.binary(max_size=20), max_size=3))))
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(0, len(stream)))
        stream[at : at + data.draw(st.integers(0, 8))] = data.draw(
            st.sampled_from(
                [b"", b"\r\n", b"0", b"7", b"Content-Length: 1\r\n", b"chunked", b" ", b"\x00", b":", b"/x"]
            )
        )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    bounds = [0, *cuts, len(stream)]
    pieces = [bytes(stream[start:end]) for start, end in pairwise(bounds) if end > start]
    assert ask(pieces, knowing=True) == ask(pieces, knowing=False)


def test_while_draining_a_known_head_is_answered_for_the_last_time() -> None:
    heads = heads_that_know(request())
    connection = Connection(heads)
    connection.endpoint.draining = True
    written, ending = connection.feed([request(b"one"), request(b"two")])
    assert (written.count(b"HTTP/1.1 200 OK"), b"connection: close\r\n" in written, ending) == (1, True, True)


def test_the_bytes_of_a_known_request_are_counted_and_given_back() -> None:
    _, traffic = ask([request(b"x" * 1000)[:-500]], knowing=True)
    assert traffic == Traffic(received_bytes=500)
