"""Parse the head of an HTTP/1.1 request (RFC 9112), and decode a chunked body as it arrives.

The head is parsed strictly, after its size has been bounded. The framing of a chunked body must not be much larger than
its data. Otherwise a body with one byte in each chunk would cost the event loop a hundred times as much as other
bodies. Trailers are checked and dropped.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from webhook.http.reply import Refusal

if TYPE_CHECKING:
    from starlette.types import Scope

    from webhook.http.limits import PortLimits
    from webhook.http.reply import Header

# Eight digits count up to 4 GiB, far more than any limit of a body.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t -~\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*")
_LINE_END = b"\r\n"


class _Part(Enum):
    SIZE = auto()
    DATA = auto()
    END_OF_DATA = auto()
    TRAILERS = auto()
    NOTHING = auto()


class Chunks:
    """Decodes one chunked body. Raises Refusal when it is malformed or mostly framing.

    ``body`` is the data so far, and ``rest`` the bytes after its end.
    """

    __slots__ = ("_allowed", "_framing", "_missing", "_part", "_pending", "body")

    def __init__(self, allowed: int) -> None:
        self.body = bytearray()
        self._allowed = allowed
        self._framing = 0
        self._missing = 0
        self._part = _Part.SIZE
        self._pending = b""

    @property
    def complete(self) -> bool:
        return self._part is _Part.NOTHING

    @property
    def rest(self) -> bytes:
        return self._pending if self.complete else b""

    def feed(self, data: bytes) -> None:
        """Decode the next bytes."""
        data = self._pending + data if self._pending else data
        position = 0
        while not self.complete:
            after = self._take_data(data, position) if self._part is _Part.DATA else self._take_line(data, position)
            if after < 0:
                break
            position = after
        self._pending = data[position:]
        if not self.complete:
            # A line without an end counts, too. Otherwise a size or a trailer could have any length.
            self._check_framing(len(self._pending))

    def _take_data(self, data: bytes, position: int) -> int:
        """Return the end of this chunk's data in ``data``; -1 when it has none."""
        part = data[position : position + self._missing]
        if not part:
            return -1
        self.body += part
        self._missing -= len(part)
        if not self._missing:
            self._part = _Part.END_OF_DATA
        return position + len(part)

    def _take_line(self, data: bytes, position: int) -> int:
        """Return the end of the next line of framing in ``data``; -1 when it is incomplete."""
        end = data.find(_LINE_END, position)
        if end < 0:
            return -1
        self._framing += end + len(_LINE_END) - position
        self._check_framing(0)
        self._read(data[position:end])
        return end + len(_LINE_END)

    def _read(self, line: bytes) -> None:
        if self._part is _Part.SIZE:
            self._read_size(line)
        elif self._part is _Part.END_OF_DATA:
            if line:
                raise _malformed()
            self._part = _Part.SIZE
        elif not line:
            self._part = _Part.NOTHING
        elif not _TRAILER.fullmatch(line):
            raise _malformed()

    def _read_size(self, line: bytes) -> None:
        size = _SIZE.fullmatch(line)
        if size is None:
            raise _malformed()
        self._missing = int(size[1], 16)
        self._part = _Part.DATA if self._missing else _Part.TRAILERS

    def _check_framing(self, pending: int) -> None:
        # The allowance grows with the data, so that a large body may have many chunks and a small one must not.
        if self._framing + pending > self._allowed + len(self.body):
            raise Refusal(400, "the chunks are mostly framing")


def _malformed() -> Refusal:
    return Refusal(400, "a chunk is malformed")


END = b"\r\n\r\n"
CHUNKED = -1
"""The length of a chunked body."""

CACHED_HEADS = 64
CACHED_BYTES = 2048
"""Largest head in the cache; the least recently used one is replaced."""

MAX_DIGITS = 18
"""Digits of a Content-Length."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# Exactly one space between the parts: parsers that disagree about others allow smuggling (RFC 9112, section 3).
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([!-~]+) HTTP/1\.([01])")
# A folded line begins with a blank, so it is not a field. RFC 9112, section 5.2, permits 400 for it.
_FIELD = re.compile(rb"(" + _TOKEN + rb"):[ \t]*((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)[ \t]*")
_HOST = re.compile(rb"(?:[\w.~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
_ABSOLUTE = re.compile(rb"https?://[^/?#@]+", re.IGNORECASE)
_LENGTH = b"\r\nContent-Length: "
_SINGLE = frozenset({b"host", b"content-length", b"content-type", b"content-encoding", b"transfer-encoding", b"expect"})
"""Headers that must not be repeated. RFC 9110 allows a list of content codings; our clients do not send one."""


class Head:
    """A request line and its headers, with names in lower case."""

    __slots__ = (
        "accepted",
        "expects_continue",
        "headers",
        "keep_alive",
        "length",
        "method",
        "path",
        "query",
        "version",
    )

    def __init__(self, method: str, target: bytes, version: str, headers: tuple[Header, ...]) -> None:
        self.method = method
        self.version = version
        self.headers = headers
        path, _, self.query = target.partition(b"?")
        # Bytes that are not UTF-8 must not raise here: such a path is only unknown.
        self.path = unquote(path.decode("ascii"), errors="surrogateescape")
        named = dict(headers)
        connection = [token.strip().lower() for token in named.get(b"connection", b"").split(b",")]
        self.keep_alive = version == "1.1" and b"close" not in connection
        self.expects_continue = version == "1.1" and named.get(b"expect", b"").lower() == b"100-continue"
        self.length = _length(named, version)
        """Length of the body: CHUNKED for a chunked body, None without the header."""

        self.accepted = False
        """True after the port's service has accepted this head; it checks each head once."""


