"""``--help`` fits any terminal, loses no word on a narrow one, and has neither colours nor cut sentences."""

from __future__ import annotations

import re

import pytest
import typer.core
import typer.main

from webhook.cli import app, main
from webhook.cli.help import NARROWEST

GROUP = typer.main.get_command(app)
COMMANDS = list(GROUP.commands) if isinstance(GROUP, typer.core.TyperGroup) else []
EXAMPLE = re.compile(r"  (?:pullsecrets|kubectl|source) ")

every_command = pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=" ".join)


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


def printed(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert not ended.value.code
    return capsys.readouterr().out


@every_command
@pytest.mark.parametrize("columns", [NARROWEST, 69, 70, 200])
def test_it_fits_and_no_sentence_is_cut(
    command: list[str], columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the examples, which are there to be copied and so are not folded."""
    monkeypatch.setenv("COLUMNS", str(columns))
    text = printed(command, capsys)
    lines = [line for line in text.splitlines() if not EXAMPLE.match(line)]
    assert [line for line in lines if len(line.rstrip()) > columns] == []
    assert "..." not in text.replace("[ARGS]...", "")


@every_command
def test_a_narrow_one_has_the_same_words(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of flags and variables whole; only the folding between words differs, and after a hyphen."""
    monkeypatch.setenv("COLUMNS", "80")
    wide = printed(command, capsys)
    monkeypatch.setenv("COLUMNS", str(NARROWEST))
    narrow = printed(command, capsys)
    assert "".join(narrow.split()) == "".join(wide.split())
    for word in re.findall(r"PULLSECRETS_\w+|(?<=  )--[a-z-]+", wide):
        assert word in narrow


@every_command
def test_it_is_plain_text_whatever_the_terminal_can(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b" not in printed(command, capsys)


@every_command
def test_every_flag_says_what_it_is_for(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = GROUP.commands[command[0]] if command and isinstance(GROUP, typer.core.TyperGroup) else GROUP
    assert [parameter.name for parameter in found.params if not getattr(parameter, "help", None)] == []
    text = printed(command, capsys)
    assert [flag for parameter in found.params for flag in parameter.opts if "-" in flag and flag not in text] == []


def test_the_top_has_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed([], capsys)
    examples = [line.split()[1] for line in text.splitlines() if EXAMPLE.match(line)]
    assert examples
    assert set(examples) <= set(COMMANDS)
    assert re.search(r"Exit codes: 0 done; 1 .+; 2 .+; 3 a bug", " ".join(text.split()))
