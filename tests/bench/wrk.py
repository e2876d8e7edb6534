"""wrk, the load generator: one request over and over, pinned to a core, its figures as values."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = """\
wrk.method = "POST"
wrk.path = {path}
{headers}
local file = io.open({body}, "rb")
wrk.body = file:read("*a")
file:close()
function done(summary, latency, requests)
  io.write(string.format('{{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "bad": %d, "broken": %d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
"""


class WrkFailed(Exception):
    """The load generator is missing, or what it measured is worth nothing."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent again and again."""

    url: str
    path: str
    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw: requests a second, and latencies in milliseconds."""

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float


def run(request: Request, connections: int, seconds: int, core: int | None, scratch: Path) -> Load:
    """Send ``request`` over that many connections for some seconds; any answer but 2xx spoils the measurement."""
    if shutil.which("wrk") is None:
        raise WrkFailed("wrk is not on PATH: install the package wrk of your distribution")
    body, script = scratch / "body.json", scratch / "script.lua"
    body.write_bytes(request.body)
    script.write_text(
        _SCRIPT.format(
            path=json.dumps(request.path),
            body=json.dumps(str(body)),
            headers="\n".join(f"wrk.headers[{json.dumps(k)}] = {json.dumps(v)}" for k, v in request.headers.items()),
        )
    )
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script)]
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    done = subprocess.run([*pinned, "wrk", *options, request.url], capture_output=True, text=True, check=False)
    return _read(done.stdout, done.stderr)


def _read(output: str, errors: str) -> Load:
    found = re.search(r"^\{.*\}$", output, re.MULTILINE)
    if found is None:
        raise WrkFailed(f"wrk said: {(output + errors).strip()}")
    summary = json.loads(found[0])
    if summary["bad"] or summary["broken"] or not summary["requests"]:
        raise WrkFailed(f"not every request was answered with 2xx: {summary}")
    return Load(
        requests=summary["requests"],
        per_second=round(summary["requests"] / summary["microseconds"] * 1e6, 1),
        p50_ms=round(summary["p50"] / 1000, 2),
        p99_ms=round(summary["p99"] / 1000, 2),
    )
