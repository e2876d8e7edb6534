from __future__ import annotations

import json

import pytest

from webhook.http.counters import PortCounters
from webhook.http.rejections import BAD_REQUEST, Rejections
from webhook.ops.log_format import LogFormat, LogLevel
from webhook.ops.logs import configure


def test_rejections_are_counted_and_logged_once_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.JSON, LogLevel.INFO)
    now = [0.0]
    counters = PortCounters()
    rejections = Rejections("metrics", counters, lambda: now[0])
    for _ in range(1000):
        rejections.count(BAD_REQUEST, "192.0.2.1")
    now[0] = 1.0
    rejections.count(BAD_REQUEST, "192.0.2.2", problem="two Hosts")
    assert counters.rejected == {BAD_REQUEST: 1001}
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["event"], first["cause"], first["peer"], first["suppressed"]) == (
        "client rejected",
        BAD_REQUEST,
        "192.0.2.1",
        0,
    )
    assert (second["peer"], second["suppressed"], second["problem"], second["port"]) == (
        "192.0.2.2",
        999,
        "two Hosts",
        "metrics",
    )
