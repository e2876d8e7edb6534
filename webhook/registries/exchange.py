"""Bound all connections of one exchange with a registry by one time limit.

A timeout on a socket bounds silence, but a peer that sends one byte a second is never silent for long. The system
resolves host names, within the limits of its resolver.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from urllib3 import PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from types import TracebackType

logging.getLogger("urllib3.connection").setLevel(logging.ERROR)
"""urllib3 would log an unreadable head as a warning, with a traceback and with text from the peer."""

_RESET = struct.pack("ii", 1, 0)
"""Do not linger: closing drops the connection even if the peer goes on sending."""


class Exchange:
    """A context for requests. After ``seconds`` every connection is cut and new ones fail."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._handles: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The timer is joined, so that no thread is left, and the loop needs no lock.
        self._timer.cancel()
        self._timer.join()
        for handle in self._handles:
            handle.close()

    @property
    def seconds_left(self) -> float:
        """Return the seconds until the deadline; zero or less when it has passed."""
        return self._deadline - time.monotonic()

    def pool(self, url: str, context: ssl.SSLContext) -> PoolManager:
        """Return a pool for requests. It uses the proxy from the environment, if there is one for that host."""
        proxies: Mapping[str, str] = getproxies()
        proxy = proxies.get("https") or proxies.get("all")
        if not proxy or proxy_bypass(urlsplit(url).netloc):
            pool = PoolManager(ssl_context=context)
        else:
            pool = ProxyManager(proxy, ssl_context=context)
        # urllib3 offers no hook for the socket of a connection, only for its class.
        pool.pool_classes_by_scheme = self._pool_classes()
        return pool

    def connect(self, connection: HTTPConnection, host: str, port: int) -> socket.socket:
        """Return a socket connected to one of the host's addresses; it is cut at the deadline."""
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        # A label of a host name that is too long for IDNA raises UnicodeError.
        except (OSError, UnicodeError) as error:
            cause = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
            raise NameResolutionError(host, connection, cause) from None
        for position, (family, kind, protocol, _, address) in enumerate(addresses):
            # An address that drops packets must leave time for the others of the host.
            share = self.seconds_left / (len(addresses) - position)
            if share <= 0:
                break
            sock = socket.socket(family, kind, protocol)
            sock.settimeout(share)
            try:
                sock.connect(address)
            except OSError:
                sock.close()
                continue
            # A timeout of 0 would make the socket non-blocking.
            sock.settimeout(max(self.seconds_left, 0.001))
            self._watch(sock)
            return sock
        if self.seconds_left <= 0:
            raise ConnectTimeoutError(connection, "the time for the exchange is over")
        raise NewConnectionError(connection, "no address of it accepts a connection")

    def _pool_classes(self) -> dict[str, type[HTTPConnectionPool]]:
        exchange = self

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return exchange.connect(self, self._dns_host, self.port)

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return exchange.connect(self, self._dns_host, self.port)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        return {"http": PlainPool, "https": SecurePool}

    def _watch(self, sock: socket.socket) -> None:
        # TLS moves the socket into another object, but a duplicated handle still reaches the connection.
        with self._lock:
            self._handles.append(sock.dup())
            # The timer may have fired before this handle was in the list.
            over = self.seconds_left <= 0
        if over:
            self._cut()

    def _cut(self) -> None:
        with self._lock:
            for handle in self._handles:
                with contextlib.suppress(OSError):  # the peer has already closed it
                    handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    handle.shutdown(socket.SHUT_RDWR)
