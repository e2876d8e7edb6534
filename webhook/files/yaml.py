"""Read and write YAML, each for one purpose: our configuration, manifests of Kubernetes, and output.

YAML has several meanings of the same text. ``no``, ``1.10`` and ``2024-01-01`` are a boolean, a number and a date in
one library, and text in the next.

- :func:`load` reads our configuration and guesses nothing: one document, only text values, unique keys, no aliases. A
  value of another type is kept as :class:`Unquoted` with its original text, so that code that expects text can report
  it.
- :func:`read_stream` reads manifests as kubectl does (sigs.k8s.io/yaml, which is go-yaml v2 and then JSON), from the
  events of the parser. ``y`` and ``on`` are booleans, ``1e3`` is a number, ``2024-01-01`` is text, ``<<`` merges, an
  alias repeats a value, and a repeated key is an error. It does not recurse, so deep nesting cannot exhaust the stack.
  An alias shares its value, so code that changes a document must copy the changed parts.
- :func:`dump` writes values that every reader reads as the same values. Text is unquoted only if it begins like a word
  and is not one of YAML's own words. The output is ASCII, because terminals interpret some other characters.

Objects are never constructed from tags. A document may be a Secret, so messages give the line and never quote the text.
"""

from __future__ import annotations

import math
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeAlias

import msgspec
import yaml

from webhook.errors import Problem, UsageError
from webhook.rules.text import line_that_is_not_yaml, yaml_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

LARGEST_DOCUMENT = 1024 * 1024
"""In bytes, of our configuration; a ConfigMap cannot hold more."""

DEEPEST_DOCUMENT = 32
"""In levels, of our configuration, which needs seven. The composer recurses, so the limit also protects the stack."""

DEEPEST_NESTING = 100
"""In levels, of a manifest; a CustomResourceDefinition with a deep schema needs some forty."""

LARGEST_EXPANSION = 1_000_000
"""Values that a manifest may have with its aliases expanded; an API server accepts far fewer."""

# PyYAML can be installed without libyaml, whose parser is much faster.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAGS = "tag:yaml.org,2002:"


def _explained(error: Exception, text: str) -> tuple[int, str]:
    """Return the line of an error, and the error as a clause."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        line, column = error.problem_mark.line + 1, error.problem_mark.column + 1
        context_line = 0 if error.context_mark is None else error.context_mark.line + 1
        tab = "; indent with spaces, not with tabs" if _is_indented_with_tabs(text, line) else ""
        return line, yaml_problem(error.problem or "", line, column, error.context or "", context_line) + tab
    line = line_that_is_not_yaml(text)
    return line, f"it contains a character that YAML does not allow (line {line})"


def _is_indented_with_tabs(text: str, line: int) -> bool:
    lines = text.split("\n")
    text_of_line = lines[line - 1] if line <= len(lines) else ""
    return "\t" in text_of_line[: len(text_of_line) - len(text_of_line.lstrip())]


# Our configuration

_KINDS = {"bool": "a boolean", "int": "a number", "float": "a number", "timestamp": "a date"}
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class DocumentError(ValueError):
    """The text is not one YAML document within the bounds; the message is a sentence.

    ``line`` counts from one, and is 0 where the problem has no line.
    """

    def __init__(self, message: str, line: int = 0) -> None:
        self.line = line
        super().__init__(message)


class Unquoted(msgspec.Struct, frozen=True):
    """A scalar that YAML does not read as text: ``text`` as written, ``kind`` in YAML's terms (``a boolean``)."""

    text: str
    kind: str


Value: TypeAlias = "dict[str, Value] | list[Value] | str | Unquoted | None"


