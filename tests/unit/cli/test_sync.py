"""What a person gets wrong about ``pullsecrets sync`` is answered in one sentence, with exit code 2."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from webhook.cli import main

GOOD = """\
apiVersion: pullsecrets.webhook/v1alpha1
kind: Configuration
pullSecrets: [{name: registry-credentials, sources: [{secretName: harbor}]}]
"""

FIVE_PROBLEMS = """\
apiVersion: pullsecrets.webhook/v1
kind: Configuration
optin: {}
pullSecrets:
  - {name: Harbor, sources: [], pods: always}
"""


@pytest.fixture(autouse=True)
def outside_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a Pod's environment nor a kubeconfig of the person who runs the tests."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))


def answer(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    """Run ``sync`` with those flags, see it exit with 2, and return what it said."""
    with pytest.raises(SystemExit) as exit_info:
        main(["sync", "--bind-address=127.0.0.1", "--metrics-port=0", *flags])
    assert exit_info.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert said.startswith("error: ")
    return said


def configuration(tmp_path: Path, text: str = GOOD) -> str:
    file = tmp_path / "configuration.yaml"
    file.write_text(text)
    return f"--config={file}"


def test_a_flag_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--kubeconfg" in answer(capsys, "--config=x", "--kubeconfg=y")


@pytest.mark.parametrize(
    ("interval", "message"),
    [
        ("30s", "--login-interval 30s is too short and could overload registries: give at least 1m"),
        ("soon", "--login-interval soon is not a duration"),
    ],
)
def test_an_interval_that_registries_would_mind(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, interval: str, message: str
) -> None:
    flags = ("--namespace=psw-system", configuration(tmp_path), f"--login-interval={interval}")
    assert message in answer(capsys, *flags)


@pytest.mark.parametrize("flag", ["--workers=0", "--writes-per-second=0", "--writes-per-second=10001"])
def test_a_value_out_of_range(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    assert flag.partition("=")[0] in answer(capsys, "--config=x", flag)


def test_no_namespace_outside_a_pod(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "--namespace" in answer(capsys, configuration(tmp_path))


def test_a_configuration_file_that_is_absent(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = answer(capsys, f"--config={tmp_path}/none.yaml", "--namespace=psw")
    assert "none.yaml cannot be read" in said
    assert said.count("\n") == 1


def test_a_configuration_with_five_problems_lists_all_five(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = answer(capsys, configuration(tmp_path, FIVE_PROBLEMS), "--namespace=psw")
    assert "5 problems" in said
    assert said.count("\n") == 7
    assert said.endswith("\ncorrect it; docs/configuration.md describes each field\n")


def test_a_port_in_use(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = answer(capsys, configuration(tmp_path), "--namespace=psw", f"--metrics-port={port}")
    assert f"port {port}" in said
    assert "--metrics-port" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(None, "does not exist", id="absent"),
        pytest.param("", "cannot be", id="empty"),
        pytest.param("{", "cannot be read", id="broken YAML"),
        pytest.param("- a\n- b\n", "cannot be", id="a list"),
    ],
)
def test_a_kubeconfig_that_is_none(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str | None, said: str
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    if content is not None:
        kubeconfig.write_text(content)
    whole = answer(capsys, configuration(tmp_path), "--namespace=psw", f"--kubeconfig={kubeconfig}")
    assert said in whole
    assert str(kubeconfig) in whole


def test_a_certificate_without_names(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "--tls-san" in answer(capsys, configuration(tmp_path), "--namespace=psw", "--tls-secret=tls")


def test_a_certificate_for_what_is_no_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    flags = ("--namespace=psw", "--tls-secret=tls", "--tls-san=https://x")
    assert "https://x is neither" in answer(capsys, configuration(tmp_path), *flags)
