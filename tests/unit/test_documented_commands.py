"""docs/commands.md has the commands and flags that there are, and no other."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

import pytest
import typer.core
import typer.main

from tests.unit.documented import DOCS, PAGES, ROOT, first_column, in_code, names, rows, section
from webhook.cli import EXIT_BUG, EXIT_USAGE, app
from webhook.cli.plan import EXIT_UNDECIDED

PAGE = DOCS / "commands.md"
HIGHEST_PORT = 65535


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
    headings = re.findall(r"^## pullsecrets (\w+)$", PAGE.read_text(), re.MULTILINE)
    assert headings == list(commands())


@pytest.mark.parametrize("name", list(commands()))
def test_the_documented_flags_are_those_of_the_command(name: str) -> None:
    table = rows(section(PAGE, f"pullsecrets {name}"))
    documented = [(names(flag), env.strip("`"), default.strip("`")) for flag, env, default, _ in table]
    assert documented == flags_of(commands()[name])
    assert all(meaning for *_, meaning in table)


def meanings(name: str) -> list[tuple[Any, str]]:
    """Return each flag of a command with what the documentation says of it."""
    table = rows(section(PAGE, f"pullsecrets {name}"))
    return list(zip(commands()[name].params, (meaning for *_, meaning in table), strict=True))


@pytest.mark.parametrize("name", list(commands()))
def test_the_documented_values_of_a_flag_are_those_that_it_takes(name: str) -> None:
    for flag, meaning in meanings(name):
        kind = flag.type_descriptor.annotation
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            assert {word for word in names(meaning) if not word.startswith("-")} == set(kind), flag.name


@pytest.mark.parametrize("name", list(commands()))
def test_the_documented_bounds_of_a_number_are_those_that_it_has(name: str) -> None:
    bounds = {flag.name: re.findall(r"\b(\d+) to (\d+)\b", meaning) for flag, meaning in meanings(name)}
    assert bounds == {
        flag.name: [] if flag.max in (None, HIGHEST_PORT) else [(str(flag.min), str(flag.max))]
        for flag, _ in meanings(name)
    }


@pytest.mark.parametrize("name", list(commands()))
def test_what_may_be_given_several_times_is_said_to_be_repeatable(name: str) -> None:
    assert [("repeatable" in meaning) == flag.multiple for flag, meaning in meanings(name)].count(False) == 0


@pytest.mark.parametrize("name", list(commands()))
def test_the_synopsis_of_a_command_names_what_it_requires_and_flags_of_it(name: str) -> None:
    (line,) = re.findall(rf"^pullsecrets {name} (.*)$", section(PAGE, "Synopsis"), re.MULTILINE)
    known = {flag for parameter in commands()[name].params for flag in parameter.opts}
    assert set(re.findall(r"(?<![\w-])--?[a-zA-Z][a-z-]*", line)) <= known
    required = [parameter for parameter in commands()[name].params if parameter.required]
    assert all(f"{flag.opts[0]} " in line or flag.opts[0] == flag.name for flag in required)
    assert ("[OPTIONS]" in line) == any(parameter.opts[0].startswith("-") for parameter in commands()[name].params)


def test_the_page_is_built_like_a_manual_page() -> None:
    headings = re.findall(r"^## (.+)$", PAGE.read_text(), re.MULTILINE)
    assert [heading for heading in headings if not heading.startswith("pullsecrets ")] == [
        *("Name", "Synopsis", "Options", "Exit status", "Environment", "Files", "On a terminal", "Examples", "See also")
    ]


def test_the_documented_exit_codes_are_those_that_there_are() -> None:
    assert first_column("commands.md", "Exit status") == [
        *("0", "1", str(EXIT_USAGE), str(EXIT_BUG), str(EXIT_UNDECIDED)),
    ]


def test_every_variable_that_is_read_is_documented_and_no_other() -> None:
    documented = {name for cells in rows(section(PAGE, "Environment")) for name in names(cells[0])}
    code = "".join(module.read_text() for module in (ROOT / "webhook").rglob("*.py"))
    read = set(re.findall(r"environ(?:\.get\(|\[)\"([A-Z_]+)\"|\"([A-Z_]+)\" in os\.environ", code))
    by_libraries = {"HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "NO_COLOR", "COLUMNS"}
    assert documented == {name for found in read for name in found if name} | by_libraries


def test_every_environment_variable_of_the_program_on_any_page_is_one_of_a_flag() -> None:
    known = {env for name in commands() for _, env, _ in flags_of(commands()[name])}
    pages = {page.name: set(re.findall(r"\bPULLSECRETS_[A-Z_]+\b", page.read_text())) for page in PAGES}
    assert {name: found - known for name, found in pages.items() if found - known} == {}


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


def test_every_flag_that_a_page_names_is_one_of_a_command() -> None:
    of_others = {"--admission-control-config-file", "--help", "--platform", "--set", "--version"}
    known = {flag for command in commands().values() for names_of, *_ in flags_of(command) for flag in names_of}
    named = {flag for page in PAGES for code in in_code(page.read_text()) for flag in re.findall(r"^(--[a-z-]+)", code)}
    assert named - of_others - known == set()
