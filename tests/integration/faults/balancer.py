"""A TCP balancer that behaves as a Service's does: it learns of endpoints late, and breaks no connection.

Each new connection goes to the next endpoint in turn, and is closed where nobody listens there: like kube-proxy, it
tries no other. What is established stays, whatever becomes of the endpoint list.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.cluster.programs import LOOPBACK
from tests.integration.faults.accepting import accept_all, task_of
from tests.integration.faults.loop import LoopThread

_BACKLOG = 1024


class _End(asyncio.Protocol):
    """One of the two ends of a connection; what it receives goes to the other one."""

    def __init__(self, open_ends: set[_End]) -> None:
        self._open_ends = open_ends
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._open_ends.add(self)

    def data_received(self, data: bytes) -> None:
        assert self.other is not None
        assert self.other.transport is not None
        self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_ends.discard(self)
        if self.other is None or self.other.transport is None:
            return
        if exc is None:
            self.other.transport.close()
        else:
            self.other.transport.abort()


class Balancer:
    """Accepts connections on a port of loopback while its ``with`` block lasts; its methods are thread-safe."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server((LOOPBACK, port), backlog=_BACKLOG)
        self._thread = LoopThread("balancer")
        self._loop = self._thread.loop
        self._endpoints: tuple[int, ...] = ()
        self._turns = itertools.count()
        self._told = itertools.count(1)
        self._known = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._open_ends: set[_End] = set()
        self.accepted = 0
        """Connections, whatever became of them."""
        self.refused = 0
        """Connections that went to a port where nobody listened."""

    def tell(self, endpoints: Sequence[int], after: float = 0.0) -> None:
        """Let the balancer learn, so many seconds from now, that these ports are the endpoints."""
        news = next(self._told)
        learned = tuple(endpoints)
        self._thread.soon(lambda: self._loop.call_later(after, self._learn, news, learned))

    def _learn(self, news: int, endpoints: tuple[int, ...]) -> None:
        if news > self._known:  # late news may arrive out of order: the newest ones stand
            self._known, self._endpoints = news, endpoints

    def _accept(self, accepted: socket.socket) -> None:
        self.accepted += 1
        task = task_of(self._loop, accepted, self._join(accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, accepted: socket.socket) -> None:
        near, far = _End(self._open_ends), _End(self._open_ends)
        near.other, far.other = far, near
        try:
            port = self._endpoints[next(self._turns) % len(self._endpoints)]
            await self._loop.create_connection(lambda: far, LOOPBACK, port)
        except (OSError, ZeroDivisionError):
            self.refused += 1
            accepted.close()
            return
        except asyncio.CancelledError:
            accepted.close()
            raise
        await self._loop.connect_accepted_socket(lambda: near, accepted)
        if far.transport is None or far.transport.is_closing():
            assert near.transport is not None
            near.transport.close()

    async def _end(self) -> None:
        self._loop.remove_reader(self._listener)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for end in tuple(self._open_ends):
            assert end.transport is not None
            end.transport.abort()
        await asyncio.sleep(0)  # each of them is told of its end before this returns

    def __enter__(self) -> Self:
        self._thread.start()
        self._thread.soon(accept_all, self._loop, self._listener, self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._thread.do(self._end())
        self._thread.end()
        self._listener.close()
