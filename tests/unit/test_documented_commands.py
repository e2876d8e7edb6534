"""docs/commands.md has the commands and flags that there are, and no other."""

from __future__ import annotations

import re

import pytest
import typer.core

from tests.unit.documented import DOCS, PAGES, PRODUCT, blocks, in_code, names, rows, section
from tools.tables import commands

PAGE = DOCS / "commands.md"


def flags_of(command: typer.core.TyperCommand) -> list[tuple[set[str], str]]:
    """Return names and environment variable of each flag."""
    return [({*flag.opts, *flag.secondary_opts}, str(flag.envvar or "")) for flag in command.params]


def test_every_command_is_documented_and_no_other() -> None:
    headings = re.findall(r"^## pullsecrets (\w+)$", PAGE.read_text(), re.MULTILINE)
    assert headings == list(commands())


@pytest.mark.parametrize("name", list(commands()))
def test_the_synopsis_of_a_command_names_what_it_requires_and_flags_of_it(name: str) -> None:
    (line,) = re.findall(rf"^pullsecrets {name}(.*)$", section(PAGE, "Synopsis"), re.MULTILINE)
    known = {flag for parameter in commands()[name].params for flag in parameter.opts}
    assert set(re.findall(r"(?<![\w-])--?[a-zA-Z][a-z-]*", line)) <= known
    required = [parameter for parameter in commands()[name].params if parameter.required]
    assert all(f"{flag.opts[0]} " in line or flag.opts[0] == flag.name for flag in required)
    assert ("[OPTIONS]" in line) == any(parameter.opts[0].startswith("-") for parameter in commands()[name].params)


def test_every_variable_that_is_read_is_documented_and_no_other() -> None:
    documented = {name for cells in rows(section(PAGE, "Environment")) for name in names(cells[0])}
    code = "".join(module.read_text() for module in (PRODUCT / "webhook").rglob("*.py"))
    read = set(re.findall(r"environ(?:\.get\(|\[)\"([A-Z_]+)\"|\"([A-Z_]+)\" in os\.environ", code))
    by_libraries = {"HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "NO_COLOR", "COLUMNS"}
    assert documented == {name for found in read for name in found if name} | by_libraries


def test_every_environment_variable_of_the_program_on_any_page_is_one_of_a_flag() -> None:
    known = {env for name in commands() for _, env in flags_of(commands()[name])}
    pages = {page.name: set(re.findall(r"\bPULLSECRETS_[A-Z_]+\b", page.read_text())) for page in PAGES}
    assert {name: found - known for name, found in pages.items() if found - known} == {}


@pytest.mark.parametrize("name", ["serve", "sync"])
def test_every_flag_of_a_process_is_an_environment_variable_of_the_same_name(name: str) -> None:
    for command_flags, env in flags_of(commands()[name]):
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
    of_others = {
        "--admission-control-config-file",
        "--help",
        "--kube-version",
        "--platform",
        "--reuse-values",
        "--set",
        "--version",
    }
    known = {flag for command in commands().values() for names_of, _ in flags_of(command) for flag in names_of}
    named = {flag for page in PAGES for code in in_code(page.read_text()) for flag in re.findall(r"^(--[a-z-]+)", code)}
    assert named - of_others - known == set()


TYPED = re.compile(r"(?<![\w-])pullsecrets ([a-z]+)\b([^|>\n]*)")


def test_every_command_in_a_block_of_a_page_has_the_flags_that_it_requires() -> None:
    scripts = [block.replace("\\\n", "") for page in PAGES for block in blocks(page, "sh")]
    sessions = [block for page in PAGES for block in blocks(page, "console")]
    lines = [line for script in scripts for line in script.splitlines()]
    lines += [line for session in sessions for line in session.splitlines() if line[:2] == "$ "]
    typed = [(name, rest) for line in lines for name, rest in TYPED.findall(line) if name in commands()]
    assert {"plan", "check", "cleanup"} <= {name for name, _ in typed}
    for name, rest in typed:
        required = [flag for flag in commands()[name].params if flag.required and flag.opts[0].startswith("-")]
        missing = [flag.opts[0] for flag in required if not any(f"{opt} " in rest for opt in flag.opts)]
        assert (rest, missing) == (rest, [])


SHOWN = re.compile(r"get [\"']?secrets?\b(?:[^|>\n]*?)(?:-o|--output)[ =]?(?:yaml|json)\b(?![^\n]*[|>]).*")
"""A command that prints a whole Secret to the screen."""


def test_no_command_that_is_advised_prints_a_secret_to_the_screen() -> None:
    texts = [path for folder in ("webhook", "certs", "docs", "charts") for path in (PRODUCT / folder).rglob("*")]
    assert SHOWN.search("kubectl -n a get secret b -o yaml --show-managed-fields")
    assert not SHOWN.search("kubectl -n a get secret b -o yaml | sed s/b/c/")
    assert not SHOWN.search("kubectl -n a get secret b -o jsonpath='{.metadata.managedFields}'")
    suffixes = {".py", ".md", ".yaml", ".tpl", ".txt", ".json"}
    found = [path.name for path in texts if path.suffix in suffixes and SHOWN.search(path.read_text())]
    assert found == []
