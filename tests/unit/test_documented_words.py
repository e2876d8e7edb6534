"""Codes, Events and other words that a person may meet are documented, and no others."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from tests.unit.documented import DOCS, PAGES, ROOT, first_column, names, rows, section, texts
from webhook.cli.render import _RESULTS
from webhook.inspect.checks.codes import TITLES
from webhook.inspect.checks.result import State
from webhook.inspect.webhooks import MODE_ANNOTATION
from webhook.report.coverage import Exposure
from webhook.report.explain.step import Verdict
from webhook.report.preview.row import Effect
from webhook.rules.brake import CONFIRM_ANNOTATION
from webhook.rules.configuration import DECLINE_ANNOTATION, DEFAULT_OPT_IN_LABEL
from webhook.rules.gates import GATES
from webhook.rules.ownership import NAMESPACE_UID_LABEL, RELEASE_LABEL, RELEASE_NAMESPACE_LABEL
from webhook.rules.versions import REVISION_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Iterator

CAMEL_CASE = re.compile(r"([A-Z][a-z]+){2,}")


def test_every_check_has_a_section_and_no_other_has() -> None:
    headings = re.findall(r"^## (PSW\d+): (.+)$", (DOCS / "check.md").read_text(), re.MULTILINE)
    assert headings == list(TITLES.items())


def test_every_section_of_a_check_says_what_to_do() -> None:
    sections = re.split(r"^## ", (DOCS / "check.md").read_text(), flags=re.MULTILINE)
    for text in sections:
        if text.startswith("PSW"):
            assert "\n**What to do:** " in text, text


def test_the_documented_events_are_those_that_sync_writes() -> None:
    modules = (ROOT / "webhook/sync").glob("*.py")
    written = {text for module in modules for text in texts(module) if CAMEL_CASE.fullmatch(text)}
    assert set(first_column("sync.md", "Events")) == written


# Labels and annotations


def test_the_documented_labels_and_annotations_are_those_that_there_are() -> None:
    text = "".join(page.read_text() for page in PAGES)
    documented = set(re.findall(r"(?<![\w.])pullsecrets\.webhook/[a-z-]*[a-z](?!\w)", text))
    ours = {DEFAULT_OPT_IN_LABEL, DECLINE_ANNOTATION, RELEASE_LABEL, RELEASE_NAMESPACE_LABEL, MODE_ANNOTATION}
    ours |= {NAMESPACE_UID_LABEL, CONFIRM_ANNOTATION, REVISION_ANNOTATION}
    assert documented == ours


# Results


def results(page: str, heading: str) -> set[str]:
    return {word for cells in rows(section(DOCS / page, heading)) for word in names(cells[0])}


def test_the_documented_results_of_plan_are_those_that_it_prints() -> None:
    references = {"+ name", "- name"}
    assert results("plan.md", "Reading the result") == {*_RESULTS.values(), *references}
    assert set(_RESULTS) == set(Effect) - {Effect.REFERENCES}


def test_the_documented_effects_of_plan_for_programs_are_those_that_there_are() -> None:
    (sentence,) = re.findall(r"`effect` is (.*?)\.", section(DOCS / "plan.md", "Output for programs"), re.DOTALL)
    assert names(sentence) == set(Effect)


def test_the_documented_results_of_check_are_those_that_it_prints() -> None:
    assert results("check.md", "Reading the result") == set(State)


def test_the_documented_results_of_coverage_are_those_that_it_prints() -> None:
    assert {cells[0].strip("`") for cells in rows((DOCS / "coverage.md").read_text())} == set(Exposure)


def gates_of_explain() -> Iterator[str]:
    """Yield the gates that the code names: where a step is made, and in the tables of gates."""
    yield from (gate.name for gate in GATES)
    for module in (ROOT / "webhook/report/explain").glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            match node:
                case ast.Call(func=ast.Name(id="Step" | "_step"), args=[ast.Constant(value=str(name)), *_]):
                    yield name
                case ast.Assign(targets=[ast.Name(id="gate")], value=ast.Constant(value=str(name))):
                    yield name


def test_the_documented_gates_are_those_that_explain_prints() -> None:
    assert results("explain.md", "The gates") == set(gates_of_explain())


def test_the_documented_verdicts_are_those_that_explain_prints() -> None:
    (sentence,) = re.findall(r"in order: (.*?),\s+with", (DOCS / "explain.md").read_text())
    assert set(re.findall(r"[A-Z]+|(?<=`).(?=`)", sentence)) == set(Verdict)
