"""Write text for people, and make it safe to show on a terminal and to copy from one.

Names, image references, annotations and messages come from tenants and from registries. A terminal interprets some
characters instead of showing them: C0 and C1 controls (escape sequences, carriage return, line breaks), and characters
that change the direction of text or have no width. Only this module decides how they are shown.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_PLAIN_ASCII = re.compile(r"[^\x00-\x7e]")


def escaped(text: str) -> str:
    r"""Return ``text`` on one line, with unprintable characters as escapes: ``\n``, ``\x1b``, ``\u202e``.

    Unprintable are Unicode's controls, format characters, surrogates, private and unassigned characters, and separators
    except the plain space.
    """
    if text.isprintable():
        return text
    return "".join([character if character.isprintable() else _escape(character) for character in text])


def escaped_lines(text: str) -> str:
    """Return ``text`` as :func:`escaped` does, line by line, for our own text with several lines."""
    return "\n".join(map(escaped, text.split("\n")))


def yaml_problem(problem: str, line: int, column: int, context: str = "", began: int = 0) -> str:
    """Return the error of a YAML parser, with the line where the unfinished part begins."""
    within = f", {context} that begins in line {began}" if context and 0 < began < line else ""
    return f"{problem} (line {line}, column {column}{within})"


def line_that_is_not_yaml(text: str) -> int:
    """Return the first line with a character that YAML does not allow; 1 without one."""
    refused = _NOT_YAML.search(text)
    return 1 if refused is None else text.count("\n", 0, refused.start()) + 1


def look_command(file: str, first: int, last: int) -> str:
    """Return the command that shows some lines of a file."""
    return f"sed -n '{max(1, first)},{last}p' {shlex.quote(file)}"


def ascii_json(document: str) -> str:
    """Return a JSON document in ASCII without DEL; every reader decodes it to the same values."""
    return _NOT_PLAIN_ASCII.sub(_json_escape, document)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _json_escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun, and with separators: ``1 copy``, ``1,807 copies``."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def listed(names: Sequence[str]) -> str:
    """Return names as a list in a sentence: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([*([", ".join(names[:-1])] if names[:-1] else []), *names[-1:]])


def some(names: Sequence[str], most: int) -> str:
    """Return at most the first names for a sentence: ``a, b and 7 more``."""
    more = len(names) - most
    return f"{', '.join(names[:most])} and {more:,} more" if more > 0 else listed(names)
