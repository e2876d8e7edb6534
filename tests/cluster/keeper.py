"""A process that owns other processes: it outlives its owner just long enough to leave nothing behind.

It reads commands as JSON lines on standard input and answers each with one JSON line. When its owner closes the pipe,
or dies in whatever way, SIGKILL included, it kills its programs and removes the directory named on its command line.

It imports the standard library only, and runs as a script, so that it is up within milliseconds::

    {"do": "start", "name": "etcd", "argv": [...], "env": {...}, "log": "/…/etcd.log"}   -> {"pid": 17}
    {"do": "signal", "name": "etcd", "signal": 15}                                       -> {"sent": true}
    {"do": "poll", "name": "etcd"}                                                       -> {"pid": 17, "code": null}
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

OWNER_CHECK_SECONDS = 1.0
"""How often to look whether the owner still lives: a process that the owner forked may hold the pipe open after it."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Programs:
    """The programs of one keeper, by name; a name whose program has ended may be started again."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, argv: list[str], env: dict[str, str], log: str) -> dict[str, Any]:
        if name in self._running and self._running[name].poll() is None:
            return {"error": f"{name} is running already"}
        with open(log, "ab") as output:  # noqa: PTH123 (pathlib would double the time to start)
            try:
                process = subprocess.Popen(
                    argv,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_die_with_parent(),  # noqa: PLW1509 (there are no threads here)
                )
            except OSError as error:
                return {"error": f"{argv[0]} does not start: {error.strerror}"}
        self._running[name] = process
        return {"pid": process.pid}

    def signal(self, name: str, signal: int) -> dict[str, Any]:
        process = self._running[name]
        if process.poll() is not None:
            return {"sent": False}
        _signal_group(process, signal)
        return {"sent": True}

    def poll(self, name: str) -> dict[str, Any]:
        process = self._running[name]
        return {"pid": process.pid, "code": process.poll()}

    def kill(self) -> None:
        for process in self._running.values():
            _signal_group(process, signal.SIGKILL)
        for process in self._running.values():
            process.wait()

    def obey(self, line: bytes) -> dict[str, Any]:
        command = json.loads(line)
        actions: dict[str, Callable[..., dict[str, Any]]]
        actions = {"start": self.start, "signal": self.signal, "poll": self.poll}
        try:
            return actions[command.pop("do")](**command)
        except KeyError as error:
            return {"error": f"no program {error} was started"}


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    # The group, not the process: what a program has started itself must go with it.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _die_with_parent() -> Callable[[], None] | None:
    """Return what makes a child of this process die when this process is killed; Linux only."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _commands(owner: int) -> Iterator[bytes]:
    """Yield the lines of standard input until the owner closes it or is gone."""
    buffer = b""
    while True:
        readable, _, _ = select.select([0], [], [], OWNER_CHECK_SECONDS)
        if not readable:
            if os.getppid() != owner:
                return
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            return
        *lines, buffer = (buffer + chunk).split(b"\n")
        yield from lines


def main(directory: str) -> None:
    """Serve commands until the owner is gone, then leave nothing behind."""
    owner = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the owner decides
    signal.signal(signal.SIGTERM, _leave)
    programs = Programs()
    try:
        for line in _commands(owner):
            os.write(1, json.dumps(programs.obey(line)).encode() + b"\n")
    except (BrokenPipeError, KeyboardInterrupt):
        return
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        programs.kill()
        shutil.rmtree(directory, ignore_errors=True)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(sys.argv[1])
