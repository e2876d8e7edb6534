"""Predict a rotation of a pull secret: the copies that it changes, the bytes that etcd gets, and its duration.

The duration follows from the soak and from ``maxPerSecond``. Without that limit, the API server bounds the speed. Then
it is read from the copies: the API server has recorded when each of them was last changed. Without such a measurement
there is no duration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from webhook.report.protocol import Paragraph
from webhook.rules.renewing import format_time
from webhook.rules.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from webhook.rules.configuration import RolloutSettings

BREAK_SECONDS = 30
"""Seconds without a changed copy that separate two rotations."""

SHORTEST_SECONDS = 5
"""Seconds of a rotation whose speed is measured, because the times in the copies are whole seconds."""

_STEPS = ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB"))
_MINUTE = 60
_HOUR = 3600


class Pace(msgspec.Struct, frozen=True):
    """The last rotation that reached most of the copies: their number, and the times of the first and the last."""

    copies: int
    first: datetime
    last: datetime

    @property
    def seconds(self) -> float:
        """The seconds from the first copy to the last."""
        return (self.last - self.first).total_seconds()

    @property
    def is_measurable(self) -> bool:
        """True if it took so long that a rate can be told."""
        return self.seconds >= SHORTEST_SECONDS and self.copies > 1

    @property
    def per_second(self) -> float:
        """The copies that were changed in a second."""
        return (self.copies - 1) / self.seconds


def measured_pace(changed: Iterable[datetime]) -> Pace | None:
    """Return the last rotation that changed at least half of the copies; None if there was none.

    ``changed`` are the times when the copies were last changed, without those of the canary.
    """
    times = sorted(changed)
    runs: list[list[datetime]] = []
    for time in times:
        if runs and (time - runs[-1][-1]).total_seconds() <= BREAK_SECONDS:
            runs[-1].append(time)
        else:
            runs.append([time])
    large = [run for run in runs if len(run) * 2 >= len(times)]
    return Pace(len(large[-1]), large[-1][0], large[-1][-1]) if large else None


class RotationForecast(msgspec.Struct, frozen=True):
    """A rotation to a content that is as long as the present one."""

    secret: str
    copies: int
    """The copies that it changes."""
    canary: int
    """Those of them in canary namespaces."""
    stored_bytes: int
    """The bytes of the keys and values that etcd gets."""
    settings: RolloutSettings | None
    pace: Pace | None

    @property
    def has_changes(self) -> bool:
        """Return whether there is a copy to change."""
        return self.copies > 0

    @property
    def soak(self) -> float:
        """The seconds for which only the canary namespaces have the new content."""
        return self.settings.soak if self.settings is not None and self._has_canary else 0.0

    @property
    def _has_canary(self) -> bool:
        return self.settings is not None and bool(self.settings.canary)

    @property
    def _rate(self) -> int:
        """The configured ``maxPerSecond``; 0 without a limit."""
        return self.settings.max_per_second if self.settings is not None else 0

    @property
    def _intervals(self) -> int:
        """The number of times from one copy outside the canary to the next."""
        return max(0, self.copies - self.canary - 1)

    @property
    def limited_seconds(self) -> float:
        """The seconds that the other copies take because of ``maxPerSecond``; 0 without a limit."""
        return self._intervals / self._rate if self._rate else 0.0

    @property
    def paced_seconds(self) -> float:
        """The seconds that they take at the pace of the last rotation; 0 if that was not measured."""
        pace = self.pace
        return self._intervals / pace.per_second if pace and pace.is_measurable else 0.0

    @property
    def is_held(self) -> bool:
        """True if no copy is in a canary namespace, although the pull secret has a canary."""
        return self._has_canary and not self.canary

    @property
    def seconds(self) -> float | None:
        """The seconds from the first copy to the last; None if no limit and no measurement tells, or if it is held."""
        if self.is_held:
            return None
        spread = max(self.limited_seconds, self.paced_seconds)
        return self.soak + spread if spread or not self._intervals else None

    def document(self) -> dict[str, object]:
        """Return everything for programs."""
        pace = self.pace if self.pace is not None and self.pace.is_measurable else None
        return {
            "pullSecret": self.secret,
            "copies": self.copies,
            "canaryCopies": self.canary,
            "etcdBytes": self.stored_bytes,
            "seconds": None if self.seconds is None else round(self.seconds, 1),
            "soakSeconds": self.soak,
            "lastRotation": None
            if pace is None
            else {
                "copies": pace.copies,
                "seconds": pace.seconds,
                "copiesPerSecond": round(pace.per_second, 2),
                "endedAt": format_time(pace.last),
            },
        }

    def paragraphs(self) -> Iterator[Paragraph]:
        """Yield the prediction for people."""
        yield Paragraph("", self.secret, "bold")
        if not self.copies:
            yield Paragraph("a rotation changes none, because no selected namespace has one", "copies:", indent=2)
            return
        where = f", {self.canary:,} of them in canary namespaces" if self._has_canary else ""
        yield Paragraph(f"{self.copies:,} to change{where}", "copies:", indent=2)
        yield Paragraph(
            f"{size_text(self.stored_bytes)}, if the new content is as long as the present one", "etcd:", indent=2
        )
        yield Paragraph("; ".join(self._duration()), "duration:", indent=2)

    def summary(self) -> str:
        """Return the result as one line."""
        changed = counted(self.copies, "copy", "copies")
        duration = "the duration is not known" if self.seconds is None else f"in {duration_text(self.seconds)}"
        return (
            f"A rotation of {self.secret} would change {changed}, {duration}"
            if self.copies
            else "0 copies would change"
        )

    def _duration(self) -> Iterator[str]:
        settings, seconds = self.settings, self.seconds
        if self.is_held:
            yield "the rotation is held until a selected namespace matches the patterns of its canary"
            return
        yield self._unknown() if seconds is None else f"{duration_text(seconds)}{self._basis()}"
        if self._has_canary:
            soak = f"the soak of {duration_text(self.soak)}"
            yield f"that includes {soak}" if seconds is not None else f"{soak} comes first"
        if settings is not None and settings.prove is not None:
            yield "the registries are asked before that, for as long as they take to answer"

    def _basis(self) -> str:
        rate = self._rate
        if self.paced_seconds > self.limited_seconds and self.pace is not None:
            limit = f"; maxPerSecond allows {counted(rate, 'copy', 'copies')} a second" if rate else ""
            return f", if it is as fast as the last one ({_pace_text(self.pace)}){limit}"
        return f", at {counted(rate, 'copy', 'copies')} a second (maxPerSecond)" if self.limited_seconds else ""

    def _unknown(self) -> str:
        if self.pace is None:
            cause = "no rotation has reached most of these copies yet"
        else:
            changed = counted(self.pace.copies, "copy", "copies")
            cause = (
                f"the last rotation changed {changed} in less than {SHORTEST_SECONDS} s, which is too short to measure"
            )
        return f"not known, because {cause}; follow the next one with kubectl pullsecrets check --wait"


def _pace_text(pace: Pace) -> str:
    ended = f"{pace.last:%Y-%m-%d %H:%M:%S} UTC"
    return f"{counted(pace.copies, 'copy', 'copies')} in {duration_text(pace.seconds)} until {ended}"


def size_text(size: int) -> str:
    """Return a number of bytes for people: ``512 bytes``, ``2.6 MB``."""
    for step, unit in _STEPS:
        # From 999.5 of the smaller unit on, three digits would be "1e+03".
        if size >= step * 0.9995:
            return f"{size / step:.3g} {unit}"
    return counted(size, "byte")


def duration_text(seconds: float) -> str:
    """Return a duration for people: ``8 s``, ``5 min 10 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        minutes, rest = divmod(whole, _MINUTE)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(whole // _MINUTE, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"
