"""When to give way to somebody who keeps undoing what is written.

What was removed or changed is put back at once: most of the time it was a mistake. Who undoes it again and again is
another controller, and two controllers that fight write as fast as they can. So after some undoings in a row an object
is put back only once in a while, until what was written has been left in peace.
"""

from __future__ import annotations

from dataclasses import dataclass

CALM_SECONDS = 120.0
"""What has stayed for so long counts as accepted: longer than any pause here, so that a pause alone is no peace."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How much undoing is answered at once: so many times in a row, then once in ``seconds``."""

    undoings: int
    seconds: float


REFERENCES = Patience(5, 60.0)
"""Of a ServiceAccount: one write a minute."""

COPIES = Patience(5, 3.0)
"""Of a copy: more often, because Pods that exist already pull with it."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was last written into one object, when, and how many times in a row it had been undone by then."""

    what: frozenset[str]
    at: float
    undone: int = 0


def written(before: Written | None, what: frozenset[str], now: float, *, keeps: bool) -> Written:
    """Return the record of an object after ``what`` has been written into it.

    ``keeps`` says whether what was written before is still meant to be there: a reference stays beside others, the
    content of a copy takes the place of another. What was there and is written again has been undone.
    """
    if before is None or now - before.at >= CALM_SECONDS:
        return Written(what, now)
    undone = before.undone + (not what.isdisjoint(before.what))
    return Written(before.what | what if keeps else what, now, undone)


def wait(before: Written | None, now: float, patience: Patience) -> float:
    """Return for how many seconds an object is not to be written; 0 when it may be written now."""
    if before is None or not is_contended(before, now, patience):
        return 0.0
    return max(0.0, before.at + patience.seconds - now)


def is_contended(record: Written, now: float, patience: Patience) -> bool:
    """Return whether somebody keeps undoing what is written into an object."""
    return record.undone >= patience.undoings and now - record.at < CALM_SECONDS
