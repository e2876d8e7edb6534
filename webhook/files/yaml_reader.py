"""Read YAML streams as Kubernetes does, from the events of the parser.

The results match kubectl (sigs.k8s.io/yaml, which is go-yaml v2 and then JSON). ``y`` and ``on`` are booleans, ``1e3``
is a number, ``2024-01-01`` is text, ``<<`` merges, an alias repeats a value, and a repeated key is an error. The reader
does not recurse, so deep nesting cannot exhaust the stack. Objects are never constructed from tags. An alias shares its
value, so code that changes a document must copy the changed parts. A document may be a Secret, so messages give the
line and never quote the text.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import yaml

from webhook.rules.text import line_that_is_not_yaml, yaml_problem

if TYPE_CHECKING:
    from collections.abc import Iterator

DEEPEST_NESTING = 100
"""In levels; a CustomResourceDefinition with a deep schema needs some forty."""

LARGEST_EXPANSION = 1_000_000
"""Values that one document may have with its aliases expanded; an API server accepts far fewer."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAGS = "tag:yaml.org,2002:"
_MERGE_KEY = "<<"
_BOOLEANS = {
    spelling: value
    for value, words in ((True, ("y", "yes", "true", "on")), (False, ("n", "no", "false", "off")))
    for word in words
    for spelling in (word, word.capitalize(), word.upper())
}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_INTEGER = re.compile(r"[-+]?(?:0b[01][01_]*|0o?[0-7][0-7_]*|0x[0-9a-fA-F][0-9a-fA-F_]*|[1-9][0-9_]*|0)")
_OLD_OCTAL = re.compile(r"([-+]?)0([0-7]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NO_JSON = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LINE_BREAK = "\n"
_LONGEST_NUMBER = 1000
"""In characters; Python refuses to read an integer of more than 4,300 digits."""


class StreamError(ValueError):
    """A document of the stream cannot be read; ``document`` and ``line`` count from one.

    The message is the rest of a sentence.
    """

    def __init__(self, document: int, line: int, message: str) -> None:
        self.document = document
        self.line = line
        super().__init__(message)


class _Anchored(NamedTuple):
    value: object
    size: int


class _Open:
    """An unfinished list or mapping; ``size`` counts the values in it, with aliases expanded."""

    __slots__ = ("anchor", "key", "merges", "size", "value")

    def __init__(self, value: dict[str, object] | list[object], anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.key: str | None = None
        self.merges: list[object] = []
        self.size = 1


class Document(NamedTuple):
    """One document of a stream, with the line of its first value; both numbers count from one."""

    number: int
    line: int
    value: object


def read_stream(text: str) -> Iterator[Document]:
    """Yield each document of ``text``. Raises StreamError at the first unreadable one."""
    document = _Document(1)
    number = first = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            document.line = event.start_mark.line + 1 if event.start_mark else 0
            first = first or document.line
            if isinstance(event, yaml.ScalarEvent):
                document.scalar(event)
            elif isinstance(event, yaml.MappingStartEvent):
                document.open({}, event.anchor)
            elif isinstance(event, yaml.SequenceStartEvent):
                document.open([], event.anchor)
            elif isinstance(event, yaml.CollectionEndEvent):
                document.close()
            elif isinstance(event, yaml.AliasEvent):
                document.alias(event.anchor or "")
            elif isinstance(event, yaml.DocumentStartEvent):
                number += 1
                document, first = _Document(number), 0
            elif isinstance(event, yaml.DocumentEndEvent):
                yield Document(number, first, document.value)
    except yaml.YAMLError as error:
        line, problem = _explained(error, text)
        raise StreamError(max(number, 1), line, f"is not valid YAML: {problem}") from None


def _explained(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    """Return the line of an error, and the error as a clause."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        line, column = error.problem_mark.line + 1, error.problem_mark.column + 1
        began = 0 if error.context_mark is None else error.context_mark.line + 1
        tab = "; indent with spaces, not with tabs" if _is_indented_with_tabs(text, line) else ""
        return line, yaml_problem(error.problem or "", line, column, error.context or "", began) + tab
    line = line_that_is_not_yaml(text)
    return line, f"it contains a character that YAML does not allow (line {line})"


def _is_indented_with_tabs(text: str, line: int) -> bool:
    lines = text.split(_LINE_BREAK)
    found = lines[line - 1] if line <= len(lines) else ""
    return "\t" in found[: len(found) - len(found.lstrip())]


class _Document:
    """One document while it is read."""

    def __init__(self, number: int) -> None:
        self.value: object = None
        self.line = 1
        self._number = number
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Anchored] = {}

    def scalar(self, event: yaml.ScalarEvent) -> None:
        top = self._stack[-1] if self._stack else None
        if top is not None and top.key is None and isinstance(top.value, dict):
            self._put_key(top, event.value)
            return
        value = event.value if event.style and not event.tag else self._resolved(event)
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(value, 1)
        self._put(value, 1)

    def open(self, value: dict[str, object] | list[object], anchor: str | None) -> None:
        top = self._stack[-1] if self._stack else None
        if top is not None and top.key is None and isinstance(top.value, dict):
            self._refuse("has a key that is a list or a mapping: a key must be text")
        if len(self._stack) >= DEEPEST_NESTING:
            self._refuse(f"is nested more than {DEEPEST_NESTING} levels deep")
        self._stack.append(_Open(value, anchor))

    def close(self) -> None:
        done = self._stack.pop()
        for merged in done.merges:
            done.value = self._merged(done.value, merged)
        if done.anchor:
            self._anchors[done.anchor] = _Anchored(done.value, done.size)
        self._put(done.value, done.size)

    def alias(self, anchor: str) -> None:
        top = self._stack[-1] if self._stack else None
        if top is not None and top.key is None and isinstance(top.value, dict):
            self._refuse("has an alias for a key: write the key out")
        if anchor not in self._anchors:
            self._refuse("has an alias without an anchor before it: quote text that begins with *")
        self._put(*self._anchors[anchor])

    def _put_key(self, top: _Open, key: str) -> None:
        # Numbers and booleans as keys become text in JSON too, so the key is kept as written.
        if key in top.value:
            self._refuse("repeats a key of the same mapping")
        top.key = key

    def _put(self, value: object, size: int) -> None:
        if not self._stack:
            self.value = value
            return
        top = self._stack[-1]
        top.size += size
        if top.size > LARGEST_EXPANSION:
            self._refuse(f"has more than {LARGEST_EXPANSION} values once its aliases are written out")
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.key == _MERGE_KEY:
            top.merges.append(value)
            top.key = None
        elif top.key is not None:
            top.value[top.key] = value
            top.key = None

    def _merged(self, value: object, merged: object) -> dict[str, object]:
        """Return ``value`` merged over its ``<<``: a mapping, or a list of mappings of which the first wins."""
        result: dict[str, object] = {}
        for mapping in reversed(merged) if isinstance(merged, list) else (merged,):
            if not isinstance(mapping, dict):
                self._refuse(f"has a {_MERGE_KEY} that does not name a mapping")
            result |= mapping
        return result | value if isinstance(value, dict) else result

    def _resolved(self, event: yaml.ScalarEvent) -> object:
        text = event.value
        tag = (event.tag or "").removeprefix(_TAGS)
        if tag in ("str", "!"):
            return text
        if tag not in ("", "int", "float", "bool", "null"):
            self._refuse("has a value with a tag that Kubernetes objects do not support")
        if text in _NULLS:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if text[0] not in "+-.0123456789":
            return text
        if _NO_JSON.fullmatch(text):
            self._refuse("has an infinite number or NaN, which JSON does not allow")
        return _number(text)

    def _refuse(self, message: str) -> NoReturn:
        raise StreamError(self._number, self.line, f"{message} (line {self.line})")


def _number(text: str) -> object:
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        digits = text.replace("_", "")
        octal = _OLD_OCTAL.fullmatch(digits)
        return int(f"{octal[1]}0o{octal[2]}" if octal else digits, 0)
    number = float(text) if _FLOAT.fullmatch(text) else math.nan
    return number if math.isfinite(number) else text
