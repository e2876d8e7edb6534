"""The files with the results of benchmarks, ``results/<name>.json``."""

from __future__ import annotations

import json
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def save(name: str, value: object) -> Path:
    """Write what a benchmark measured, dictionaries and lists of them, and return the path of the file."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps(value, indent=2) + "\n")
    return file
