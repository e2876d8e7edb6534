"""``pullsecrets rotate`` and ``revoke``: what they say when they end without an answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.test_progress import Terminal, shown
from tests.unit.fake_apiserver.faults import Answer, Fault
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.inspect.test_release import DOCUMENT, put_release
from tests.unit.inspect.test_revocation import document, put_rotation
from tests.unit.inspect.test_usage import put_secret
from webhook.cli import main
from webhook.rules.dockerconfig import COPY_TYPE
from webhook.rules.rollout import Stage

IS_OVER = "the time limit of 1s is over; look again: kubectl pullsecrets rotate registry"
HAS_LEADER = "of the sources yet: kubectl pullsecrets check shows whether sync has a leader"
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(api: FakeApiServer, kubeconfig: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in a cluster with a pull secret that has a rollout; return its code and standard error."""
    put_release(api, "psw", "pull-secrets", document=f"{DOCUMENT}    rollout: {{maxPerSecond: 5}}\n")
    put_secret(api, "pull-secrets", "harbor", document("new"))

    def command(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--kubeconfig", str(kubeconfig)])
        return int(ended.value.code or 0), capsys.readouterr().err

    return command


def test_a_time_limit_that_is_over_does_not_say_that_an_unknown_rotation_continues(run: Run) -> None:
    code, told = run("rotate", "registry", "--wait", "--timeout", "1s")
    assert (code, told.splitlines()[-1]) == (2, IS_OVER)
    assert "the stage of registry is unknown" in told


def test_the_bar_counts_copies(api: FakeApiServer, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    put_rotation(api, stage=Stage.CANARY)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert run("rotate", "registry", "--wait", "--timeout", "1s")[0] == 2
    assert "canary for 0 s: 0 of 1 copy ━" in shown(terminal)


def test_who_follows_already_is_not_advised_to_follow(api: FakeApiServer, run: Run) -> None:
    put_rotation(api, stage=Stage.SETTLED)
    code, told = run("rotate", "registry", "--wait", "--timeout", "1s")
    assert (code, told.splitlines()) == (2, [f"sync has not seen the present content {HAS_LEADER}", IS_OVER])
    code, told = run("rotate", "registry")
    follow = "kubectl pullsecrets rotate registry --wait follows the rotation"
    assert (code, told.splitlines()) == (0, [f"sync has not seen the present content {HAS_LEADER}, and {follow}"])


def test_a_missing_right_is_told_also_if_the_command_ends_with_an_error(api: FakeApiServer, run: Run) -> None:
    put_rotation(api)
    api.inject(Answer(403), "get", plural="secrets", name="harbor", times=None)
    code, told = run("revoke", "registry", "--dry-run", "--previous")
    warning, error = told.splitlines()
    assert (code, error.partition(":")[0]) == (2, "error")
    assert warning.startswith("warning: you lack the right to get secrets/harbor in namespace pull-secrets; ")


def test_a_missing_right_that_the_error_names_is_told_once(api: FakeApiServer, run: Run) -> None:
    put_rotation(api)
    api.inject(Answer(403), "get", plural="secrets", name="psw-state", times=None)
    code, told = run("revoke", "registry", "--dry-run", "--previous")
    assert (code, told.count("you lack the right to get secrets/psw-state")) == (2, 1)


def test_an_api_server_that_restarts_does_not_end_a_rotation_that_is_followed(
    api: FakeApiServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_rotation(api, stage=Stage.CANARY)
    api.inject(Answer(403), "get", plural="secrets", name="harbor", times=None)
    faults: list[Fault] = []

    def sleep(_seconds: float) -> None:
        if faults:
            put_rotation(api, stage=Stage.COMPLETE)
        else:
            faults.append(api.inject(Answer(503, b"<html>"), "get", plural="secrets", name="psw-state"))

    monkeypatch.setattr("webhook.cli.rotate.time.sleep", sleep)
    assert run("rotate", "registry", "--wait")[0] == 0
    assert faults[0].met == 1


def test_a_request_without_an_answer_is_perhaps_made(api: FakeApiServer, run: Run) -> None:
    put_rotation(api, stage=Stage.CANARY)
    api.inject(Answer(503, b"<html>"), "patch", plural="secrets")
    code, told = run("rotate", "registry", "--promote")
    assert code == 2
    assert "source Secret pull-secrets/harbor was perhaps not changed: " in told


def test_a_source_that_cannot_be_replaced_is_looked_at(api: FakeApiServer, run: Run, tmp_path: Path) -> None:
    put_rotation(api)
    file = tmp_path / "config.json"
    file.write_text(document("newer"))
    status = {"kind": "Status", "status": "Failure", "code": 422, "message": 'data: Forbidden: "newer" is immutable'}
    api.inject(Answer(422, json.dumps(status).encode()), "patch", plural="secrets")
    code, told = run("rotate", "registry", "--from-file", str(file))
    assert code == 2
    assert "newer" not in told
    look = "kubectl -n pull-secrets get secret harbor -o jsonpath='{.type} {.immutable}'"
    assert told.endswith(f"; perhaps it is immutable, or of another type than {COPY_TYPE}. Next: {look}\n")
