"""How long what is issued lives: plain values, which the command line checks without cryptography."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long what is issued lives, and how long a new authority settles before a leaf relies on it.

    An API server learns of a changed ``caBundle`` by its own watch, each of several at its own time.
    """

    authority: timedelta = timedelta(days=365)
    leaf: timedelta = timedelta(days=30)
    settling: timedelta = timedelta(seconds=10)
