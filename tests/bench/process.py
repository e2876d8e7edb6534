"""What the operating system and the API server say about a process and its requests."""

from __future__ import annotations

import os
import re
from pathlib import Path

_REQUESTS = re.compile(r"^apiserver_request_total\{([^}]*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_WRITES = {"PATCH", "APPLY", "POST", "PUT", "DELETE"}
_WATCHED = {"secrets", "serviceaccounts"}
_KIB_IN_MIB = 1024


def write_requests(metrics: str) -> dict[str, int]:
    """Return the writes to Secrets and ServiceAccounts that the API server has counted, by verb, resource and code."""
    found: dict[str, int] = {}
    for labels, value in _REQUESTS.findall(metrics):
        label = dict(_LABEL.findall(labels))
        if label.get("resource") in _WATCHED and label.get("verb") in _WRITES and not label.get("subresource"):
            key = f"{label['verb']} {label['resource']} {label['code']}"
            found[key] = found.get(key, 0) + int(float(value))
    return found


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB (Linux)."""
    match = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if match is None:
        raise ProcessLookupError(f"process {pid} has ended")
    return int(match[1]) / _KIB_IN_MIB


def seconds_of_cpu(pid: int) -> float:
    """Return the CPU time that a process has used, user and system, in seconds (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
