"""Track the connections of this process to the API server, and the time at which each last received data.

TCP keeps a connection forever if its peer disappears silently. The kernel probes the peer every few seconds
(keepalive), which also keeps the connection in the tables of the routers in between. That does not help if a proxy
answers the kernel but has lost the API server. So any thread can break a connection here, even while another thread
waits on it.

A request whose response is read as a whole goes through :meth:`Pool.exchange`, and a watch through urllib3, both over
the same connections. Addresses, proxies and TLS are those of urllib3 in both cases.
"""

from __future__ import annotations

import socket
import threading
import time
import weakref
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.client import HTTPException
from queue import Empty, Full
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from urllib3.connection import HTTPConnection, HTTPSConnection, port_by_scheme
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError
from urllib3.util.ssl_match_hostname import CertificateError

from webhook.kube.response import Response, encode_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from urllib3 import HTTPResponse, PoolManager

R = TypeVar("R", "HTTPResponse", Response)

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

    # Not an OSError or an HTTPException: urllib3 wraps these as an aborted connection, which hides the cause.


class RequestFenced(HTTPError):
    """A request must not be sent any more."""


class Connections:
    """Every open connection of the pools that it follows; safe for any number of threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        # Weak, because urllib3 discards connections by itself.
        self._open: weakref.WeakSet[_TrackedConnection] = weakref.WeakSet()
        # By thread, because the queue has the thread of a worker that hangs, but not its connection.
        self._waiting: dict[int, _TrackedConnection] = {}

    def follow(self, pool: PoolManager) -> None:
        """Make a pool create connections that are tracked here. Call this before the first request of the pool."""

        # Made here, because urllib3 creates connections by class, without an argument that could name their tracker.
        class Plain(_TrackedConnection, HTTPConnection):
            connections = self

        class Secure(_TrackedConnection, HTTPSConnection):
            connections = self

        class PlainPool(Pool):
            ConnectionCls = Plain

        class SecurePool(Pool, HTTPSConnectionPool):
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
            # Under the lock: the thread cannot leave its request until it is broken, so its next one is safe.
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


class _Idle:
    """The idle connections of a pool, the one that was used last first.

    It is the part of a queue that urllib3 uses, without its locks: each operation on a list is atomic.
    """

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._connections: list[object] = []

    def get(self, **_options: object) -> object:
        """Return a connection; Empty if there is none."""
        try:
            return self._connections.pop()
        except IndexError:
            raise Empty from None

    def put(self, connection: object, **_options: object) -> None:
        """Keep a connection, or raise Full. urllib3 also puts None, for a connection that can be opened."""
        # Two threads may pass this check together. One connection too many does no harm.
        if len(self._connections) >= self._maxsize:
            raise Full
        if connection is not None:
            self._connections.append(connection)

    def qsize(self) -> int:
        """Return the number of idle connections, which urllib3 logs when there is no room for another one."""
        return len(self._connections)


class Pool(HTTPConnectionPool):
    """The connections to one host, as urllib3 has them, and a short way for requests that are read as a whole."""

    QueueCls = _Idle  # type: ignore[assignment] # the part of a queue that is used

    @property
    def host_header(self) -> str:
        """The host, and the port if it is not that of the scheme."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port in (None, port_by_scheme[self.scheme]) else f"{host}:{self.port}"

    def exchange(
        self,
        method: str,
        target: str,
        fields: bytes,
        body: bytes | None,
        *,
        connect_timeout: float,
        timeout: float,
        may_send: Callable[[], bool] | None = None,
    ) -> Response:
        """Send one request, once, and return its response; ``fields`` are its header fields as they are sent.

        ``connect_timeout`` bounds the seconds until there is a connection, and ``timeout`` the silence in the request.
        ``may_send()`` is called when the connection is open, right before the request is sent: to connect takes
        milliseconds, and longer if the process is suspended in the meantime.

        Raises:
            HTTPError: there is no response, or a part of it; includes RequestInterrupted and RequestFenced.
            OSError: the connection broke.
        """
        # Before a connection is taken, because a request that cannot be encoded would lose it.
        request = encode_request(method, target, fields, body)
        connection = cast("_TrackedConnection", self._get_conn())
        try:
            # It is closed if it is new, or if urllib3 has found it dropped (is_connected).
            if connection.is_closed:
                connection.timeout = connect_timeout
                self._connect(connection)
            response = connection.exchange(request, timeout, may_send)
        except TimeoutError:
            connection.close()
            raise ReadTimeoutError(self, target, "no answer") from None
        except (HTTPException, CertificateError) as error:
            connection.close()
            raise ProtocolError(type(error).__name__) from None
        # The rest of a response may still arrive, and would be read as that of the next request.
        except BaseException:
            connection.close()
            raise
        self._put_conn(connection)
        return response

    def _connect(self, connection: HTTPConnection) -> None:
        if self.proxy is not None and self.scheme == "https":
            self._prepare_proxy(connection)
        else:
            connection.connect()


