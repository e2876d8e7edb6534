"""Parse durations of flags, and check that the lifetimes of certificates fit together."""

from __future__ import annotations

import re
from datetime import timedelta

from certs.lifetimes import Lifetimes
from webhook.errors import UsageError

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"([0-9]{1,6})(ms|[dhms])")

SHORTEST = timedelta(seconds=3)
"""A certificate has times in whole seconds, so a third of a shorter lifetime would be less than a second."""

LONGEST = timedelta(days=3650)

SETTLING_SHARE = 4
"""A new authority settles for at most a quarter of a certificate's lifetime. When settling begins, the previous
authority's certificate may have just a third of its lifetime left.
"""


def parse_duration(text: str, flag: str) -> timedelta:
    """Return a duration such as ``365d``, ``1h30m``, ``90s`` or ``500ms``. Raises UsageError for other text."""
    parts = _PART.findall(text)
    if not parts or "".join(map("".join, parts)) != text:
        raise UsageError(f"{flag} {text} is not a duration: write it like 365d, 1h30m or 90s")
    return timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in parts))


def parse_lifetimes(authority: str, leaf: str, settling: str) -> Lifetimes:
    """Return the three lifetimes of the flags. Raises UsageError if they do not fit together."""
    lifetimes = Lifetimes(
        parse_duration(authority, "--ca-lifetime"),
        parse_duration(leaf, "--tls-lifetime"),
        parse_duration(settling, "--ca-settle"),
    )
    if lifetimes.leaf > lifetimes.authority:
        raise UsageError(
            f"--tls-lifetime {leaf} is longer than --ca-lifetime {authority}, but a certificate cannot outlive its CA: "
            f"give --tls-lifetime {authority} or less"
        )
    if lifetimes.leaf < SHORTEST:
        raise UsageError(f"--tls-lifetime {leaf} is too short to renew in time: give at least {SHORTEST.seconds}s")
    if lifetimes.authority > LONGEST:
        raise UsageError(f"--ca-lifetime {authority} is too long: give at most {LONGEST.days}d")
    if lifetimes.settling * SETTLING_SHARE > lifetimes.leaf:
        raise UsageError(
            f"--ca-settle {settling} is more than a quarter of --tls-lifetime {leaf}: "
            "the certificate in service could expire while a new authority settles; give a shorter --ca-settle"
        )
    return lifetimes
