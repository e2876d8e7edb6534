"""A control group with a limit of memory, as a container has one; Linux with version 1 or 2 of control groups."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.unit.polling import until
from webhook.http.limits import MIB

ROOT = Path("/sys/fs/cgroup")
VALUES = yaml.safe_load((Path(__file__).parents[3] / "charts" / "pull-secret-webhook" / "values.yaml").read_text())
LIMIT = int(VALUES["webhook"]["resources"]["limits"]["memory"].removesuffix("Mi")) * MIB
"""The chart's memory limit, in bytes; both roles have the same."""

assert VALUES["sync"]["resources"]["limits"] == VALUES["webhook"]["resources"]["limits"]


class Unavailable(Exception):
    """There are no control groups to be had here."""


@dataclass(frozen=True)
class MemoryGroup:
    """One control group."""

    folder: Path

    @property
    def prefix(self) -> list[str]:
        """The beginning of a command line that is run within the group."""
        return ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs && exec "$@"', "sh"]

    @property
    def kills(self) -> int:
        """How many processes of the group were killed because they took more memory than they may."""
        events = self.folder / "memory.events"
        text = (events if events.exists() else self.folder / "memory.oom_control").read_text()
        found = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
        assert found is not None, text
        return int(found[1])

    @property
    def peak(self) -> int:
        """The most bytes that the group has taken."""
        peak = self.folder / "memory.peak"
        return int((peak if peak.exists() else self.folder / "memory.max_usage_in_bytes").read_text())

    def take(self, pid: int) -> None:
        """Put a process that runs already into the group, with all of its threads."""
        (self.folder / "cgroup.procs").write_text(str(pid))

    def processes(self) -> list[int]:
        return [int(line) for line in (self.folder / "cgroup.procs").read_text().split()]


@contextlib.contextmanager
def memory_group(limit: int) -> Iterator[MemoryGroup]:
    """Make a group in which processes may have ``limit`` bytes together; Unavailable where that cannot be."""
    folder = (ROOT / "memory" if (ROOT / "memory").is_dir() else ROOT) / f"pullsecrets-test-{os.getpid()}-{limit}"
    try:
        folder.mkdir()
    except OSError as error:
        raise Unavailable(f"control groups cannot be made here: {error.strerror}") from error
    group = MemoryGroup(folder)
    try:
        _limit(folder, limit)
        yield group
    finally:
        for process in group.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        until(lambda: not group.processes())
        folder.rmdir()


def _limit(folder: Path, limit: int) -> None:
    name = "memory.limit_in_bytes" if (folder / "memory.limit_in_bytes").exists() else "memory.max"
    try:
        (folder / name).write_text(str(limit))
        swap = folder / "memory.swap.max"
        if swap.exists():
            swap.write_text("0")
    except OSError as error:
        raise Unavailable(f"the memory of control groups cannot be limited here: {error.strerror}") from error


@pytest.fixture
def group() -> Iterator[MemoryGroup]:
    """A control group with the chart's limit; the test is skipped where there are none."""
    try:
        with memory_group(LIMIT) as made:
            yield made
    except Unavailable as error:
        pytest.skip(str(error))
