"""The tables of values in the chart's README, made from the comments in values.yaml.

``python -m tests.chart.readme`` writes them, with ``--check`` it only says whether they are up to date.
"""

from __future__ import annotations

import json
import sys
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tests.chart.declared import values
from tests.cluster.helm import CHART

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.chart.declared import Value

README = CHART / "README.md"
BEGIN = "<!-- From here on: made by `make fix` from the comments in values.yaml. -->"
GENERAL = "General"

_WIDEST_DEFAULT = 60
_SPELLED_OUT = "see [values.yaml](values.yaml)"


def written(text: str) -> str:
    """Return the README with the tables that belong into it."""
    head, marker, _ = text.partition(BEGIN)
    if not marker:
        raise ValueError(f"the README of the chart has lost the line that the tables begin after: {BEGIN}")
    return head + "\n\n".join([BEGIN, *_sections()]) + "\n"


def _sections() -> Iterable[str]:
    declared = sorted(values(), key=lambda value: _section(value) != GENERAL)
    for heading, group in groupby(declared, _section):
        rows = [f"| `{value.path}` | {_shown(value.default)} | {_cell(value.meaning)} |" for value in group]
        yield "\n".join([f"### {heading}\n", "| value | default | meaning |", "|---|---|---|", *rows])


def _section(value: Value) -> str:
    section, _, rest = value.path.partition(".")
    return section if rest else GENERAL


def _shown(default: Any) -> str:  # noqa: ANN401 (a value is any JSON)
    text = json.dumps(default, ensure_ascii=False)
    return f"`{text}`" if len(text) <= _WIDEST_DEFAULT else _SPELLED_OUT


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: list[str]) -> int:
    """Write the tables, or compare; 1 when they differ."""
    text = README.read_text()
    if (wanted := written(text)) == text:
        return 0
    if arguments == ["--check"]:
        print(f"{README} does not say what values.yaml does: run `make fix`", file=sys.stderr)
        return 1
    README.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