class _TrackedConnection(HTTPConnection):
    connections: ClassVar[Connections]

    interrupted = False
    made_at = 0.0
    sent_at = 0.0
    received_at = 0.0
    no_reuse = False

    @property
    def is_connected(self) -> bool:
        """True if the next request may use this connection: it is open, fresh, and nothing has arrived on it."""
        if self.sock is None or self.no_reuse or self.connections.clock() - self.received_at > IDLE_SECONDS:
            return False
        return super().is_connected

    def connect(self) -> None:
        super().connect()
        self.no_reuse = False
        _keep_alive(self.sock)
        self.note_received()
        # The handshake was data from the peer, so a new connection does not count as silent.
        self.made_at = self.received_at
        self.connections.add(self)

    def request(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 (as its base has it)
        self.sent_at = self.connections.clock()
        super().request(*arguments, **options)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as its base has it
        return self._await(super().getresponse)

    def exchange(self, request: bytes, timeout: float, may_send: Callable[[], bool] | None) -> Response:
        """Send a request, and return its response; after ``timeout`` seconds of silence, raise TimeoutError."""
        # The last step before the bytes leave: the process may have been suspended since it checked its Lease.
        if may_send is not None and not may_send():
            raise RequestFenced
        sock = self.sock
        self.sent_at = self.connections.clock()
        if sock.gettimeout() != timeout:
            sock.settimeout(timeout)  # a system call
        # A server may answer before it closes a connection that it has not read to the end.
        with suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(request)
        response = self._await(partial(Response().receive, sock))
        if not response.is_reusable:
            self.close()
        return response

    def _await(self, receive: Callable[[], R]) -> R:
        """Return the response that ``receive()`` reads; RequestInterrupted if another thread breaks the connection."""
        # In this order: from then on another thread may interrupt, and that must not be overwritten.
        self.interrupted = False
        self.connections.start_waiting(self)
        try:
            response = receive()
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
        return response

    def note_received(self) -> None:
        self.received_at = self.connections.clock()

    def break_if_silent(self, since: float, sent_before: float) -> bool:
        # Without a lock: if both times change meanwhile, a healthy request may be broken, and its caller repeats it.
        waits = self.sent_at > self.received_at
        if self.sock is None or (self.sent_at >= sent_before if waits else self.received_at >= since):
            return False
        return self._shut_down()

    def interrupt(self) -> bool:
        self.interrupted = True  # before its own thread wakes
        return self._shut_down()

    def _shut_down(self) -> bool:
        # Read once: the thread of the connection may close it at any moment, and then the attribute is None.
        sock = self.sock
        if sock is None:
            return False
        try:
            # On the plain socket, not on the TLS layer: its own thread may be using that now.
            socket.socket.shutdown(_plain(sock), socket.SHUT_RDWR)
        except OSError:
            return False  # its own thread was first
        return True


def pool_of(manager: PoolManager, url: str, options: dict[str, Any] | None = None) -> Pool:
    """Return the pool for a host of a manager that :meth:`Connections.follow` has prepared."""
    return cast("Pool", manager.connection_from_url(url, pool_kwargs=options))


def note_received(connection: object) -> None:
    """Note that data has arrived; connections of other kinds keep no record."""
    if isinstance(connection, _TrackedConnection):
        connection.note_received()


def use_once(connection: object) -> None:
    """Make the next request open a new connection instead of reusing this one."""
    if isinstance(connection, _TrackedConnection):
        connection.no_reuse = True


def _plain(sock: socket.socket) -> socket.socket:
    # Behind a proxy with https, urllib3 has TLS within TLS: an SSLTransport, which lacks the methods for options.
    inner: socket.socket = getattr(sock, "socket", sock)
    return inner


def _keep_alive(sock: socket.socket) -> None:
    sock = _plain(sock)
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
