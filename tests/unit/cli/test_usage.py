"""``pullsecrets usage``: the names that it accepts, and the sentence about another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.fake_apiserver.faults import Answer
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.inspect.test_release import DOCUMENT, put_release
from tests.unit.inspect.test_selection import put_namespace
from webhook.cli import main

RENEWING = (
    "{secretName: psw-issued-zot, serviceAccountToken: "
    "{name: zot, registry: zot.io, username: u, audience: zot, serviceAccountName: puller}}"
)


@pytest.fixture(autouse=True)
def _release(api: FakeApiServer) -> None:
    put_release(api, "psw", "pull-secrets", document=DOCUMENT.replace("[{secretName: harbor}]", f"[{RENEWING}]"))
    put_namespace(api, "team")


def run(kubeconfig: Path, *arguments: str) -> object:
    with pytest.raises(SystemExit) as ended:
        main(["usage", "--kubeconfig", str(kubeconfig), *arguments])
    return ended.value.code


@pytest.mark.parametrize("name", ["registry", "psw-issued-zot", "zot"])
def test_a_renewing_source_has_two_names(kubeconfig: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert run(kubeconfig, name) == 0
    assert "0 workloads use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "where"),
    [
        ((), "no Pod references"),
        (("-n", "team"), "no Pod in namespace team references"),
        (("-l", "pullsecrets.webhook/inject"), "no Pod in the namespaces of -l pullsecrets.webhook/inject references"),
    ],
)
def test_only_the_pods_that_were_read_are_known(
    kubeconfig: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], where: str
) -> None:
    assert run(kubeconfig, "own", *flags) == 2
    error = capsys.readouterr().err
    assert where in error
    assert "the release has psw-issued-zot, registry and zot. Next: " in error


@pytest.mark.parametrize(("namespace", "flag"), [("", " -A"), ("team", " -n team")])
def test_the_next_command_is_about_the_right_that_is_missing(
    api: FakeApiServer, kubeconfig: Path, capsys: pytest.CaptureFixture[str], namespace: str, flag: str
) -> None:
    status = {"kind": "Status", "status": "Failure", "code": 403, "message": "no"}
    api.inject(Answer(403, json.dumps(status).encode()), "list", plural="pods", times=None)
    assert run(kubeconfig, "-n", namespace) == 2
    error = capsys.readouterr().err
    assert error.endswith(f"Next: kubectl auth can-i list pods{flag}\n")
    assert ("name a namespace with -n" in error) is not bool(namespace)


def test_namespaces_without_an_answer_are_no_missing_right(
    api: FakeApiServer, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.inject(Answer(502, b"<html>"), "list", plural="namespaces", times=None)
    assert run(kubeconfig) == 2
    assert "you lack the right" not in capsys.readouterr().err
