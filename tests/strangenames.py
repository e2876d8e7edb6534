"""Text that a terminal would obey, or that rich would read as markup."""

from __future__ import annotations

import unicodedata

CONTROLS = "".join(chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)))
"""C0, DEL and C1."""

DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""What changes the direction of text."""

BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff\U000e0041"

HOSTILE = [
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "\x9b31m",
    "good\rbad",
    "one\ntwo",
    "user\u202egnp.exe",
    "a\u2028b",
    "a\u2066b\u2069",
    "zero\u200bwidth",
    "back\x08\x7f",
    "half\ud800",
    "\x00",
]
MARKUP = ["[bold red]x[/]", "[link=http://example.com]x[/link]", ":smiley:", "[/]", "\\[bold]"]


def obeyed(text: str, *, allowed: str = "\n") -> set[str]:
    """Return the characters in ``text`` that a terminal would obey."""
    return {
        character
        for character in text
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and character not in allowed
    }
