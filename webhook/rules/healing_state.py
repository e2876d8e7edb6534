"""Limit the evictions of healing to a number in any minute, also across restarts and changes of the leader.

Evictions are reserved, and the number of reserved ones is stored, before they are made. A reservation ends a minute
after its last eviction. A new leader counts all that is stored as made at that moment. So no clocks are compared: in
any minute, every eviction belongs to a reservation that counts until the minute is over. If the stored number is absent
or unreadable, the new leader counts a whole limit as used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from webhook.rules.decoding import NOT_DECODED
from webhook.rules.healing import OwnerRecord, Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WINDOW_SECONDS = 60.0

RECORD_SECONDS = 3600.0
"""Seconds for which an owner is remembered after its last eviction. One with a Pod that lacks a reference is kept."""

MAX_RECORDS = 2000
"""Owners that are remembered, about 300 bytes each. Owners whose trial failed are kept longest."""

FORMAT_VERSION = 1


class StoredHealing(msgspec.Struct, frozen=True):
    """The stored state: evictions that may have been made in the last minute, and the owners by UID."""

    version: int = FORMAT_VERSION
    reserved: int = 0
    owners: dict[str, OwnerRecord] = {}


def encode_healing(reserved: int, owners: Mapping[str, OwnerRecord]) -> bytes:
    """Return the value to store."""
    return msgspec.json.encode(StoredHealing(FORMAT_VERSION, reserved, dict(owners)), order="deterministic")


def decode_healing(value: bytes | None) -> StoredHealing | None:
    """Return the stored state; None if it is absent, or was not written by this release."""
    if value is None:
        return None
    try:
        stored = msgspec.json.decode(value, type=StoredHealing)
    except NOT_DECODED:
        return None
    # A negative number would raise the limit.
    return stored if stored.version == FORMAT_VERSION and stored.reserved >= 0 else None


class EvictionBudget:
    """Counts evictions of the last minute; ``clock`` counts seconds and never goes back. It is not thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._past: list[tuple[float, int]] = []
        """The time at which some evictions do not count any more, and their number."""
        self._reserved = 0

    def adopt(self, number: int) -> None:
        """Forget all, and count so many evictions as made at this moment."""
        self._past, self._reserved = [], 0
        self._add(number)

    @property
    def used(self) -> int:
        """The evictions of the last minute, and those that are reserved."""
        now = self._clock()
        self._past = [(end, number) for end, number in self._past if end > now]
        return self._reserved + sum(number for _, number in self._past)

    def reserve(self, number: int, per_minute: int) -> int:
        """Reserve up to so many evictions, and return how many were left."""
        granted = max(0, min(number, per_minute - self.used))
        self._reserved += granted
        return granted

    def settle(self, made: int) -> None:
        """End the reservation: so many evictions were made, or may have been."""
        # From now on they count for a minute: a request without an answer may have evicted its Pod.
        self._reserved = 0
        self._add(made)

    def _add(self, number: int) -> None:
        if number > 0:
            self._past.append((self._clock() + WINDOW_SECONDS, number))


def kept_records(records: Mapping[str, OwnerRecord], lacking: frozenset[str], now: float) -> dict[str, OwnerRecord]:
    """Return the records to keep; ``lacking`` are the UIDs of owners with a Pod that lacks a due reference."""
    kept = {
        uid: record
        for uid, record in records.items()
        # The clock of an earlier leader may have been ahead. A time in the future must not keep a record forever.
        if uid in lacking or 0 <= now - record.evicted_at < RECORD_SECONDS
    }
    if len(kept) <= MAX_RECORDS:
        return kept
    latest = sorted(kept, key=lambda uid: (kept[uid].trial is Trial.REFUTED, kept[uid].evicted_at), reverse=True)
    return {uid: kept[uid] for uid in latest[:MAX_RECORDS]}
