"""Find a label of a namespace that was probably meant to opt it in, or out of the scope ``All``."""

from __future__ import annotations

from difflib import SequenceMatcher
from functools import lru_cache
from typing import TYPE_CHECKING

from webhook.rules.configuration import DEFAULT_OPT_IN_LABEL, OPT_OUT_VALUE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from webhook.rules.configuration import OptIn

CLOSE = 0.8
"""Similarity from 0 to 1 at which one text counts as a typing error of another."""

_PREFIX = f"{DEFAULT_OPT_IN_LABEL.partition('/')[0]}/"
"""The prefix of the default label. Other programs have no labels below it, but below a prefix of the user's own."""

_MEANT = frozenset({"true", "yes", "on", "1", "enable", "enabled", "inject", "injected"})
"""Values that people write when they want to opt in."""

_NOT_MEANT = frozenset({"false", "no", "off", "0", "disable", "disabled", "skip", "ignore"})
"""Values that people write when they want to opt out."""


def mistyped_opt_in(labels: Mapping[str, str], opt_in: OptIn, others: Collection[str] = ()) -> tuple[str, str] | None:
    """Return the key and the value of the label that looks like the opt-in label, or None.

    ``others`` are keys with another meaning: the opt-in labels of other releases.
    """
    value = labels.get(opt_in.label)
    if value is not None:
        mistyped = value not in (opt_in.value, OPT_OUT_VALUE) and _is_meant(value, opt_in)
        return (opt_in.label, value) if mistyped else None
    for key, other in labels.items():
        if key not in others and _is_meant_key(key, opt_in.label) and _is_meant(other, opt_in):
            return key, other
    return None


def _is_meant_key(key: str, label: str) -> bool:
    """Return True for a key that is misspelled, that lacks its prefix, or that has another name below ours."""
    _, _, name = label.rpartition("/")
    return key == name or _is_close(key, label) or (key.startswith(_PREFIX) and label.startswith(_PREFIX))


def _is_meant(value: str, opt_in: OptIn) -> bool:
    words = _NOT_MEANT if opt_in.is_everywhere else _MEANT
    return value.lower() in words or _is_close(value, opt_in.deciding_value)


@lru_cache(maxsize=1024)  # namespaces have the same few keys
def _is_close(text: str, expected: str) -> bool:
    return SequenceMatcher(None, text.lower(), expected.lower()).ratio() >= CLOSE
