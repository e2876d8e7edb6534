from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.http.connection import Connection
from webhook.http import message as heads
from webhook.http.counters import PortCounters
from webhook.http.limits import ADMISSION
from webhook.http.message import CACHED_HEADS, CHUNKED, Chunks, parse
from webhook.http.reply import Refusal
from webhook.serve.endpoint import SMALL_BODY

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


def without(name: bytes, *instead: bytes) -> list[bytes]:
    return [*(line for line in LINES if not line.startswith(name)), *instead]


def of(lines: Sequence[bytes]) -> bytes:
    return b"\r\n".join(lines)


def status_of(lines: Sequence[bytes]) -> int:
    """Return the status that a head is refused with, 0 when it is accepted."""
    try:
        parse(of(lines), ADMISSION)
    except Refusal as refusal:
        return refusal.status
    return 0


def remembered() -> int:
    return heads._parse_cached.cache_info().misses


def test_a_head_is_read() -> None:
    head, length = parse(of(LINES), ADMISSION)
    assert (head.method, head.path, head.query, head.version, length) == ("POST", "/mutate", b"timeout=5s", "1.1", 2)
    assert head.keep_alive
    assert not head.expects_continue
    assert (b"user-agent", b"kube-apiserver-admission") in head.headers


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (b"POST /mutate HTTP/1.1", "/mutate"),
        (b"POST /%6dutate HTTP/1.1", "/mutate"),
        (b"POST http://x/mutate HTTP/1.1", "/mutate"),
        (b"POST HTTPS://x:443/mutate?a=b HTTP/1.1", "/mutate"),
        (b"POST http://x HTTP/1.1", "/"),
        (b"OPTIONS * HTTP/1.1", "*"),
        (b"POST //mutate HTTP/1.1", "//mutate"),
    ],
)
def test_the_path_is_that_of_the_target_in_every_form(line: bytes, path: str) -> None:
    assert parse(of([line, *LINES[1:]]), ADMISSION)[0].path == path


