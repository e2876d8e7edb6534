"""A way to the API server on which answers come late: by a steady delay, or not at all until they are let through.

What a process asks goes through at once. So a watch over it stays open and well, and tells of changes when they are
long over: a replica that lags, without a fault that anybody could notice.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.cluster.programs import LOOPBACK
from tests.integration.faults.loop import LoopThread


class _Near(asyncio.Protocol):
    """The client's end; what it says goes on at once."""

    def __init__(self, link: LateLink) -> None:
        self._link = link
        self._early: list[bytes] = []
        self.far: _Far | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._link.spawn(self)

    def joined(self, far: _Far) -> None:
        self.far = far
        for data in self._early:
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        if self.far is None or self.far.transport is None:
            self._early.append(data)
        else:
            self.far.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._link.forget(self)
        if self.far is not None and self.far.transport is not None:
            self.far.transport.close()


class _Far(asyncio.Protocol):
    """The API server's end; what it says waits until it is due."""

    def __init__(self, link: LateLink, near: _Near) -> None:
        self._link = link
        self._near = near
        self._waiting: deque[bytes] = deque()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._waiting.append(data)
        asyncio.get_running_loop().call_later(self._link.delay, self._let_through)

    def _let_through(self) -> None:
        if not self._link.held and self._waiting:
            self._pass(self._waiting.popleft())

    def let_all_through(self) -> None:
        while self._waiting:
            self._pass(self._waiting.popleft())

    def _pass(self, data: bytes) -> None:
        if self._near.transport is not None:
            self._near.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._near.transport is not None:
            self._near.transport.close()


class LateLink:
    """Listens on ``port`` of loopback while its ``with`` block lasts; its methods are thread-safe."""

    def __init__(self, to_port: int, delay: float = 0.0) -> None:
        self._to_port = to_port
        self.delay = delay
        """Seconds."""
        self.held = False
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = LoopThread("late link")
        self._loop = self._thread.loop
        self._ends: set[_Near] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def hold(self) -> None:
        """From now on nothing of what the API server says goes through."""
        self._call(lambda: setattr(self, "held", True))

    def let_go(self) -> None:
        """Let through what has been held, and what comes."""
        self._call(self._let_go)

    def _let_go(self) -> None:
        self.held = False
        for end in self._ends:
            if end.far is not None:
                end.far.let_all_through()

    def spawn(self, near: _Near) -> None:
        self._ends.add(near)
        task = self._loop.create_task(self._join(near))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget(self, near: _Near) -> None:
        self._ends.discard(near)

    async def _join(self, near: _Near) -> None:
        far = _Far(self, near)
        try:
            await self._loop.create_connection(lambda: far, LOOPBACK, self._to_port)
        except OSError:
            assert near.transport is not None
            near.transport.abort()
            return
        near.joined(far)

    def _call(self, action: Callable[[], None]) -> None:
        async def act() -> None:
            action()

        self._thread.do(act())

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._thread.do(self._loop.create_server(lambda: _Near(self), sock=self._listener))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._thread.do(self._end())
        self._thread.end()

    async def _end(self) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in tuple(self._ends):
            assert end.transport is not None
            end.transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the far ends close one turn after the near ones have been told
