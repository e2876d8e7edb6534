"""Read one HTTP/1.1 response as a whole, with a parser in C.

urllib3 reads a response through the standard library's parser of emails. For the short responses to our writes that
takes a third of the CPU time of a write. The pool, TLS, timeouts and errors stay those of urllib3: see
:mod:`webhook.kube.connections`.

Sources: RFC 9112, sections 6.3 (the length of a message) and 9.6 (the end of a connection).
"""

from __future__ import annotations

from http.client import BadStatusLine, HTTPException, IncompleteRead, RemoteDisconnected
from typing import TYPE_CHECKING

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

RECEIVE_BYTES = 65_536
HEADERS_LIMIT = 100
"""Headers in one response, as in ``http.client``."""


class Headers(dict[str, str]):
    """The headers of one response; names in any case are equal, and a repeated one has its values joined."""

    def add(self, name: str, value: str) -> None:
        """Add one header.

        Raises:
            HTTPException: there are too many.
        """
        if len(self) >= HEADERS_LIMIT:
            raise HTTPException(f"more than {HEADERS_LIMIT} headers")
        name = name.lower()
        self[name] = f"{self[name]}, {value}" if name in self else value

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override] # names are text here
        """Return the value of a header."""
        return super().get(name.lower(), default)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())


class Response:
    """One response: the attributes that :meth:`urllib3.HTTPConnectionPool.urlopen` and the client read.

    The other methods are called by the parser.
    """

    version_string = "HTTP/1.1"
    length_remaining = 0

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
        self._has_more = self.is_complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header or trailer."""
        if not self.is_complete:
            self.headers.add(name.decode("latin-1"), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        """Take the status."""
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
            self.status = 0
            self.headers.clear()

    def receive(self, sock: socket.socket) -> None:
        """Read this response from a connection.

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
        except HttpParserUpgrade:
            raise BadStatusLine("another protocol than HTTP") from None
        finally:
            self._parser = None  # it refers to this object, too
        self.is_reusable = self.is_reusable and not self._has_more
        self.data = b"".join(self._parts)
        self._parts.clear()

    def _end_with_connection(self) -> None:
        """Take the end of the connection as the end of a body without a length."""
        if not self.status:
            raise RemoteDisconnected("the server closed the connection without a response")
        if "content-length" in self.headers or "transfer-encoding" in self.headers:
            raise IncompleteRead(b"")
        self.is_complete = True


def _cause(error: HttpParserError) -> HTTPException | None:
    """Return the exception that one of the methods of a response has raised within the parser."""
    return error.__context__ if isinstance(error.__context__, HTTPException) else None


def encode_request(method: str, target: str, host: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """Return a request as bytes. The target is escaped already, and the values of headers are checked.

    Raises:
        ValueError: a text would break the line that it belongs to.
    """
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Accept-Encoding: identity"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
        raise ValueError("a line break in the head of a request")
    return f"{head}\r\n\r\n".encode("latin-1") + (body or b"")
