"""What ``pullsecrets cleanup`` says when something is left, and when it cannot begin."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tests.unit.cli.test_sync import GOOD
from webhook.cli import main
from webhook.cli.cleanup import LINES
from webhook.report.removals import Removable, RemovalReport
from webhook.sync.cleanup import CleanupSettings


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


def left_by_run(monkeypatch: pytest.MonkeyPatch, *objects: Removable) -> list[CleanupSettings]:
    seen: list[CleanupSettings] = []

    def run(settings: CleanupSettings) -> RemovalReport:
        seen.append(settings)
        return RemovalReport(objects, is_planned=settings.dry_run)

    monkeypatch.setattr("webhook.sync.cleanup.run", run)
    return seen


def test_the_flags_are_what_is_done_and_nothing_left_is_a_zero(
    capsys: pytest.CaptureFixture[str], config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = left_by_run(monkeypatch)
    flags = ("--release=r", "--webhook-configuration=full", "--context=c", "--timeout=1m30s")
    assert answer(capsys, 0, config, "--release-namespace=psw", *flags) == ""
    (settings,) = seen
    assert (settings.release.name, settings.release.namespace, settings.context) == ("r", "psw", "c")
    assert (settings.lease, settings.own_secrets) == ("full-sync", ("full-state", "full-tls", "full-ca"))
    assert settings.timeout == 90.0


def copies(number: int, cause: str = "") -> list[Removable]:
    return [Removable("Secret", "pull", f"n{each}", cause=cause) for each in range(number)]


def test_leftovers_are_a_table_with_causes_and_a_one(
    capsys: pytest.CaptureFixture[str], config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = Removable("ServiceAccount", "default", "n0", "its references to pull", "refused")
    left_by_run(monkeypatch, account, *copies(1, "refused"))
    with pytest.raises(SystemExit) as exit_info:
        main(["cleanup", config, "--release-namespace=psw"])
    said = capsys.readouterr()
    assert [line.split(maxsplit=3) for line in said.out.splitlines()] == [
        ["NAMESPACE", "OBJECT", "RESULT", "DETAIL"],
        ["n0", "ServiceAccount/default", "LEFT", "its references to pull: refused"],
        ["n0", "Secret/pull", "LEFT", "refused"],
    ]
    assert exit_info.value.code == 1
    assert said.err == "error: 2 items could not be removed; run the command again\n"


@pytest.mark.parametrize(("flags", "rows"), [((), LINES + 1), (("--dry-run",), LINES + 21)])
def test_a_long_list_of_leftovers_is_cut_and_a_plan_is_not(
    capsys: pytest.CaptureFixture[str], config: str, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], rows: int
) -> None:
    left_by_run(monkeypatch, *copies(LINES + 20, "refused"))
    with pytest.raises(SystemExit):
        main(["cleanup", config, "--release-namespace=psw", *flags])
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == rows
    assert ("and 20 more (-o json lists all)" in said.err) is (not flags)


@pytest.mark.parametrize(("flags", "key"), [((), "left"), (("--dry-run",), "planned")])
def test_programs_get_one_document(
    capsys: pytest.CaptureFixture[str], config: str, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], key: str
) -> None:
    left_by_run(monkeypatch, *copies(1))
    with pytest.raises(SystemExit):
        main(["cleanup", config, "--release-namespace=psw", "-o", "json", *flags])
    one = {"namespace": "n0", "object": "Secret/pull", "part": None, "cause": None}
    assert json.loads(capsys.readouterr().out) == {key: [one]}


def test_no_namespace_outside_a_pod(capsys: pytest.CaptureFixture[str], config: str) -> None:
    assert "--release-namespace" in answer(capsys, 2, config)


def test_a_timeout_that_is_none(capsys: pytest.CaptureFixture[str], config: str) -> None:
    assert "--timeout soon is not a duration" in answer(capsys, 2, config, "--release-namespace=psw", "--timeout=soon")


def test_a_configuration_file_that_is_absent(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = answer(capsys, 2, f"--config={tmp_path}/none.yaml", "--release-namespace=psw")
    assert "none.yaml cannot be read" in said


def test_a_dry_run_lists_objects_and_is_a_zero(
    capsys: pytest.CaptureFixture[str], config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_by_run(monkeypatch, *copies(1))
    with pytest.raises(SystemExit) as exit_info:
        main(["cleanup", config, "--release-namespace=psw", "--dry-run"])
    said = capsys.readouterr()
    assert (exit_info.value.code, said.out.splitlines()[1].split()) == (0, ["n0", "Secret/pull", "REMOVE"])
    assert said.err == "1 item to remove; no changes were made\n"


@pytest.mark.parametrize(
    ("terminal", "flags", "asks"), [(True, [], True), (True, ["--yes"], False), (False, [], False)]
)
def test_a_person_on_a_terminal_is_asked_once(
    config: str, monkeypatch: pytest.MonkeyPatch, terminal: bool, flags: list[str], asks: bool
) -> None:
    seen = left_by_run(monkeypatch)
    monkeypatch.setattr("sys.stdin.isatty", lambda: terminal)
    with pytest.raises(SystemExit):
        main(["cleanup", config, "--release-namespace=psw", *flags])
    assert (seen[0].confirm is not None) is asks


class EndedInput(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_person_who_ends_the_question_by_ctrl_d_has_not_confirmed(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = left_by_run(monkeypatch)
    monkeypatch.setattr("sys.stdin", EndedInput())
    with pytest.raises(SystemExit):
        main(["cleanup", config, "--release-namespace=psw"])
    assert seen[0].confirm is not None
    assert not seen[0].confirm(RemovalReport((), is_planned=True))
