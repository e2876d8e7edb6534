"""Accept connections in an event loop so that none is lost when it stops.

``loop.sock_accept`` loses a connection that arrives while it is cancelled, and never closes it. To stop, call
``loop.remove_reader(listener)``.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine


def accept_all(loop: asyncio.AbstractEventLoop, listener: socket.socket, take: Callable[[socket.socket], None]) -> None:
    """Give each connection that the listener accepts to ``take``, in the thread of the loop."""
    listener.setblocking(False)

    def accept() -> None:
        try:
            accepted, _ = listener.accept()
        except OSError:
            return  # the peer has gone already
        accepted.setblocking(False)
        take(accepted)

    loop.add_reader(listener, accept)


def task_of(
    loop: asyncio.AbstractEventLoop, accepted: socket.socket, work: Coroutine[None, None, None]
) -> asyncio.Task[None]:
    """Start the work on a connection, which closes it; it is also closed if the work is cancelled before it begins."""
    begun = False

    async def begin() -> None:
        nonlocal begun
        begun = True
        await work

    def end(_: asyncio.Task[None]) -> None:
        if not begun:
            work.close()
            accepted.close()

    task = loop.create_task(begin())
    task.add_done_callback(end)
    return task
