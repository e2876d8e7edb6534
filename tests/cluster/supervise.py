"""The owner's side of a keeper: programs that are started, signalled, stopped, and that never outlive this process."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster import keeper
from tests.cluster.errors import ClusterFailed

POLL_SECONDS = 0.02
LONGEST_POLL_SECONDS = 0.1
LOG_TAIL_LINES = 15
STOP_SECONDS = 45.0
"""How long a program may take to end after SIGTERM before it is killed."""


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask again and again until the condition holds; return whether it did within that many seconds."""
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        if waited > seconds:
            return False
        time.sleep(min(max(POLL_SECONDS, waited / 10), LONGEST_POLL_SECONDS))
    return True


def last_lines(path: Path, count: int = LOG_TAIL_LINES) -> str:
    """Return the end of a log, indented, for an error message."""
    lines = path.read_text(errors="replace").splitlines()[-count:] if path.exists() else []
    return "".join(f"\n  {line[:400]}" for line in lines) or "\n  (the log is empty)"


class Keeper:
    """A keeper process and the directory that it removes when it ends; thread-safe."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pull-secret-webhook-"))
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            # -S and -E: no site-packages, no PYTHON* variables; it needs neither and is up sooner.
            [sys.executable, "-S", "-E", keeper.__file__, str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._commands, self._answers = self._process.stdin, self._process.stdout

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self, name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Program:
        """Start a program whose output is appended to ``<name>.log`` in the keeper's directory."""
        log = self.directory / f"{name}.log"
        env = dict(os.environ if environment is None else environment)
        self._ask({"do": "start", "name": name, "argv": list(argv), "env": env, "log": str(log)})
        return Program(name, log, self)

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a program and to what it has started; one that has ended already gets none."""
        self._ask({"do": "signal", "name": name, "signal": number})

    def state(self, name: str) -> tuple[int, int | None]:
        """Return a program's process id and its exit code, None while it runs; a killed one has minus the signal."""
        answer = self._ask({"do": "poll", "name": name})
        return answer["pid"], answer["code"]

    def close(self) -> None:
        """Kill every program and remove the directory; harmless when done twice."""
        with self._lock:
            with contextlib.suppress(BrokenPipeError):  # it was killed
                self._commands.close()
            self._answers.close()
            self._process.wait()
        # The keeper has done this already, unless it was killed.
        shutil.rmtree(self.directory, ignore_errors=True)

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            if self._commands.closed:
                raise ClusterFailed(f"cannot {command['do']} {command['name']}: the keeper has been closed")
            try:
                self._commands.write(json.dumps(command).encode() + b"\n")
                self._commands.flush()
                line = self._answers.readline()
            except BrokenPipeError:
                line = b""
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the keeper has ended unexpectedly"}
        if "error" in answer:
            raise ClusterFailed(answer["error"])
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Program:
    """One program of a keeper."""

    name: str
    log: Path
    keeper: Keeper

    @property
    def pid(self) -> int:
        return self.keeper.state(self.name)[0]

    @property
    def exit_code(self) -> int | None:
        """The exit code, None while the program runs."""
        return self.keeper.state(self.name)[1]

    @property
    def output(self) -> str:
        """Everything that the program has written so far, standard error included."""
        return self.log.read_text(errors="replace")

    def signal(self, number: int) -> None:
        self.keeper.signal(self.name, number)

    def kill(self) -> int:
        """End the program by SIGKILL and return its exit code."""
        self.signal(signal.SIGKILL)
        return self.wait()

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """End the program by SIGTERM, after that many seconds by SIGKILL, and return its exit code."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        if not wait_until(lambda: self.exit_code is not None, seconds):
            return self.kill()
        return self.wait()

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Return the exit code once the program has ended of itself."""
        if not wait_until(lambda: self.exit_code is not None, seconds):
            raise ClusterFailed(f"{self.name} still runs after {seconds:g} s:{last_lines(self.log)}")
        code = self.exit_code
        assert code is not None
        return code

    def wait_ready(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until ``ready`` says so; a program that ends, or is not ready in time, fails with the end of its log."""
        if not wait_until(lambda: self.exit_code is not None or ready(), seconds):
            raise ClusterFailed(f"{self.name} is not ready after {seconds:g} s:{last_lines(self.log)}")
        if self.exit_code is not None:
            raise ClusterFailed(f"{self.name} ended with code {self.exit_code}:{last_lines(self.log)}")
