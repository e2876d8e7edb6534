"""Define the lifetimes of issued certificates, as plain values that the command line checks without cryptography."""

from __future__ import annotations

from datetime import timedelta

import msgspec


class Lifetimes(msgspec.Struct, frozen=True):
    """Lifetimes of issued certificates, and the settling time of a new authority before a leaf relies on it.

    Settling is needed because each API server learns of a changed ``caBundle`` from its own watch, at its own time.
    """

    authority: timedelta = timedelta(days=365)
    leaf: timedelta = timedelta(days=30)
    settling: timedelta = timedelta(seconds=10)
