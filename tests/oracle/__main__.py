"""``python -m tests.oracle``: renew the verdicts in ``tests/unit/core/kubelet_verdicts.json``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MODULE = HERE.parent / "cluster" / "binary"
"""Its module graph has the kubelet's packages, each at the version that the tests' cluster runs."""

VERDICTS = HERE.parent / "unit" / "core" / "kubelet_verdicts.json"


def main() -> None:
    """Ask about each case in the file, and write the file anew."""
    cases = json.loads(VERDICTS.read_text())
    VERDICTS.write_text(_lines({"references": ask(cases["references"]), "keyring": ask(cases["keyring"])}))


def ask(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the cases with the kubelet's verdicts."""
    with tempfile.TemporaryDirectory() as folder:
        for file in (HERE / "main.go", MODULE / "go.mod", MODULE / "go.sum"):
            shutil.copy(file, folder)
        done = subprocess.run(
            ["go", "run", "-mod=mod", "."],
            cwd=folder,
            env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"},
            input="\n".join(json.dumps(case) for case in cases),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return [json.loads(line) for line in done.stdout.splitlines()]


def _lines(tables: dict[str, list[dict[str, Any]]]) -> str:
    """Return a JSON document with one case on a line."""
    rows = {name: ",\n".join(json.dumps(case) for case in cases) for name, cases in tables.items()}
    return "{\n" + ",\n".join(f"{json.dumps(name)}: [\n{text}\n]" for name, text in rows.items()) + "\n}\n"


if __name__ == "__main__":
    main()
