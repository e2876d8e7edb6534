"""docs/rights.md and docs/configuration.md say what the chart and the program do."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.chart.declared import values
from tests.chart.rendered import FULLNAME, NAMESPACE, SAMPLE, render
from tests.chart.valuesets import VALUE_SETS
from tests.cluster.helm import CHART
from tests.unit.documented import DOCS, PAGES, in_code, section
from webhook.errors import ConfigurationInvalid
from webhook.files.configuration import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIGURATION_VALUES = ("optIn", "excludedNamespaces", "pullSecrets", "retired")
FIXED_FIELDS = {"apiVersion", "kind"}
NAMED_BY_VALUES = {
    "pullSecrets[].name": ["registry-credentials", "vendor-credentials"],
    "pullSecrets[].sources[].secretName": ["harbor", "ghcr"],
    "retired[]": ["old-credentials"],
}


def rows(markdown: str) -> Iterator[list[str]]:
    """Yield the cells of each row of each table, without the head."""
    for table in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        for line in table.splitlines()[2:]:
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def documented_rights(component: str) -> list[tuple[str | None, dict[str, Any]]]:
    rights = []
    for where, group, resource, names, verbs, reason in rows(section(DOCS / "rights.md", component)):
        assert reason
        rule: dict[str, Any] = {"apiGroups": ["" if group == "core" else group], "resources": [resource]}
        if names != "any":
            rule["resourceNames"] = list(resource_names(names))
        rights.append((None if where == "cluster" else NAMESPACE, rule | {"verbs": verbs.split(", ")}))
    return sorted(rights, key=repr)


def resource_names(cell: str) -> Iterator[str]:
    for name in cell.replace("`", "").split(", "):
        yield from NAMED_BY_VALUES.get(name, [name.replace("<fullname>", FULLNAME)])


@pytest.mark.parametrize("component", ["webhook", "sync", "cleanup"])
def test_the_documented_rights_are_the_rendered_rights(component: str) -> None:
    assert documented_rights(component) == render(SAMPLE).rights(component)


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


def test_every_value_that_a_page_names_is_one_of_the_chart() -> None:
    known = {path for value in values() for path in with_parents(value.path)}
    value = rf"(?<![\w./-])(?:{'|'.join(path for path in known if '.' not in path)})(?:\.\w+)+(?![\w/(\[-])"
    named = {
        (page.name, path)
        for page in PAGES
        for code in in_code(page.read_text())
        for path in re.findall(value, code)
        if path not in known
    }
    assert named == set()


def with_parents(path: str) -> Iterator[str]:
    names = path.split(".")
    for end in range(1, len(names) + 1):
        yield ".".join(names[:end])


def fields(schema: dict[str, Any], definitions: dict[str, Any], path: str) -> Iterator[str]:
    """Yield the path of every field below ``path``; a mapping that is never set as a whole has none of its own."""
    schema = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    properties = schema.get("properties", {})
    if path not in {"optIn", "pullSecrets[]", "pullSecrets[].sources[]", "pullSecrets[].serviceAccounts"}:
        yield path
    for name, field in properties.items():
        yield from fields(field, definitions, f"{path}.{name}")
    items = schema.get("items", {})
    if "properties" in items or items.get("$ref", "").endswith("pullSecret"):
        yield from (found for found in fields(items, definitions, f"{path}[]") if found != f"{path}[]")


def test_every_field_of_the_configuration_is_documented_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    known = {
        path
        for name in CONFIGURATION_VALUES
        for path in fields(schema["properties"][name], schema["definitions"], name)
    }
    documented = [cells[0].strip("`") for cells in rows((DOCS / "configuration.md").read_text())]
    assert sorted(documented) == sorted(known | FIXED_FIELDS)


def test_the_documented_mistakes_are_answered_as_documented() -> None:
    text = (DOCS / "configuration.md").read_text()
    (document,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (answer,) = re.findall(r"```text\n(.*?)\n```", text, re.DOTALL)
    with pytest.raises(ConfigurationInvalid) as refused:
        parse(document, "configuration.yaml")
    assert str(refused.value) == answer
