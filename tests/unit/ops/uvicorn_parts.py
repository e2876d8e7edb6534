"""The parts of uvicorn that the listeners rely on, for the table in docs/uvicorn.md and for test_uvicorn.py."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Method:
    """A method of ``uvicorn.Server``: its parameters, a digest of its source, our use of it, and what must hold."""

    name: str
    parameters: str
    digest: str
    use: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute, by its path from ``uvicorn.Server``, with its value in a new server."""

    path: str
    value: object
    use: str
    meaning: str


METHODS = (
    Method("serve", "sockets=None", "112ef41af521", "called", "enters `capture_signals`, then awaits `_serve`"),
    Method(
        "run", "sockets=None", "239e0133d430", "called", "does the same in this thread, on an event loop of its own"
    ),
    Method(
        "_serve",
        "sockets=None",
        "4575b7a50adf",
        "relied on",
        "loads the configuration, then awaits `startup`, `main_loop` and `shutdown`",
    ),
    Method("main_loop", "", "afccb353a119", "relied on", "awaits `on_tick` every 0.1 s until it returns true"),
    Method("startup", "sockets=None", "2aa1d70a244b", "replaced", "sets `servers` and `started`"),
    Method("on_tick", "counter", "60ea49b06ccf", "extended", "returns true once `should_exit` is set"),
    Method(
        "shutdown",
        "sockets=None",
        "9b33c5056299",
        "extended",
        "closes `servers` and the sockets, calls `shutdown()` of each connection, and waits up to the graceful "
        "timeout; then it cancels the tasks",
    ),
    Method(
        "_wait_tasks_to_complete",
        "",
        "17209be1e991",
        "relied on",
        "waits until connections and tasks are gone, then for `wait_closed()` of each server; `force_exit` ends "
        "the wait",
    ),
    Method("capture_signals", "", "e1bbcd4770d1", "replaced", "handles signals; ours leaves them to the process"),
)

ATTRIBUTES = (
    Attribute("started", False, "set", "without it, `shutdown` is not awaited"),
    Attribute("should_exit", False, "set", "ends the main loop"),
    Attribute("force_exit", False, "set", "ends the wait for connections and tasks"),
    Attribute("server_state.connections", set(), "replaced", "is our set of connections"),
    Attribute("server_state.tasks", set(), "replaced", "is our set of tasks"),
)

SET_BY_STARTUP = "servers"
"""Our acceptors, with ``close()`` and ``wait_closed()``; a new server does not have it."""
