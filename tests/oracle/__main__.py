"""``python -m tests.oracle``: renew the verdicts in ``tests/unit/rules/kubelet_verdicts.json``."""

from __future__ import annotations

import json
from typing import Any

from tests.oracle.program import HERE, ask

VERDICTS = HERE.parent / "unit" / "rules" / "kubelet_verdicts.json"


def main() -> None:
    """Ask about each case in the file, and write the file again."""
    cases = json.loads(VERDICTS.read_text())
    VERDICTS.write_text(_lines({"references": ask(cases["references"]), "keyring": ask(cases["keyring"])}))


def _lines(tables: dict[str, list[dict[str, Any]]]) -> str:
    """Return a JSON document with one case on a line."""
    rows = {name: ",\n".join(json.dumps(case) for case in cases) for name, cases in tables.items()}
    return "{\n" + ",\n".join(f"{json.dumps(name)}: [\n{text}\n]" for name, text in rows.items()) + "\n}\n"


if __name__ == "__main__":
    main()
