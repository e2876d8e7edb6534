"""docs/configuration.md has the fields that the program reads, with the defaults and values that it takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import yaml

from tests.unit.documented import DOCS, ROOT, names, rows, section
from webhook.errors import ConfigurationInvalid
from webhook.files.configuration import API_VERSION, KIND, Node, parse
from webhook.rules.configuration import PodPolicy
from webhook.rules.labels import Operator

FIELDS = {cells[0].strip("`"): cells for cells in rows(section(DOCS / "configuration.md", "Fields"))}
EXAMPLE = (ROOT / "examples" / "configuration.yaml").read_text()
MEANS_ALL = {"all", "required"}
CONDITION = {"key": "tier", "operator": "Exists"}


def path_of(node: Node, name: str) -> str:
    return re.sub(r"\[\d+\]", "[]", f"{node.path}.{name}" if node.path else name)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, bool]:
    """The fields that the program knows of, as it reads the example; whether the example has each."""
    found: dict[str, bool] = {}
    fields = Node.fields

    def recorded(node: Node, known: Sequence[str]) -> Mapping[str, Node]:
        nodes = fields(node, known)
        for name, child in nodes.items():
            path = path_of(node, name)
            found[path] = found.get(path, False) or not child.absent
        return nodes

    monkeypatch.setattr(Node, "fields", recorded)
    parse(EXAMPLE, "configuration.yaml")
    return found


def test_the_documented_fields_are_those_that_the_program_reads(read: Mapping[str, bool]) -> None:
    only_of_others = {"optIn", "pullSecrets[].serviceAccounts"}
    assert set(FIELDS) == set(read) - only_of_others


def test_the_example_has_every_field(read: Mapping[str, bool]) -> None:
    assert [path for path, is_there in read.items() if not is_there] == []


def document(path: str, value: object, *, given: bool) -> str:
    """Return a document with what its fields require, and with the field at ``path`` only if it is given."""
    source: dict[str, Any] = {"secretName": "harbor"}
    condition: dict[str, Any] = dict(CONDITION)
    entry: dict[str, Any] = {"name": "pull", "sources": [source]}
    root: dict[str, Any] = {"apiVersion": API_VERSION, "kind": KIND, "pullSecrets": [entry]}
    if "matchExpressions[]" in path:
        entry["namespaceSelector"] = {"matchExpressions": [condition]}
    places: dict[str, dict[str, Any]] = {
        "": root,
        "pullSecrets[]": entry,
        "pullSecrets[].sources[]": source,
        "pullSecrets[].namespaceSelector.matchExpressions[]": condition,
    }
    parent, _, name = path.rpartition(".")
    place = places.get(parent)
    if place is None:
        above, _, last = parent.rpartition(".")
        place = places[above].setdefault(last, {})
    place.pop(name, None)
    if given:
        place[name] = value
    return yaml.safe_dump(root)


@pytest.mark.parametrize("path", [path for path, cells in FIELDS.items() if cells[2] not in MEANS_ALL])
def test_a_field_that_is_given_its_documented_default_is_as_if_it_were_not_given(path: str) -> None:
    default = yaml.safe_load(re.split(r"`", FIELDS[path][2])[1])
    assert parse(document(path, default, given=True), "x") == parse(document(path, None, given=False), "x")


@pytest.mark.parametrize("path", [path for path, cells in FIELDS.items() if cells[2] == "required"])
def test_a_field_that_is_documented_as_required_is(path: str) -> None:
    with pytest.raises(ConfigurationInvalid) as refused:
        parse(document(path, None, given=False), "x")
    assert f"{path.replace('[]', '[0]')}: is required" in str(refused.value)


@pytest.mark.parametrize(
    ("path", "column", "values"),
    [
        ("apiVersion", 3, {API_VERSION}),
        ("kind", 3, {KIND}),
        ("pullSecrets[].pods", 1, set(PodPolicy)),
        ("pullSecrets[].namespaceSelector.matchExpressions[].operator", 3, set(Operator)),
    ],
)
def test_the_documented_values_are_those_that_it_takes(path: str, column: int, values: set[str]) -> None:
    assert names(FIELDS[path][column]) == values
