"""Keep threads alive: report a dead thread in ``/livez`` and restart it.

Loops catch the expected errors of each step. An error outside of that is a defect. It would leave a process that looks
healthy but does less and less.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog

from webhook.rules.timing import delay

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger(__name__)

RESTART_BASE = 1.0
RESTART_CAP = 60.0
"""Bounds of the delay in seconds before a dead thread is restarted."""

REPORT_SECONDS = 15.0
"""Seconds for which a death is reported. This is longer than the kubelet's probe interval and shorter than three
probes. So one death is seen, and the container is restarted only if a thread dies repeatedly.
"""


class Threads:
    """Threads that run until ``stopping`` is set; safe to use from any thread."""

    def __init__(self, stopping: threading.Event, clock: Callable[[], float] = time.monotonic) -> None:
        self._stopping = stopping
        self._clock = clock
        self._threads: list[threading.Thread] = []
        self._dead: set[str] = set()
        self._died: dict[str, tuple[float, str]] = {}

    def start(self, target: Callable[[], None], name: str) -> None:
        """Run ``target`` in a thread with this name, and restart it if it ends before the process stops."""
        # A daemon, because a thread that hangs must not keep the process from ending.
        thread = threading.Thread(target=lambda: self._run(target, name), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self, timeout: float) -> None:
        """Wait for each thread to end, after the process has stopped."""
        for thread in self._threads:
            thread.join(timeout)

    def problem(self) -> str | None:
        """Return the threads that died recently, with their causes; None without deaths."""
        now = self._clock()
        dead = [
            f"{name} ({cause})"
            # A copy, because a thread that dies meanwhile adds its name.
            for name, (at, cause) in sorted(self._died.copy().items())
            if name in self._dead or now - at < REPORT_SECONDS
        ]
        return f"died: {', '.join(dead)}" if dead else None

    def _run(self, target: Callable[[], None], name: str) -> None:
        deaths = 0
        while not self._stopping.is_set():
            try:
                target()
                cause = "ended by itself"
            # Also SystemExit: threading ends a thread on it without any report.
            except BaseException as error:
                cause = type(error).__name__
                log.exception("thread died", thread=name)
            # A target that returns because the process stops is not dead.
            if self._stopping.is_set():
                return
            deaths += 1
            seconds = delay(deaths, 0.0, base=RESTART_BASE, cap=RESTART_CAP)
            self._died[name] = (self._clock(), cause)
            self._dead.add(name)
            log.warning("thread is started again", thread=name, cause=cause, restart_in=seconds)
            self._stopping.wait(seconds)
            self._dead.discard(name)
