"""Write values as YAML that every reader reads as the same values.

``no``, ``1e3`` and ``2024-01-01`` are text in one YAML library and other types in the next. So text is unquoted only if
it begins like a word and is not one of YAML's own words. The output is ASCII, because terminals interpret some other
characters.
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


class _Dumper(_BASE):  # type: ignore[misc, valid-type]  # one of two, by installation
    def ignore_aliases(self, _data: object) -> bool:
        return True


def _text(dumper: Any, text: str) -> yaml.ScalarNode:  # noqa: ANN401 - the class above, or its base
    style = None if _PLAIN.fullmatch(text) and not _NEVER_PLAIN.fullmatch(text) else '"'
    if "\n" in text and text.isascii() and not re.search(r"[ \t]\n|\A\s|[^\n\x20-\x7e\t]", text):
        style = "|"
    node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", text, style)
    return node


_Dumper.add_representer(str, _text)
# StrEnum members, such as reason ids and verdicts, are text too.
_Dumper.add_multi_representer(StrEnum, lambda dumper, member: _text(dumper, str(member)))


def dump(documents: Iterable[object], file: TextIO) -> None:
    """Write ``documents`` to ``file`` as one YAML stream. Raises UsageError for values that YAML cannot represent."""
    try:
        yaml.dump_all(documents, file, Dumper=_Dumper, sort_keys=False, allow_unicode=False, width=120)
    except (RecursionError, UnicodeEncodeError):
        # The original errors are not quoted: one is very long, the other contains the text.
        message = "an object is nested too deeply for YAML, or has an incomplete character: choose another --output"
        raise UsageError(message) from None
