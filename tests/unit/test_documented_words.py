"""Codes, Events and other words that a person may meet are documented, and no others."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.unit.documented import DOCS, PAGES, PRODUCT, names, rows, section
from tools.tables import metrics_of, roles, texts
from webhook.inspect.checks.codes import CODES, link
from webhook.kube.webhook_configuration import MODE_ANNOTATION
from webhook.ops.metrics import ProcessMetrics
from webhook.report.explain import step
from webhook.report.preview import row
from webhook.rules.brake import CONFIRM_ANNOTATION
from webhook.rules.configuration import DECLINE_ANNOTATION, DEFAULT_OPT_IN_LABEL
from webhook.rules.copy_metadata import KEYS_ANNOTATION
from webhook.rules.expiry import EXPIRES_ANNOTATION, ISSUED_ANNOTATION
from webhook.rules.gates import GATES
from webhook.rules.ownership import NAMESPACE_UID_LABEL, RELEASE_LABEL, RELEASE_NAMESPACE_LABEL
from webhook.rules.renewing import ISSUED_BY_LABEL, ISSUED_FOR, RENEW, RENEWED
from webhook.rules.rollout import PRIORITY_LABEL, REQUEST_ANNOTATION
from webhook.rules.versions import REVISION_ANNOTATION, SOURCES_ANNOTATION


def test_every_check_has_a_section_and_no_other_has() -> None:
    headings = re.findall(r"^## (PSW\d+): (.+)$", (DOCS / "check.md").read_text(), re.MULTILINE)
    assert headings == [(code, found.title) for code, found in CODES.items()]


@pytest.mark.parametrize("code", CODES)
def test_the_section_of_a_check_has_the_words_that_the_command_prints(code: str) -> None:
    page, found = (DOCS / "check.md").read_text(), CODES[code]
    (section_of,) = [each for each in re.split(r"^## ", page, flags=re.MULTILINE) if each.startswith(f"{code}:")]
    text = " ".join(re.sub(r"\[(.*?)\]\(.*?\)", r"\1", section_of, flags=re.DOTALL).split())
    # A section may say more after the advice, and before it about special cases.
    assert text.startswith(f"{code}: {found.title} {found.meaning} **What to do:** {found.advice}")
    assert f"](#{link(code).partition('#')[2]})" in page


# Labels and annotations


def test_the_documented_labels_and_annotations_are_those_that_there_are() -> None:
    text = "".join(page.read_text() for page in PAGES)
    documented = set(re.findall(r"(?<![\w.])pullsecrets\.webhook/[a-z-]*[a-z](?!\w)", text))
    ours = {DEFAULT_OPT_IN_LABEL, DECLINE_ANNOTATION, RELEASE_LABEL, RELEASE_NAMESPACE_LABEL, MODE_ANNOTATION}
    ours |= {ISSUED_BY_LABEL, ISSUED_FOR, RENEW, RENEWED, EXPIRES_ANNOTATION, ISSUED_ANNOTATION}
    ours |= {NAMESPACE_UID_LABEL, CONFIRM_ANNOTATION, REVISION_ANNOTATION, SOURCES_ANNOTATION}
    ours |= {REQUEST_ANNOTATION, PRIORITY_LABEL, KEYS_ANNOTATION}
    assert documented == ours


# Metrics


def test_the_metrics_of_the_process_are_documented_where_there_are_any() -> None:
    documented = set(re.findall(r"^\| `(process_\w+)` ", (DOCS / "metrics.md").read_text(), re.MULTILINE))
    families = [family for family in ProcessMetrics().registry.collect() if family.name.startswith("process_")]
    exported = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    assert exported <= documented


def test_the_documented_actions_are_those_that_the_executor_counts() -> None:
    (meaning,) = (cells[3] for cells in rows(section(DOCS / "metrics.md", "sync")) if "sync_writes" in cells[0])
    words = {"copy", "references"}
    counted = {text for text in texts(PRODUCT / "webhook/sync/writes.py") if re.fullmatch(r"\w+ \w+ed", text)}
    assert {name for name in names(meaning) if name.split()[0] in words} == counted - {"copy applied"}


def test_every_metric_that_a_page_names_is_there() -> None:
    known = {name for role in roles().values() for name in metrics_of(role)}
    named = {name for page in PAGES for name in re.findall(r"\bpullsecrets_\w+", page.read_text())}
    assert {re.sub(r"_(?:bucket|sum|count)$", "", name) for name in named} - known == set()


# Results


def results(page: str, heading: str) -> set[str]:
    return {word for cells in rows(section(DOCS / page, heading)) for word in names(cells[0])}


def test_the_documented_results_of_plan_are_those_that_it_prints() -> None:
    references = {"+ name", "- name"}
    assert results("plan.md", "Reading the result") == {*row.RESULTS.values(), *references}
    assert set(row.RESULTS) == set(row.Effect) - {row.Effect.REFERENCES}


def gates_of_explain() -> Iterator[str]:
    """Yield the gates that the code names: where a step is made, and in the tables of gates."""
    yield from (gate.name for gate in GATES)
    for module in (PRODUCT / "webhook/report/explain").glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            match node:
                case ast.Call(func=ast.Name(id="Step" | "_step"), args=[ast.Constant(value=str(name)), *_]):
                    yield name
                case ast.Assign(targets=[ast.Name(id=variable)], value=ast.Constant(value=str(name))) if (
                    variable == "gate" or variable.endswith("_GATE")
                ):
                    yield name


def test_the_documented_gates_are_those_that_explain_prints() -> None:
    assert results("explain.md", "The gates") == set(gates_of_explain())


def test_the_documented_verdicts_are_those_that_explain_prints() -> None:
    assert results("explain.md", "Results") == set(step.RESULTS.values())