FORBIDDEN = {
    "no Host": without(b"Host"),
    "two Hosts": [*LINES, b"Host: other"],
    "two equal Hosts": [*LINES, b"Host: webhook.pull-secrets.svc:443"],
    "a Host with a blank": without(b"Host", b"Host: a b"),
    "a Host with a path": without(b"Host", b"Host: a/b"),
    "an unknown transfer coding": without(b"Content-Length", b"Transfer-Encoding: gzip"),
    "one before chunked": without(b"Content-Length", b"Transfer-Encoding: gzip, chunked"),
    "chunked twice": without(b"Content-Length", b"Transfer-Encoding: chunked, chunked"),
    "two transfer codings": without(b"Content-Length", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "chunked in HTTP/1.0": [
        b"POST /mutate HTTP/1.0",
        *without(b"Content-Length", b"Transfer-Encoding: chunked")[1:],
    ],
    "chunks and a length": [*LINES, b"Transfer-Encoding: chunked"],
    "two lengths": [*LINES, b"Content-Length: 3"],
    "two equal lengths": [*LINES, b"content-length: 2"],
    "a list of lengths": without(b"Content-Length", b"Content-Length: 2, 2"),
    "a length with a sign": without(b"Content-Length", b"Content-Length: +2"),
    "a length below nothing": without(b"Content-Length", b"content-length: -2"),
    "a length of no digits": without(b"Content-Length", b"Content-Length: "),
    "a length of 30 digits": without(b"Content-Length", b"Content-Length: " + b"9" * 30),
    "a length in other digits": without(b"Content-Length", "content-length: ٢".encode()),
    "two content codings": [*LINES, b"Content-Encoding: identity", b"Content-Encoding: gzip"],
    "a folded header": [*LINES, b" folded"],
    "a blank before the colon": [*LINES, b"X : y"],
    "a header without a name": [*LINES, b": y"],
    "a header without a colon": [*LINES, b"X"],
    "a bare line feed": [*LINES, b"X: a\nY: b"],
    "a bare carriage return": [*LINES, b"X: a\rb"],
    "a NUL": [*LINES, b"X: a\0b"],
    "a fragment": [b"POST /mutate# HTTP/1.1", *LINES[1:]],
    "HTTP/2.0": [b"POST /mutate HTTP/2.0", *LINES[1:]],
    "HTTP/1.12": [b"POST /mutate HTTP/1.12", *LINES[1:]],
    "http/1.1": [b"POST /mutate http/1.1", *LINES[1:]],
    "two blanks": [b"POST  /mutate HTTP/1.1", *LINES[1:]],
    "a target that is no path": [b"POST mutate HTTP/1.1", *LINES[1:]],
    "a target that is an authority": [b"CONNECT x:443 HTTP/1.1", *LINES[1:]],
    "no target": [b"POST  HTTP/1.1", *LINES[1:]],
    "an empty head": [b""],
}


@pytest.mark.parametrize("lines", FORBIDDEN.values(), ids=FORBIDDEN)
def test_what_rfc_9112_forbids_is_a_bad_request(lines: Sequence[bytes]) -> None:
    assert status_of(lines) == 400


def test_what_is_too_large_is_refused_as_such() -> None:
    assert status_of([*LINES, *[b"A:b"] * (ADMISSION.headers - len(LINES))]) == 0
    assert status_of([*LINES, *[b"A:b"] * (ADMISSION.headers - len(LINES) + 2)]) == 431
    assert status_of([b"POST /" + b"x" * ADMISSION.target_bytes + b" HTTP/1.1", *LINES[1:]]) == 414


def test_a_body_is_as_long_as_the_head_says() -> None:
    assert parse(of(without(b"Content-Length")), ADMISSION)[1] == 0
    assert parse(of(without(b"Content-Length", b"content-length: 7")), ADMISSION)[1] == 7
    assert parse(of(without(b"Content-Length", b"Transfer-Encoding: Chunked")), ADMISSION)[1] == CHUNKED


def test_heads_that_differ_only_in_their_length_are_parsed_once() -> None:
    first, _ = parse(of(without(b"Content-Length", b"Content-Length: 3")), ADMISSION)
    before = remembered()
    second, length = parse(of(without(b"Content-Length", b"Content-Length: 12345")), ADMISSION)
    assert (second is first, length, remembered() - before) == (True, 12345, 0)


def test_strangers_heads_make_room_for_those_of_an_api_server_after_an_upgrade() -> None:
    for number in range(2 * CACHED_HEADS):
        parse(of([*LINES, b"X-Number: %d" % number]), ADMISSION)
    upgraded = of([*LINES, b"X-New: 1"])
    parse(upgraded, ADMISSION)
    before = remembered()
    parse(upgraded, ADMISSION)
    assert remembered() == before


class Judge:
    """What llhttp reads of the same bytes."""

    def __init__(self) -> None:
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.complete = True


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_is_accepted_is_read_as_another_parser_reads_it(data: st.DataObject) -> None:
    text = bytearray(of(LINES))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(text)))
        text[at : at + data.draw(st.integers(0, 4))] = data.draw(
            st.sampled_from([b"", b" ", b":", b"\r\n", b"\t", b"X: y\r\n", b"#", b"%41"]) | st.binary(max_size=3)
        )
    try:
        head, length = parse(bytes(text), ADMISSION)
    except Refusal:
        return
    judge = Judge()
    parser = httptools.HttpRequestParser(judge)
    try:
        parser.feed_data(bytes(text) + b"\r\n\r\n")
    except httptools.HttpParserUpgrade:
        pass
    except (httptools.HttpParserInvalidMethodError, httptools.HttpParserInvalidURLError):
        return  # it knows the registered methods alone, and takes apart the authority of an absolute form
    assert judge.complete
    assert parser.get_method().decode() == head.method
    expected = [field for field in judge.fields if field[0] != b"content-length"]
    assert [field for field in head.headers if field[0] != b"content-length"] == [
        (name, value.strip(b" \t")) for name, value in expected
    ]
    assert length == int(dict(judge.fields).get(b"content-length", b"0"))


def ask(pieces: Sequence[bytes], *, knowing: bool) -> tuple[tuple[bytes, bool], PortCounters]:
    heads._parse_cached.cache_clear()
    if knowing:
        assert Connection().feed([request()])[0].endswith(b"\r\n\r\n{}")
    connection = Connection()
    return connection.feed(pieces), connection.counters


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
    connection = Connection()
    connection.endpoint.draining = True
    written, ending = connection.feed([request(b"one"), request(b"two")])
    assert (written.count(b"HTTP/1.1 200 OK"), b"connection: close\r\n" in written, ending) == (1, True, True)


def test_the_bytes_of_a_known_request_are_counted_and_given_back() -> None:
    _, counters = ask([request(b"x" * 1000)[:-500]], knowing=True)
    assert counters == PortCounters(received_bytes=500)


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
