"""Track the connections of this process to the API server, and the time at which each last received data.

TCP keeps a connection forever if its peer disappears silently. The kernel probes the peer every few seconds
(keepalive), which also keeps the connection in the tables of the routers in between. That does not help if a proxy
answers the kernel but has lost the API server. So any thread can break a connection here, even while another thread
waits on it.

Short responses are read as a whole, with a parser in C. urllib3 reads a response through the standard library's parser
of emails. For the short responses to our writes that takes a third of the CPU time of a write. The pool, TLS, timeouts
and errors stay those of urllib3.

Sources: RFC 9112, sections 6.3 (the length of a message) and 9.6 (the end of a connection).
"""

from __future__ import annotations

import socket
import threading
import time
import weakref
from contextlib import contextmanager
from http import HTTPStatus
from http.client import BadStatusLine, HTTPException, IncompleteRead, RemoteDisconnected
from typing import TYPE_CHECKING, Any, ClassVar

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from urllib3 import HTTPResponse, PoolManager

KEEPALIVE_IDLE = 5
KEEPALIVE_INTERVAL = 2
KEEPALIVE_PROBES = 3
"""Seconds of silence before the first probe of the kernel, seconds between probes, and number of unanswered probes: 11
s in total. The package ``kubernetes`` would take 165 s."""

IDLE_SECONDS = 10.0
"""A connection that was idle for longer is not reused. It may be dead, or lead to an API server that is behind. A new
connection is quicker than to find that out."""


class RequestInterrupted(HTTPError):
    """Another thread has interrupted a request that was waiting for its response."""


class RequestFenced(HTTPError):
    """A request must not be sent any more."""


_sending = threading.local()


@contextmanager
def fenced(may_send: Callable[[], bool] | None) -> Iterator[None]:
    """Make the requests of this thread call ``may_send()`` when their connection is open, just before they are sent.

    To connect takes milliseconds, and longer if the process is suspended in the meantime.
    """
    _sending.may = may_send
    try:
        yield
    finally:
        _sending.may = None


class Connections:
    """Every open connection of the pools that it follows; safe for any number of threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[_TrackedConnection] = weakref.WeakSet()
        self._waiting: dict[int, _TrackedConnection] = {}

    def follow(self, pool: PoolManager) -> None:
        """Make a pool create connections that are tracked here. Call this before the first request of the pool."""

        class Plain(_TrackedConnection, HTTPConnection):
            connections = self

        class Secure(_TrackedConnection, HTTPSConnection):
            connections = self

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        pool.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}

    def add(self, connection: _TrackedConnection) -> None:
        """Add a new connection."""
        with self._lock:
            self._open.add(connection)

    def received_since(self, moment: float) -> bool:
        """Return True if a connection that existed at a moment has received data since; then the route is not dead."""
        with self._lock:
            present = list(self._open)
        return any(connection.made_at < moment < connection.received_at for connection in present)

    def start_waiting(self, connection: _TrackedConnection) -> None:
        """Note that this thread waits for a response on a connection."""
        with self._lock:
            self._waiting[threading.get_ident()] = connection

    def stop_waiting(self) -> None:
        """Note that this thread does not wait any more."""
        with self._lock:
            self._waiting.pop(threading.get_ident(), None)

    def interrupt(self, thread: int) -> bool:
        """Break the connection on which a thread waits for a response; return whether there was one."""
        with self._lock:
            connection = self._waiting.get(thread)
            return connection is not None and connection.interrupt()

    def break_silent(self, since: float, response_seconds: float, except_thread: int | None = None) -> int:
        """Break the connections that have received nothing after ``since``, idle ones and watches; return their number.

        A request that waits for its response has ``response_seconds`` seconds from when it was sent. That of the thread
        ``except_thread`` is left alone.
        """
        sent_before = self.clock() - response_seconds
        with self._lock:
            exempt = None if except_thread is None else self._waiting.get(except_thread)
            present = [connection for connection in self._open if connection is not exempt]
        return sum(connection.break_if_silent(since, sent_before) for connection in present)


class _TrackedConnection(HTTPConnection):
    connections: ClassVar[Connections]

    interrupted = False
    made_at = 0.0
    sent_at = 0.0
    received_at = 0.0
    no_reuse = False
    reads_whole = False

    @property
    def is_connected(self) -> bool:
        """True if the next request may use this connection."""
        is_fresh = self.connections.clock() - self.received_at <= IDLE_SECONDS
        return is_fresh and not self.no_reuse and super().is_connected

    def connect(self) -> None:
        super().connect()
        self.no_reuse = False
        _keep_alive(self.sock)
        self.note_received()
        self.made_at = self.received_at
        self.connections.add(self)

    def request(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 (as its base has it)
        if self.sock is None:
            self.connect()
        may_send: Callable[[], bool] | None = getattr(_sending, "may", None)
        if may_send is not None and not may_send():
            raise RequestFenced
        self.sent_at = self.connections.clock()
        # A watch is read while it arrives, and a proxy has headers of its own: both are left to urllib3.
        self.reads_whole = bool(options.get("preload_content")) and self.proxy is None
        if self.reads_whole:
            self.sock.settimeout(self.timeout)
            method, target = arguments
            self.sock.sendall(encode_request(method, target, self.host_header, options["headers"], options["body"]))
        else:
            super().request(*arguments, **options)

    @property
    def host_header(self) -> str:
        """The host, and the port if it is not that of the scheme."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == self.default_port else f"{host}:{self.port}"

    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as its base has it
        self.interrupted = False
        self.connections.start_waiting(self)
        try:
            response: Any = self._receive() if self.reads_whole else super().getresponse()
        except Exception:
            if self.interrupted:
                raise RequestInterrupted from None
            raise
        finally:
            self.connections.stop_waiting()
        self.note_received()
        # A load balancer chooses an API server for each connection. If that one cannot reach etcd, the next request
        # must be able to reach another one.
        self.no_reuse = response.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return response  # type: ignore[no-any-return] # in both cases what urlopen and the client read

    def _receive(self) -> Response:
        response = Response()
        self.sock.settimeout(self.timeout)
        response.receive(self.sock)
        if not response.is_reusable:
            self.close()
        return response

    def note_received(self) -> None:
        self.received_at = self.connections.clock()

    def break_if_silent(self, since: float, sent_before: float) -> bool:
        waits = self.sent_at > self.received_at
        if self.sock is None or (self.sent_at >= sent_before if waits else self.received_at >= since):
            return False
        return self._shut_down()

    def interrupt(self) -> bool:
        self.interrupted = True  # before its own thread wakes
        return self._shut_down()

    def _shut_down(self) -> bool:
        if self.sock is None:
            return False
        try:
            # On the plain socket, not on the TLS layer: its own thread may be using that now.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        except OSError:
            return False  # its own thread was first
        return True


def note_received(connection: object) -> None:
    """Note that data has arrived; connections of other kinds keep no record."""
    if isinstance(connection, _TrackedConnection):
        connection.note_received()


def use_once(connection: object) -> None:
    """Make the next request open a new connection instead of reusing this one."""
    if isinstance(connection, _TrackedConnection):
        connection.no_reuse = True


def _keep_alive(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # macOS has another name for the first. If a system lacks an option, its own default applies.
    for names, value in (
        (("TCP_KEEPIDLE", "TCP_KEEPALIVE"), KEEPALIVE_IDLE),
        (("TCP_KEEPINTVL",), KEEPALIVE_INTERVAL),
        (("TCP_KEEPCNT",), KEEPALIVE_PROBES),
    ):
        option = next((getattr(socket, name) for name in names if hasattr(socket, name)), None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


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
