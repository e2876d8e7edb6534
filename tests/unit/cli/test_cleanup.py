"""What ``pullsecrets cleanup`` says when something is left, and when it cannot begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.test_sync import GOOD
from webhook.cli import main
from webhook.cli.cleanup import LINES
from webhook.sync.cleanup import Settings


def answer(capsys: pytest.CaptureFixture[str], code: int, *flags: str) -> str:
    with pytest.raises(SystemExit) as exit_info:
        main(["cleanup", *flags])
    assert exit_info.value.code == code
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "configuration.yaml"
    file.write_text(GOOD)
    return f"--config={file}"


def left_by_run(monkeypatch: pytest.MonkeyPatch, left: list[str]) -> list[Settings]:
    seen: list[Settings] = []

    def run(settings: Settings) -> list[str]:
        seen.append(settings)
        return left

    monkeypatch.setattr("webhook.sync.cleanup.run", run)
    return seen


def test_the_flags_are_what_is_done_and_nothing_left_is_a_zero(
    capsys: pytest.CaptureFixture[str], config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = left_by_run(monkeypatch, [])
    flags = ("--release=r", "--webhook-configuration=full", "--context=c", "--timeout=1m30s")
    assert answer(capsys, 0, config, "--release-namespace=psw", *flags) == ""
    (settings,) = seen
    assert (settings.release.name, settings.release.namespace, settings.context) == ("r", "psw", "c")
    assert (settings.lease, settings.own_secrets) == ("full-sync", ("full-state", "full-tls", "full-ca"))
    assert settings.timeout == 90.0


def test_what_is_left_is_listed_and_a_one(
    capsys: pytest.CaptureFixture[str], config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_by_run(monkeypatch, ["Secret a/pull: refused", "Secret b/pull: refused"])
    said = answer(capsys, 1, config, "--release-namespace=psw")
    assert said == (
        "error: 2 items could not be removed; run the command again:\n"
        "  Secret a/pull: refused\n"
        "  Secret b/pull: refused\n"
    )


def test_a_long_list_is_cut(capsys: pytest.CaptureFixture[str], config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    left_by_run(monkeypatch, [f"Secret n{number}/pull: refused" for number in range(LINES + 20)])
    lines = answer(capsys, 1, config, "--release-namespace=psw").splitlines()
    assert lines[-1] == "  … and 20 more"
    assert len(lines) == LINES + 2


def test_no_namespace_outside_a_pod(capsys: pytest.CaptureFixture[str], config: str) -> None:
    assert "--release-namespace" in answer(capsys, 2, config)


def test_a_timeout_that_is_none(capsys: pytest.CaptureFixture[str], config: str) -> None:
    assert "--timeout soon is not a duration" in answer(capsys, 2, config, "--release-namespace=psw", "--timeout=soon")


def test_a_configuration_file_that_is_absent(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = answer(capsys, 2, f"--config={tmp_path}/none.yaml", "--release-namespace=psw")
    assert "none.yaml cannot be read" in said


def test_a_dry_run_prints_what_would_go_and_a_zero(
    capsys: pytest.CaptureFixture[str], config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = left_by_run(monkeypatch, ["Secret a/pull"])
    with pytest.raises(SystemExit) as exit_info:
        main(["cleanup", config, "--release-namespace=psw", "--dry-run"])
    said = capsys.readouterr()
    assert (exit_info.value.code, said.out, seen[0].dry_run) == (0, "Secret a/pull\n", True)
    assert "no changes were made" in said.err


@pytest.mark.parametrize(
    ("terminal", "flags", "asks"), [(True, [], True), (True, ["--yes"], False), (False, [], False)]
)
def test_a_person_on_a_terminal_is_asked_once(
    config: str, monkeypatch: pytest.MonkeyPatch, terminal: bool, flags: list[str], asks: bool
) -> None:
    seen = left_by_run(monkeypatch, [])
    monkeypatch.setattr("sys.stdin.isatty", lambda: terminal)
    with pytest.raises(SystemExit):
        main(["cleanup", config, "--release-namespace=psw", *flags])
    assert (seen[0].confirm is not None) is asks
