"""What the chart renders from the values that matter, kept in files: a change of the chart shows what it changes.

``python -m tests.chart.snapshots`` writes them.
"""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path
from typing import Any

import yaml

from tests.chart.rendered import render
from tests.chart.valuesets import VALUE_SETS

FOLDER = Path(__file__).parent / "snapshots"
BASE = "sample"


class _Dumper(yaml.SafeDumper):
    """Text of several lines as it is read, lists indented."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT002 (as overridden)
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 (as overridden)
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def snapshot(name: str) -> str:
    """Return what one of the `VALUE_SETS` renders: of `BASE` everything, of another the differences from it."""
    objects = _objects(name)
    if name == BASE:
        return "".join(map(_document, objects.values()))
    base = _objects(BASE)
    absent = [f"# not there: {kind} {called}\n" for kind, called in base if (kind, called) not in objects]
    changed = [(key, item) for key, item in objects.items() if base.get(key) != item]
    return "".join(
        [*absent, *(_difference(base[key], item) if key in base else _document(item) for key, item in changed)]
    )


def file(name: str) -> Path:
    """Return the file of a snapshot."""
    return FOLDER / f"{name}.{'yaml' if name == BASE else 'diff'}"


def _objects(name: str) -> dict[tuple[str, str], dict[str, Any]]:
    rendered = map(_shortened, render(VALUE_SETS[name]).objects)
    found = {(item["kind"], item["metadata"]["name"]): item for item in rendered}
    return dict(sorted(found.items()))


def _shortened(item: dict[str, Any]) -> dict[str, Any]:
    """Return an object without the text of the dashboard, which is a file of the chart."""
    dashboards = {key: "as in files/dashboard.json" for key in item.get("data", {}) if key.endswith("webhook.json")}
    return {**item, "data": {**item["data"], **dashboards}} if dashboards else item


def _difference(base: dict[str, Any], item: dict[str, Any]) -> str:
    """Return what makes an object of the base another one. Places are shown by a line of context, without numbers."""
    lines = list(unified_diff(_document(base).splitlines(), _document(item).splitlines(), n=1, lineterm=""))[2:]
    shown = [("@@" if line.startswith("@@") else line) + "\n" for line in lines]
    return f"--- {item['kind']} {item['metadata']['name']}\n{''.join(shown)}"


def _document(item: dict[str, Any]) -> str:
    return f"---\n{yaml.dump(item, Dumper=_Dumper, width=120)}"


def main() -> None:
    """Write every snapshot, and remove those of values that are no more."""
    FOLDER.mkdir(exist_ok=True)
    for old in set(FOLDER.iterdir()) - set(map(file, VALUE_SETS)):
        old.unlink()
    for name in VALUE_SETS:
        file(name).write_text(snapshot(name))


if __name__ == "__main__":
    main()
