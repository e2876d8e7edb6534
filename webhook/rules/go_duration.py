"""Read durations as Go writes them: ``12h0m0s``, ``1.5h``, ``300ms``.

Source: Go 1.26, time.ParseDuration, which metav1.Duration of Kubernetes uses.
"""

from __future__ import annotations

import re

_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_TEXT = 100
_LARGEST = float(2**63) / 1e9
"""Seconds that Go's 64 bits of nanoseconds hold."""


def parse_go_duration(text: str) -> float | None:
    """Return the seconds of a duration, which can be negative; None for text that Go refuses."""
    if len(text) > _LONGEST_TEXT:
        return None
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    if unsigned == "0":
        return 0.0
    parts = _PART.findall(unsigned)
    if not parts or "".join(number + unit for number, unit in parts) != unsigned:
        return None
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if seconds >= _LARGEST:
        return None
    return -seconds if text.startswith("-") else seconds
