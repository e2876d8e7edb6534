"""docs/commands.md has the commands and flags that there are, and no other."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer.core
import typer.main

from tests.unit.documented import DOCS, names, rows, section
from webhook.cli import app


def commands() -> dict[str, typer.core.TyperCommand]:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    return {name: command for name, command in group.commands.items() if isinstance(command, typer.core.TyperCommand)}


def flags_of(command: typer.core.TyperCommand) -> list[tuple[set[str], str, str]]:
    """Return names, environment variable and default of each flag."""
    return [({*flag.opts, *flag.secondary_opts}, str(flag.envvar or ""), _default(flag)) for flag in command.params]


def _default(flag: Any) -> str:  # noqa: ANN401 - typer's own parameter class is not public
    if flag.required:
        return "required"
    if flag.secondary_opts:
        return str((flag.opts if flag.default else flag.secondary_opts)[0])
    return "" if flag.default is None or callable(flag.default) else str(flag.default)


def test_every_command_is_documented_and_no_other() -> None:
    headings = re.findall(r"^## pullsecrets (\w+)$", (DOCS / "commands.md").read_text(), re.MULTILINE)
    assert headings == list(commands())


@pytest.mark.parametrize("name", list(commands()))
def test_the_documented_flags_are_those_of_the_command(name: str) -> None:
    table = rows(section(DOCS / "commands.md", f"pullsecrets {name}"))
    documented = [(names(flag), env.strip("`"), default.strip("`")) for flag, env, default, _ in table]
    assert documented == flags_of(commands()[name])
    assert all(meaning for *_, meaning in table)


@pytest.mark.parametrize("name", ["serve", "sync"])
def test_every_flag_of_a_process_is_an_environment_variable_of_the_same_name(name: str) -> None:
    for command_flags, env, _ in flags_of(commands()[name]):
        assert f"--{env.removeprefix('PULLSECRETS_').lower().replace('_', '-')}" in command_flags


@pytest.mark.parametrize("name", list(commands()))
def test_the_help_of_each_command_has_examples_that_are_flags_of_it(name: str) -> None:
    command = commands()[name]
    known = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    lines = [
        line.strip().removeprefix("source <(")
        for line in (command.help or "").splitlines()
        if line.strip().startswith(("pullsecrets ", "source <(pullsecrets "))
    ]
    assert lines
    for line in lines:
        assert line.split()[1] == name
        assert set(re.findall(r"(?<=\s)--?[a-zA-Z][a-z-]*", line)) <= known
