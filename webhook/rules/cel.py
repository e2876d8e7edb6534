"""Write CEL: literals, and shell-style patterns as regular expressions for CEL (RE2).

Texts of a valid configuration contain no quotes or backslashes, so raw strings can hold them unchanged.
"""

from __future__ import annotations

import re
import string
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME_CHARACTERS = f"-.{string.digits}{string.ascii_lowercase}"
"""All characters in names of namespaces and ServiceAccounts."""

NOTHING = r"[^\x00-\x{10FFFF}]"
"""A character class that matches no character."""

_PART = re.compile(r"\*+|\?|\[!?+\]?+[^\]]*+\]|.", re.DOTALL)


def text(value: str) -> str:
    """Return the literal of a text."""
    return f'"{value}"'


def texts(values: Iterable[str]) -> str:
    """Return the literal of a list of texts."""
    return f"[{', '.join(map(text, values))}]"


def regex(expression: str) -> str:
    """Return the literal of a regular expression."""
    return f'r"{expression}"'


def matches_any(name: str, patterns: Iterable[str]) -> str:
    """Return the condition that the value of the expression ``name`` matches one of the shell-style ``patterns``."""
    alternatives = "|".join(map(_of_pattern, patterns))
    return f"{name}.matches({regex(f'^(?:{alternatives})$')})"


def _of_pattern(pattern: str) -> str:
    return "".join(map(_of_part, _PART.findall(pattern)))


def _of_part(part: str) -> str:
    if part[0] == "*":
        return ".*"
    if part == "?":
        return "."
    if len(part) == 1:
        return re.escape(part)
    # fnmatch itself evaluates each class, because of special cases such as empty ranges and a leading "!" or "]".
    members = [character for character in NAME_CHARACTERS if fnmatchcase(character, part)]
    return f"[{''.join(map(re.escape, members))}]" if members else NOTHING
