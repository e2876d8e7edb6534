"""What becomes of other namespaces, and of the loop itself, when something fails."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.unit.fake_apiserver.faults import Answer
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from tests.unit.sync.running import Running, is_right, opt_in, reasons
from tests.unit.sync.world import CONFIGURATION


def denied(code: int) -> Answer:
    """Return the answer of the API server when a webhook denies with this code."""
    message = 'admission webhook "strict.example.com" denied the request: not today'
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return Answer(code, json.dumps(status).encode())


def test_a_webhook_that_denies_with_503_holds_up_nobody_else(
    api: FakeApiServer, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.sync.failures.PROBE_SECONDS", 0.05)
    sick = api.inject(denied(503), "apply", plural="secrets", times=None)
    opt_in(api, "sick")
    until(lambda: sick.met > 3)

    assert running.gate.breaker._failures == 0
    assert running.loop._connectivity.is_up
    assert "CopyDenied" in reasons(api)
    sick.lift()
    until(lambda: is_right(api, "sick"))


def test_a_worker_that_dies_is_reported_and_its_namespace_is_not_lost(
    api: FakeApiServer, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.ops.threads.RESTART_BASE", 0.01)
    reconcile, died = running.loop._reconcile, list[str]()

    def deadly(name: str) -> bool:
        if name == "a" and len(died) < 3:
            died.append(name)
            raise SystemExit
        return reconcile(name)

    monkeypatch.setattr(running.loop, "_reconcile", deadly)

    opt_in(api)

    until(lambda: is_right(api))
    problem = running.loop.threads.problem()
    assert problem is not None
    assert "SystemExit" in problem


def test_a_name_that_is_dropped_without_a_copy_is_not_warned_of(running: Running) -> None:
    running.settle()

    running.loop.reconfigure(replace(CONFIGURATION, pull_secrets=()))

    assert "PullSecretForgotten" not in {notice.reason for _, notice in running.recorder.recent()}
