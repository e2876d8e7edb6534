"""The connections of this process to the API server, each with the moment when it was last heard of.

TCP keeps a connection for ever whose other side is gone without a word. The kernel asks after it every few seconds
(keepalive), which also keeps it in the tables of the routers in between. That does not help where a proxy in between
answers the kernel and has lost the API server: so connections can be broken here from any thread, whatever their own
thread waits for.
"""

from __future__ import annotations

import socket
import threading
import time
import weakref
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urllib3 import HTTPResponse, PoolManager

KEEPALIVE_IDLE = 5
KEEPALIVE_INTERVAL = 2
KEEPALIVE_PROBES = 3
"""Seconds of silence before the kernel asks, between its questions, and how many may stay unanswered: 11 s in all,
where the package ``kubernetes`` would take 165 s."""

IDLE_SECONDS = 10.0
"""A connection that was idle for longer is not used again. It may be dead, or lead to an API server that is behind. To
dial is quicker than to find that out."""


class RequestInterrupted(HTTPError):
    """Another thread has taken back a request that was waiting for its answer."""


class RequestFenced(HTTPError):
    """A request must not be sent any more."""


_sending = threading.local()


@contextmanager
def fenced(may_send: Callable[[], bool] | None) -> Iterator[None]:
    """Have the requests of this thread ask ``may_send()`` when their connection is open, just before they are sent.

    To dial takes milliseconds, and longer if the process is suspended meanwhile.
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
        self._open: weakref.WeakSet[_Tracked] = weakref.WeakSet()
        self._waiting: dict[int, _Tracked] = {}

    def follow(self, pool: PoolManager) -> None:
        """Have a pool make connections that are known here; to be told before its first request."""

        class Plain(_Tracked, HTTPConnection):
            connections = self

        class Secure(_Tracked, HTTPSConnection):
            connections = self

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        pool.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}

    def add(self, connection: _Tracked) -> None:
        """Take a connection that has just been made."""
        with self._lock:
            self._open.add(connection)

    def heard_since(self, moment: float) -> bool:
        """Whether a connection that was there at a moment has been heard of since: then the way is not dead."""
        with self._lock:
            present = list(self._open)
        return any(connection.made_at < moment < connection.heard_at for connection in present)

    def waits(self, connection: _Tracked) -> None:
        """Take it that this thread waits for an answer on a connection."""
        with self._lock:
            self._waiting[threading.get_ident()] = connection

    def answered(self) -> None:
        """Take it that this thread waits no longer."""
        with self._lock:
            self._waiting.pop(threading.get_ident(), None)

    def interrupt(self, thread: int) -> bool:
        """Break the connection on which a thread waits for an answer, if it does."""
        with self._lock:
            connection = self._waiting.get(thread)
            return connection is not None and connection.interrupt()

    def break_silent(self, since: float, patience: float, spared: int | None = None) -> int:
        """Break what has not been heard of since then, be it idle or a watch; return how many that were.

        A request that waits for its answer is given ``patience`` seconds from when it was sent; that of the thread
        ``spared`` is left alone.
        """
        sent_before = self.clock() - patience
        with self._lock:
            left_alone = None if spared is None else self._waiting.get(spared)
            present = [connection for connection in self._open if connection is not left_alone]
        return sum(connection.break_if_silent(since, sent_before) for connection in present)


class _Tracked(HTTPConnection):
    connections: ClassVar[Connections]

    interrupted = False
    made_at = 0.0
    sent_at = 0.0
    heard_at = 0.0
    is_spent = False

    @property
    def is_connected(self) -> bool:
        """Whether the next request may use this connection."""
        is_fresh = self.connections.clock() - self.heard_at <= IDLE_SECONDS
        return is_fresh and not self.is_spent and super().is_connected

    def connect(self) -> None:
        super().connect()
        self.is_spent = False
        _keep_alive(self.sock)
        self.heard()
        self.made_at = self.heard_at
        self.connections.add(self)

    def request(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 (as its base has it)
        may_send: Callable[[], bool] | None = getattr(_sending, "may", None)
        if may_send is not None and not may_send():
            raise RequestFenced
        self.sent_at = self.connections.clock()
        super().request(*arguments, **options)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as its base has it
        self.interrupted = False
        self.connections.waits(self)
        try:
            response = super().getresponse()
        except Exception:
            if self.interrupted:
                raise RequestInterrupted from None
            raise
        finally:
            self.connections.answered()
        self.heard()
        # A load balancer decides for each connection which API server answers on it. If that one cannot reach etcd, the
        # next request must be able to reach another one.
        self.is_spent = response.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return response

    def heard(self) -> None:
        self.heard_at = self.connections.clock()

    def break_if_silent(self, since: float, sent_before: float) -> bool:
        waits = self.sent_at > self.heard_at
        if self.sock is None or (self.sent_at >= sent_before if waits else self.heard_at >= since):
            return False
        return self._shut_down()

    def interrupt(self) -> bool:
        self.interrupted = True  # before its own thread wakes
        return self._shut_down()

    def _shut_down(self) -> bool:
        if self.sock is None:
            return False
        try:
            # Of the plain socket, not of the TLS layer: its own thread may be in the middle of using that.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        except OSError:
            return False  # its own thread was first
        return True


def heard(connection: object) -> None:
    """Note that something has come in; connections of other kinds keep no record."""
    if isinstance(connection, _Tracked):
        connection.heard()


def use_once(connection: object) -> None:
    """Have the next request dial, in place of using this connection again."""
    if isinstance(connection, _Tracked):
        connection.is_spent = True


def _keep_alive(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # macOS has another name for the first; what a system does not have, it decides itself.
    for names, value in (
        (("TCP_KEEPIDLE", "TCP_KEEPALIVE"), KEEPALIVE_IDLE),
        (("TCP_KEEPINTVL",), KEEPALIVE_INTERVAL),
        (("TCP_KEEPCNT",), KEEPALIVE_PROBES),
    ):
        option = next((getattr(socket, name) for name in names if hasattr(socket, name)), None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