def load(text: str, problems: list[Problem]) -> Value:
    """Return the single document in ``text``; problems inside it are appended to ``problems``.

    Raises DocumentError when the content is unclear: too large, not YAML, not exactly one document, an alias.
    """
    try:
        # In bytes, as the API server counts. Characters would let a document with other scripts be larger.
        if len(text.encode()) > LARGEST_DOCUMENT:
            message = f"the document is larger than {LARGEST_DOCUMENT} bytes"
            raise DocumentError(message)
        # First, because the composer recurses, and builds a document before anything in it can be counted.
        _check_events(text)
        node = yaml.compose(text, Loader=_LOADER)
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        line, problem = _explained(error, text)
        message = f"the document is not valid YAML: {problem}"
        raise DocumentError(message, line) from None
    if node is None:
        message = "the document is empty"
        raise DocumentError(message)
    return _value(node, "", problems)


def child_path(path: str, key: str | int) -> str:
    """Return the path of an item or field: ``pullSecrets[1]``, ``optIn.label``, ``matchLabels["example.com/team"]``."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if not _PLAIN_KEY.fullmatch(key):
        return f"{path}[{quoted(key)}]"
    return f"{path}.{key}" if path else key


def _check_events(text: str) -> None:
    documents = depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            message = f"the alias *{event.anchor} is not allowed: write the value out"
            raise DocumentError(message)
        if depth > DEEPEST_DOCUMENT:
            message = f"the document is nested more than {DEEPEST_DOCUMENT} levels deep"
            raise DocumentError(message)
        if documents > 1:
            message = "there is more than one document"
            raise DocumentError(message)


def _value(node: yaml.Node, path: str, problems: list[Problem]) -> Value:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, problems)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, child_path(path, index), problems) for index, item in enumerate(node.value)]
    kind = str(node.tag).removeprefix(_TAGS)
    text = str(node.value)
    if kind == "null":
        return None
    return text if kind == "str" else Unquoted(text, _KINDS.get(kind, "a value of a special type"))


def _mapping(node: yaml.MappingNode, path: str, problems: list[Problem]) -> dict[str, Value]:
    result: dict[str, Value] = {}
    for key_node, value_node in node.value:
        key = _value(key_node, path, [])
        if isinstance(key, Unquoted):
            problems.append(Problem(path, f"the key {quoted(key.text)} is read by YAML as {key.kind}: quote it"))
            key = key.text
        if not isinstance(key, str):
            problems.append(Problem(path, "a key must be text"))
            continue
        if key in result:
            problems.append(Problem(child_path(path, key), "the key is repeated"))
        result[key] = _value(value_node, child_path(path, key), problems)
    return result


def quoted(text: str) -> str:
    """Return ``text`` in quotes, on one line and shortened for a message."""
    shown = text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004
    return '"' + "".join(character if character.isprintable() else "?" for character in shown) + '"'


# Manifests


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
        # A quoted or block scalar is text, unless it has a tag.
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
        # At the end: the keys of the mapping itself win over those of its <<, wherever that is.
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
        # The value is shared, but counts with its whole size: a walk through the document visits it each time.
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
        # go-yaml decides by the first character, too (resolve.go), so other text is never a number.
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
        # Go reads 0777 as octal, and int() of Python refuses it.
        octal = _OLD_OCTAL.fullmatch(digits)
        return int(f"{octal[1]}0o{octal[2]}" if octal else digits, 0)
    number = float(text) if _FLOAT.fullmatch(text) else math.nan
    # Go's ParseFloat fails for a number out of range, and go-yaml then keeps the text.
    return number if math.isfinite(number) else text


# Output


_BASE = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_PLAIN = re.compile(r"[A-Za-z/](?:[\w ./:*-]*[\w/*])?", re.ASCII)
_NEVER_PLAIN = re.compile(r"(?:y|yes|n|no|true|false|on|off|null|inf|nan)|.*: .*", re.IGNORECASE)


class _Dumper(_BASE):  # type: ignore[misc, valid-type]  # one of two, by installation
    def ignore_aliases(self, _data: object) -> bool:
        # Equal values are written out, because not every reader of YAML accepts aliases.
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
