"""Decide when to slow down because another writer keeps reverting our writes.

A removed or changed object is restored immediately, because it was usually a mistake. If the same change is reverted
repeatedly, another controller is probably fighting us, and both would write as fast as they can. So after some reverts
in a row an object is restored only occasionally, until a write stays unchanged for a while.
"""

from __future__ import annotations

from dataclasses import dataclass

CALM_SECONDS = 120.0
"""A write that stayed for this long counts as accepted. It is longer than any pause, so that a pause alone does not
count.
"""


@dataclass(frozen=True, slots=True)
class Patience:
    """The number of reverts in a row that are answered immediately; after them, one write in ``seconds``."""

    undoings: int
    seconds: float


REFERENCES = Patience(5, 60.0)
"""For a ServiceAccount: one write a minute."""

COPIES = Patience(5, 3.0)
"""For a copy: more often, because existing Pods pull with it."""


@dataclass(frozen=True, slots=True)
class Written:
    """The last content written to one object, its time, and the number of reverts in a row before it."""

    what: frozenset[str]
    at: float
    undone: int = 0


def written(before: Written | None, what: frozenset[str], now: float, *, keeps: bool) -> Written:
    """Return the record of an object after ``what`` has been written to it.

    ``keeps`` is true if earlier content must stay as well: references stay beside others, while the content of a copy
    replaces the previous one. Content that is written again has been reverted.
    """
    if before is None or now - before.at >= CALM_SECONDS:
        return Written(what, now)
    undone = before.undone + (not what.isdisjoint(before.what))
    return Written(before.what | what if keeps else what, now, undone)


def wait(before: Written | None, now: float, patience: Patience) -> float:
    """Return the seconds until an object may be written; 0 if it may be written now."""
    if before is None or not is_contended(before, now, patience):
        return 0.0
    return max(0.0, before.at + patience.seconds - now)


def is_contended(record: Written, now: float, patience: Patience) -> bool:
    """Return whether another writer keeps reverting our writes to an object."""
    return record.undone >= patience.undoings and now - record.at < CALM_SECONDS