def parse(head: bytes, limits: PortLimits) -> tuple[Head, int]:
    """Return the head, without its final empty line, and the length of the body.

    Heads of one client differ only in their Content-Length. So that header is parsed separately and the rest is cached.
    """
    # A large head is not cached, so that one client cannot fill the cache with heads of 16 KiB.
    if len(head) > CACHED_BYTES:
        return _with_length(_parse_head(head, limits))
    before = head.find(_LENGTH)
    # Go's net/http writes the name in this spelling. With another one, the length is part of the cached text.
    if before < 0:
        return _with_length(_parse_cached(head, limits))
    start = before + len(_LENGTH)
    end = head.find(b"\r\n", start)
    if end < 0:
        end = len(head)
    digits = head[start:end]
    # The number of digits is bounded first: to convert a long number takes time that grows with its square.
    if not digits.isdigit() or len(digits) > MAX_DIGITS:
        raise _bad("the Content-Length is not a number")
    cached = _parse_cached(head[:before] + head[end:], limits)
    # The first length was taken out above, so this is a second one, or a chunked body.
    if cached.length is not None:
        raise _bad("the length of the body is given twice")
    return cached, int(digits)


def scope_of(head: Head, client: tuple[str, int] | None, scheme: str) -> Scope:
    """Return the ASGI scope of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": head.version,
        "method": head.method,
        "scheme": scheme,
        "path": head.path,
        "raw_path": head.path.encode(errors="surrogateescape"),
        "query_string": head.query,
        "root_path": "",
        "headers": list(head.headers),
        "client": client,
        "server": None,
        "state": {},
    }


def _with_length(head: Head) -> tuple[Head, int]:
    return head, head.length or 0


def _parse_head(text: bytes, limits: PortLimits) -> Head:
    # Counted before the split, so that a head of many short lines does not make many objects.
    if text.count(b"\r\n") >= limits.headers:
        raise Refusal(431, f"{limits.headers} headers or more")
    first, *lines = text.split(b"\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        raise _bad("not an HTTP/1.1 request")
    target = line[2]
    if len(target) > limits.target_bytes:
        raise Refusal(414, f"the path is longer than {limits.target_bytes} bytes")
    headers = tuple([_field(field) for field in lines])
    version = f"1.{line[3].decode()}"
    _check_fields(headers, version)
    return Head(line[1].decode("ascii"), _origin_form(target), version, headers)


# lru_cache keeps no exception, so refused heads do not displace the API server's.
_parse_cached = lru_cache(maxsize=CACHED_HEADS)(_parse_head)


def _field(line: bytes) -> Header:
    field = _FIELD.fullmatch(line)
    if field is None:
        raise _bad("a header is malformed")
    return field[1].lower(), field[2]


def _check_fields(headers: tuple[Header, ...], version: str) -> None:
    names = [name for name, _ in headers if name in _SINGLE]
    if len(set(names)) != len(names):
        raise _bad("a header is repeated that must occur only once")
    # RFC 9112, section 3.2: a request of HTTP/1.1 without exactly one valid Host header gets 400.
    hosts = [value for name, value in headers if name == b"host"]
    if not hosts and version == "1.1":
        raise _bad("the Host header is missing")
    if hosts and _HOST.fullmatch(hosts[0]) is None:
        raise _bad("the Host header is malformed")


def _origin_form(target: bytes) -> bytes:
    """Return path and query of a request target, without the scheme and authority of an absolute form."""
    if b"#" in target:
        raise _bad("the path has a fragment")
    # RFC 9112, section 3.2.2: a server must accept the absolute form, too.
    absolute = _ABSOLUTE.match(target)
    rest = target[absolute.end() :] if absolute else target
    if absolute and not rest.startswith(b"/"):
        return b"/" + rest
    if not rest.startswith((b"/", b"*")):
        raise _bad("the request target is not a path")
    return rest


def _length(named: dict[bytes, bytes], version: str) -> int | None:
    coding, length = named.get(b"transfer-encoding"), named.get(b"content-length")
    # RFC 9112, section 6.3: a request with both lengths may be an attempt at smuggling, so it is refused and not
    # repaired.
    if coding is not None:
        if length is not None:
            raise _bad("the length of the body is given twice")
        if coding.lower() != b"chunked" or version != "1.1":
            raise _bad("the Transfer-Encoding is not chunked")
        return CHUNKED
    if length is None:
        return None
    if not length.isdigit() or len(length) > MAX_DIGITS:
        raise _bad("the Content-Length is not a number")
    return int(length)


def _bad(problem: str) -> Refusal:
    return Refusal(400, problem)
