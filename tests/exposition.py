"""Reading the text that Prometheus reads."""

from __future__ import annotations


def series(text: str) -> dict[str, float]:
    """Return the value of each series, by name and labels as they are written."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found
