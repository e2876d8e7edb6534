"""Values as YAML that every reader takes for the same values.

``no``, ``1e3`` and ``2024-01-01`` are text to one YAML library and something else to the next: so only text that begins
like a word and is none of YAML's words goes without quotes. The text is ASCII: a terminal obeys some other characters.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import yaml

from webhook.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

_BASE = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_PLAIN = re.compile(r"[A-Za-z/](?:[\w ./:*-]*[\w/*])?", re.ASCII)
_NEVER_PLAIN = re.compile(r"(?:y|yes|n|no|true|false|on|off|null|inf|nan)|.*: .*", re.IGNORECASE)


class _Dumper(_BASE):  # type: ignore[misc, valid-type]  # whichever of two the installation has
    def ignore_aliases(self, _data: object) -> bool:
        return True


def _text(dumper: Any, text: str) -> yaml.ScalarNode:  # noqa: ANN401 - of the class above, or of its base
    style = None if _PLAIN.fullmatch(text) and not _NEVER_PLAIN.fullmatch(text) else '"'
    if "\n" in text and text.isascii() and not re.search(r"[ \t]\n|\A\s|[^\n\x20-\x7e\t]", text):
        style = "|"
    node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", text, style)
    return node


_Dumper.add_representer(str, _text)
# An enumeration of words is text too: reason ids and verdicts are StrEnum members.
_Dumper.add_multi_representer(StrEnum, lambda dumper, member: _text(dumper, str(member)))


def dump(documents: Iterable[object], file: TextIO) -> None:
    """Write ``documents`` to ``file`` as one YAML stream; UsageError for what YAML cannot hold."""
    try:
        yaml.dump_all(documents, file, Dumper=_Dumper, sort_keys=False, allow_unicode=False, width=120)
    except (RecursionError, UnicodeEncodeError):
        # Neither is quoted: the one has a long story, the other has the text in it.
        message = "an object is nested too deep, or has half a character in it, for YAML: choose another --output"
        raise UsageError(message) from None
