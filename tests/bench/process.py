"""What the operating system says about a process."""

from __future__ import annotations

import os
import re
from pathlib import Path

_KIB_IN_MIB = 1024


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB (Linux)."""
    return _mib(pid, "VmRSS")


def peak_mib(pid: int) -> float:
    """Return the most resident memory that a process has had so far in MiB (Linux)."""
    return _mib(pid, "VmHWM")


def _mib(pid: int, field: str) -> float:
    match = re.search(rf"^{field}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if match is None:
        raise ProcessLookupError(f"process {pid} has ended")
    return int(match[1]) / _KIB_IN_MIB


def seconds_of_cpu(pid: int) -> float:
    """Return the CPU time that a process has used, user and system, in seconds (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
