"""Load YAML without guessing: one document, only text values, unique keys.

YAML reads ``no``, ``1.10`` and ``2024-01-01`` as a boolean, a number and a date. A configuration document has no values
of these types. Such a value is kept as :class:`Unquoted` with its original text, so that code that expects text can
report it. Objects are never constructed from tags, and aliases are not allowed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

import yaml

from webhook.errors import Problem
from webhook.rules.text import line_that_is_not_yaml, yaml_problem

LARGEST_DOCUMENT = 1024 * 1024
"""In bytes; a ConfigMap cannot hold more."""

DEEPEST_NESTING = 32
"""In levels; the configuration needs seven. The composer recurses, so the limit also protects the stack."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAGS = "tag:yaml.org,2002:"
_KINDS = {"bool": "a boolean", "int": "a number", "float": "a number", "timestamp": "a date"}
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class DocumentError(ValueError):
    """The text is not one YAML document within the bounds; the message is a sentence.

    ``line`` counts from one, and is 0 where the problem has no line.
    """

    def __init__(self, message: str, line: int = 0) -> None:
        self.line = line
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Unquoted:
    """A scalar that YAML does not read as text: ``text`` as written, ``kind`` in YAML's terms (``a boolean``)."""

    text: str
    kind: str


Value: TypeAlias = "dict[str, Value] | list[Value] | str | Unquoted | None"


def load(text: str, problems: list[Problem]) -> Value:
    """Return the single document in ``text``; problems inside it are appended to ``problems``.

    Raises DocumentError when the content is unclear: too large, not YAML, not exactly one document, an alias.
    """
    try:
        if len(text.encode()) > LARGEST_DOCUMENT:
            message = f"the document is larger than {LARGEST_DOCUMENT} bytes"
            raise DocumentError(message)
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


def _explained(error: Exception, text: str) -> tuple[int, str]:
    """Return the line of an error, and the error as a clause."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        line, column = error.problem_mark.line + 1, error.problem_mark.column + 1
        began = 0 if error.context_mark is None else error.context_mark.line + 1
        return line, yaml_problem(error.problem or "", line, column, error.context or "", began)
    line = line_that_is_not_yaml(text)
    return line, f"it contains a character that YAML does not allow (line {line})"


def _check_events(text: str) -> None:
    documents = depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            message = f"the alias *{event.anchor} is not allowed: write the value out"
            raise DocumentError(message)
        if depth > DEEPEST_NESTING:
            message = f"the document is nested more than {DEEPEST_NESTING} levels deep"
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
