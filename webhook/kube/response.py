"""Write a request, and read its response as a whole with a parser in C.

``http.client`` reads a response through the standard library's parser of emails, and urllib3 wraps that. For the short
responses to our writes both together took a third of the CPU time of a write.

Sources: RFC 9112, sections 6.3 (the length of a message) and 9.6 (the end of a connection).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http.client import BadStatusLine, HTTPException, IncompleteRead, RemoteDisconnected
from typing import TYPE_CHECKING

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

if TYPE_CHECKING:
    import socket
    from typing import Self

RECEIVE_BYTES = 65_536
HEADERS_LIMIT = 100
"""Headers in one response, as in ``http.client``."""


class Headers(Mapping[str, str]):
    """The headers of one response; names in any case are equal, and a repeated one has its values joined.

    They stay as they arrived until one is read, because most responses are read for their body only.
    """

    __slots__ = ("_fields",)

    def __init__(self) -> None:
        self._fields: list[tuple[bytes, bytes]] = []

    def add(self, name: bytes, value: bytes) -> None:
        """Add one header.

        Raises:
            HTTPException: there are too many.
        """
        if len(self._fields) >= HEADERS_LIMIT:
            raise HTTPException(f"more than {HEADERS_LIMIT} headers")
        self._fields.append((name, value))

    def clear(self) -> None:
        """Remove all headers."""
        self._fields.clear()

    def __getitem__(self, name: str) -> str:
        encoded_name = name.lower().encode("latin-1")
        values = [value for key, value in self._fields if key.lower() == encoded_name]
        if not values:
            raise KeyError(name)
        # RFC 9110, 5.3: repeated fields are one list with commas. Latin-1 decodes every byte, so it never fails.
        return b", ".join(values).decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower().decode("latin-1") for name, _ in self._fields))

    def __len__(self) -> int:
        return len(list(iter(self)))


class Response:
    """One response. The methods whose names begin with ``on_`` are called by the parser."""

    __slots__ = ("_has_more", "_parser", "_parts", "data", "headers", "is_complete", "is_reusable", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers = Headers()
        self.data = b""
        self.is_complete = False
        self.is_reusable = False
        """True if the connection can carry another request: the server keeps it, and nothing follows the response."""
        self._parser: HttpResponseParser | None = None
        self._parts: list[bytes] = []
        self._has_more = False

    def on_message_begin(self) -> None:
        """Begin with a response; one before it was informational (1xx), or this one belongs to no request."""
        # A second response belongs to no request. The next request must not get it, so the connection is not reused.
        self._has_more = self.is_complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header or trailer."""
        if not self.is_complete:
            self.headers.add(name, value)

    def on_headers_complete(self) -> None:
        """Take the status."""
        # Callbacks go on for a second message in the same bytes. It must not change the first one.
        if not self.is_complete and self._parser is not None:
            self.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        if not self.is_complete:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        """End the response; after an informational one, the real one follows."""
        if self.is_complete or self._parser is None:
            return
        if self.status >= 200:  # noqa: PLR2004
            self.is_complete = True
            self.is_reusable = self._parser.should_keep_alive()
        else:
            # RFC 9110, 15.2: an informational response (1xx) comes before the final one, which has fields of its own.
            self.status = 0
            self.headers.clear()

    def receive(self, sock: socket.socket) -> Self:
        """Read this response from a connection, and return it.

        Raises:
            HTTPException: it is not HTTP/1.1, or it ends too early.
            OSError: the connection broke, or was silent for the timeout of the socket.
        """
        parser = self._parser = HttpResponseParser(self)
        try:
            while not self.is_complete:
                data = sock.recv(RECEIVE_BYTES)
                if not data:
                    self._end_with_connection()
                    break
                parser.feed_data(data)
        except HttpParserError as error:
            raise _cause(error) or BadStatusLine(type(error).__name__) from None
        # The server switches to another protocol (101), which this client never requests.
        except HttpParserUpgrade:
            raise BadStatusLine("another protocol than HTTP") from None
        finally:
            self._parser = None  # it refers to this object, too
        self.is_reusable = self.is_reusable and not self._has_more
        self.data = b"".join(self._parts)
        self._parts.clear()
        return self

    def _end_with_connection(self) -> None:
        """Take the end of the connection as the end of a body without a length."""
        if not self.status:
            raise RemoteDisconnected("the server closed the connection without a response")
        # RFC 9112, 6.3: only a body without both of them ends with the connection. With one of them, it is truncated.
        if "content-length" in self.headers or "transfer-encoding" in self.headers:
            raise IncompleteRead(b"")
        self.is_complete = True


def _cause(error: HttpParserError) -> HTTPException | None:
    """Return the exception that one of the methods of a response has raised within the parser."""
    return error.__context__ if isinstance(error.__context__, HTTPException) else None


def encode_fields(fields: Mapping[str, str]) -> bytes:
    """Return header fields as they are sent, each with the end of its line.

    Raises:
        ValueError: a text would break the line that it belongs to.
    """
    lines = [f"{name}: {value}" for name, value in fields.items()]
    # A line break in a token or a name would begin another header field.
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line break in the head of a request")
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")


def encode_request(method: str, target: str, fields: bytes, body: bytes | None) -> bytes:
    """Return a request as bytes. The target is escaped already, and ``fields`` come from :func:`encode_fields`.

    Raises:
        ValueError: the target would break its line.
    """
    if "\r" in target or "\n" in target:
        raise ValueError("a line break in the head of a request")
    line = f"{method} {target} HTTP/1.1\r\n".encode("latin-1")
    if body is None:
        return b"%b%b\r\n" % (line, fields)
    return b"%b%bContent-Length: %d\r\n\r\n%b" % (line, fields, len(body), body)
