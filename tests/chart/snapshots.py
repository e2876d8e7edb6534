"""What the chart renders from the values that matter, kept in files: a change of the chart shows what it changes.

``python -m tests.chart.snapshots`` writes them.
"""

from __future__ import annotations

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
    """Return what one of the `VALUE_SETS` renders: of `BASE` everything, of another what is not the same there."""
    objects = _objects(name)
    if name == BASE:
        return "".join(map(_document, objects.values()))
    base = _objects(BASE)
    absent = [f"# not there: {kind} {called}\n" for kind, called in base if (kind, called) not in objects]
    return "".join([*absent, *(_document(item) for key, item in objects.items() if base.get(key) != item)])


def _objects(name: str) -> dict[tuple[str, str], dict[str, Any]]:
    rendered = map(_shortened, render(VALUE_SETS[name]).objects)
    found = {(item["kind"], item["metadata"]["name"]): item for item in rendered}
    return dict(sorted(found.items()))


def _shortened(item: dict[str, Any]) -> dict[str, Any]:
    """Return an object without the text of the dashboard, which is a file of the chart."""
    dashboards = {key: "as in files/dashboard.json" for key in item.get("data", {}) if key.endswith("webhook.json")}
    return {**item, "data": {**item["data"], **dashboards}} if dashboards else item


def _document(item: dict[str, Any]) -> str:
    return f"---\n{yaml.dump(item, Dumper=_Dumper, width=120)}"


def main() -> None:
    """Write every snapshot, and remove those of values that are no more."""
    FOLDER.mkdir(exist_ok=True)
    for file in FOLDER.iterdir():
        if file.stem not in VALUE_SETS:
            file.unlink()
    for name in VALUE_SETS:
        (FOLDER / f"{name}.yaml").write_text(snapshot(name))


if __name__ == "__main__":
    main()
