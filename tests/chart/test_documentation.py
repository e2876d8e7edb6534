"""docs/rights.md and docs/configuration.md say what the chart and the program do."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.chart.declared import values
from tests.chart.rendered import FULLNAME, SAMPLE, render
from tests.chart.valuesets import VALUE_SETS
from tests.unit.documented import DOCS, PAGES, in_code, section
from webhook.errors import ConfigurationInvalid
from webhook.files.configuration import parse

PARTS = {"webhook.failurePolicy.pods", "webhook.failurePolicy.serviceAccounts"} | {
    f"{component}.resources.{bound}.{resource}"
    for component in ("webhook", "sync", "cleanup")
    for bound in ("requests", "limits")
    for resource in ("cpu", "memory")
}
"""Parts of values that are set as a whole."""


def rows(markdown: str) -> Iterator[list[str]]:
    """Yield the cells of each row of each table, without the head."""
    for table in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        for line in table.splitlines()[2:]:
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def what_is_installed() -> tuple[str, set[str]]:
    """Return what the page about the chart says of it, and the kinds that any values render."""
    installed = section(DOCS / "chart.md", "Installed objects")
    return installed, {item["kind"] for values in VALUE_SETS.values() for item in render(values).objects}


def test_every_kind_that_the_page_about_the_chart_names_is_installed() -> None:
    installed, kinds = what_is_installed()
    named = {word for cells in rows(installed) for word in re.findall(r"\b[A-Z]\w+", re.sub(r"`[^`]*`", "", cells[0]))}
    singular = {re.sub(r"ies$", "y", word).removesuffix("s") for word in named}
    assert singular - kinds == set()


def test_every_kind_that_is_installed_is_on_the_page_about_the_chart() -> None:
    installed, kinds = what_is_installed()
    named = set(re.findall(r"[A-Z][A-Za-z]+", installed))
    one_of_many = {kind: {kind, f"{kind}s", f"{kind.removesuffix('y')}ies"} for kind in kinds if "Binding" not in kind}
    assert [kind for kind, words in one_of_many.items() if not words & named] == []


def test_every_policy_of_the_guard_is_in_the_page_about_rights_and_in_that_about_the_chart() -> None:
    kind = "ValidatingAdmissionPolicy"
    value_sets = [*VALUE_SETS.values(), {**SAMPLE, "healing": {"enabled": True}}]
    names = {item["metadata"]["name"] for values in value_sets for item in render(values).of_kind(kind)}
    policies = {name.replace(FULLNAME, "<fullname>") for name in names if FULLNAME in name}
    assert len(policies) == 8
    table = {cells[0].strip("` ") for cells in rows((DOCS / "rights.md").read_text())}
    assert policies - table == set()
    assert {name for name in policies if f"`{name}`" not in (DOCS / "chart.md").read_text()} == set()


def test_every_value_that_a_page_names_is_one_of_the_chart() -> None:
    known = {path for value in values() for path in with_parents(value.path)} | PARTS
    value = rf"(?<![\w./-])(?:{'|'.join(path for path in known if '.' not in path)})(?:\.\w+)+(?![\w/(\[-])"
    named = {
        (page.name, path)
        for page in PAGES
        for code in in_code(page.read_text())
        for path in re.findall(value, code)
        if path not in known and ".k8s" not in path  # a label or an API group
    }
    assert named == set()


def with_parents(path: str) -> Iterator[str]:
    names = path.split(".")
    for end in range(1, len(names) + 1):
        yield ".".join(names[:end])


def test_the_documented_mistakes_are_answered_as_documented() -> None:
    text = (DOCS / "configuration.md").read_text()
    (document,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (answer,) = re.findall(r"```text\n(.*?)\n```", text, re.DOTALL)
    with pytest.raises(ConfigurationInvalid) as refused:
        parse(document, "configuration.yaml")
    assert str(refused.value) == answer
