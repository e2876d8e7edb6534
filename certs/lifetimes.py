"""Define the lifetimes of issued certificates, as plain values that the command line checks without cryptography."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec


class Lifetimes(msgspec.Struct, frozen=True):
    """Lifetimes of issued certificates, and the settling time of a new authority before a leaf relies on it.

    Settling is needed because each API server learns of a changed ``caBundle`` from its own watch, at its own time.
    """

    authority: timedelta = timedelta(days=365)
    leaf: timedelta = timedelta(days=30)
    settling: timedelta = timedelta(seconds=10)


OVERDUE_SHARE = 0.25
"""The share of the lifetime with which a certificate is overdue: it is renewed with a third left. The alerts agree."""


class Validity(msgspec.Struct, frozen=True):
    """The validity period of a certificate."""

    begin: datetime
    end: datetime

    def is_overdue(self, now: datetime) -> bool:
        """Return True if it should have been renewed before ``now``."""
        return self.end - now < (self.end - self.begin) * OVERDUE_SHARE
