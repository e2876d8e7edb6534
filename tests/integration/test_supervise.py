"""Keepers and their programs, with small programs of the system."""

from __future__ import annotations

import signal
import sys

import pytest

from tests.cluster.errors import ClusterFailed
from tests.cluster.supervise import Keeper, wait_until

SECONDS = 60.0
"""For what takes a moment on a machine that has nothing else to do."""


def test_a_program_writes_its_log_and_leaves_its_exit_code() -> None:
    with Keeper() as keeper:
        program = keeper.start("talker", ["sh", "-c", "echo out; echo err >&2; exit 3"])
        assert program.wait() == 3
        assert program.output == "out\nerr\n"


def test_stop_is_a_request_and_kill_is_none() -> None:
    polite = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done"
    with Keeper() as keeper:
        program = keeper.start("polite", ["sh", "-c", polite])
        program.wait_ready(lambda: "ready" in program.output, SECONDS)
        assert program.stop() == 0
        assert program.output.endswith("bye\n")
        assert keeper.start("sleeper", ["sleep", "60"]).kill() == -signal.SIGKILL


def test_a_program_that_ignores_the_request_is_killed_in_the_end() -> None:
    with Keeper() as keeper:
        program = keeper.start("deaf", ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.01; done"])
        program.wait_ready(lambda: "ready" in program.output, SECONDS)
        assert program.stop(seconds=0.1) == -signal.SIGKILL


def test_what_a_program_has_started_goes_with_it() -> None:
    script = "import subprocess, sys; c = subprocess.Popen(['sleep', '60']); print(c.pid, flush=True); c.wait()"
    with Keeper() as keeper:
        program = keeper.start("parent", [sys.executable, "-c", script])
        program.wait_ready(lambda: program.output.endswith("\n"), SECONDS)
        child = program.output.strip()
    watcher = ["sh", "-c", f"kill -0 {child}"]
    with Keeper() as other:
        assert wait_until(lambda: _exit_code(other, watcher) != 0, SECONDS)


def test_a_closed_keeper_has_removed_its_directory_and_says_so() -> None:
    keeper = Keeper()
    (keeper.directory / "file").touch()
    keeper.close()
    keeper.close()
    assert not keeper.directory.exists()
    with pytest.raises(ClusterFailed, match="cannot start late: the keeper has been closed"):
        keeper.start("late", ["true"])


def _exit_code(keeper: Keeper, argv: list[str]) -> int:
    return keeper.start("watcher", argv).wait()
