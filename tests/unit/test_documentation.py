"""What the documentation tells a person to type is there, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.unit.documented import DOCS, FENCE, PAGES, PRODUCT, ROOT, blocks, in_code, section
from tests.unit.test_language import ENDS, FIRST, OLD_WORDS
from webhook.cli import main
from webhook.files.configuration import API_VERSION, KIND, parse

README = ROOT / "README.md"
LINK = re.compile(r"\]\(([^)\s]+)\)")
TARGET = re.compile(r"^([a-z0-9-]+):.*## ", re.MULTILINE)

HISTORY = "CHANGELOG"
"""Old entries keep the words of their time."""

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


# What a person types


def test_every_make_target_in_the_documentation_exists() -> None:
    targets = set(TARGET.findall((ROOT / "Makefile").read_text()))
    named = {
        target
        for page in PAGES
        for code in in_code(page.read_text())
        for target in re.findall(r"(?:^|\s)make ([a-z0-9-]+)", code)
    }
    assert named <= targets


def test_the_maps_of_the_code_name_what_the_files_define() -> None:
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("### Map of rules")[2].partition("\n## ")[0]
    for row in section.splitlines():
        for part in row.split(";"):
            names = re.findall(r"`(\w+)`", part)
            for file in re.findall(r"(?:webhook|certs)/[\w/]+\.py", part):
                words = set(re.findall(r"\w+", (PRODUCT / file).read_text()))
                assert names, row
                assert words.issuperset(names), f"{file} does not have {names}"


def test_trying_it_from_source_begins_with_the_two_commands() -> None:
    blocks_of_section = FENCE.findall(section(README, "Try it from source"))
    commands_first = [line for line in blocks_of_section[0].splitlines() if line.startswith("make ")]
    assert [" ".join(line.split("#")[0].split()) for line in commands_first] == ["make run ONCE=1", "make test"]


def test_the_three_commands_of_the_readme_are_those_of_the_quickstart_which_the_e2e_runs() -> None:
    _variables, *commands = blocks(README, "sh")
    assert commands[:3] == blocks(DOCS / "quickstart.md", "sh")[3:6]
    assert [command.split()[0] for command in commands[:3]] == ["helm", "kubectl", "kubectl"]


@every_page
def test_no_page_passes_a_password_by_set(page: Path) -> None:
    commands = "".join(block for language in ("sh", "console") for block in blocks(page, language))
    assert not re.search(r"--set[ =]\S*[Pp]assword", commands)


def test_the_plan_in_the_readme_is_what_plan_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (shown,) = (block for block in FENCE.findall(README.read_text()) if "pullsecrets plan" in block)
    command, *expected = shown.splitlines()[1:-1]
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("PULLSECRETS_NAMESPACE", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(command.partition("pullsecrets ")[2].split())
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert (printed.out + printed.err).splitlines() == expected


def test_the_values_in_the_readme_are_a_valid_configuration() -> None:
    (values,) = (block for block in FENCE.findall(README.read_text()) if block.startswith("```yaml"))
    loaded = yaml.safe_load("\n".join(values.splitlines()[1:-1]))
    document = {"apiVersion": API_VERSION, "kind": KIND, "pullSecrets": loaded["pullSecrets"]}
    assert parse(yaml.safe_dump(document), "README.md").pull_secrets


# Pages


@every_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@every_page
def test_no_page_names_a_path_of_one_machine(page: Path) -> None:
    text = page.read_text()
    for own in (ROOT, Path.home()):
        assert not re.search(rf"(?<![\w.~/-]){re.escape(str(own))}(?![\w-])", text)
    assert not re.search(r"(?<![\w.~/-])/(?:home|Users)/", text)


# Plain English


def sentences(markdown: str) -> list[str]:
    """Return the sentences outside of code: of paragraphs, headings, list items and table cells."""
    text = re.sub(r"^ *```.*?^ *```$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    units = re.split(r"\n\s*\n|\n(?=#+ |\s*[-*] |\s*\d+\. |\|)|(?<!\\)\|", text)
    plain = (re.sub(r"^(?:#+|[-*]|\d+\.) ", "", " ".join(unit.split())) for unit in units)
    return [sentence for unit in plain for sentence in ENDS.split(unit)]


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != HISTORY], ids=lambda page: page.stem)
def test_sentences_of_a_page_begin_with_their_subject_and_use_words_of_today(page: Path) -> None:
    found = [
        sentence
        for sentence in sentences(page.read_text())
        if OLD_WORDS.search(sentence) or (FIRST.match(sentence) and not sentence.endswith("?"))
    ]
    assert found == []


def test_a_heading_and_a_cell_that_are_not_plain_are_found() -> None:
    markdown = "## What is there\n\nIt works. Which one is told\nbelow.\n\n| a | whoever asks |\n|---|---|\n"
    assert [sentence for sentence in sentences(markdown) if FIRST.match(sentence) or OLD_WORDS.search(sentence)] == [
        *("What is there", "Which one is told below.", "whoever asks")
    ]
