"""Walk through a document that is read strictly: each value has its path, and problems are collected."""

from __future__ import annotations

import re
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

import msgspec

from webhook.errors import Problem
from webhook.files.yaml import Unquoted, Value, child_path, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_Choice = TypeVar("_Choice", bound=StrEnum)


class Node(msgspec.Struct, frozen=True):
    """A value, its path in the document, and the list for its problems. A null counts as absent."""

    value: Value
    path: str
    problems: list[Problem]

    @property
    def absent(self) -> bool:
        """Return whether the field is missing or null. An empty value in YAML is null."""
        return self.value is None

    def report(self, message: str) -> None:
        """Record a problem with this value."""
        self.problems.append(Problem(self.path, message))

    def fields(self, field_names: Sequence[str]) -> Mapping[str, Node]:
        """Return a node for each of ``field_names``. Report other fields, and a value that is not a mapping."""
        value = self.value if isinstance(self.value, dict) else {}
        if not isinstance(self.value, dict) and not self.absent:
            self.report(f"must be a mapping, not {self._kind}")
        # A misspelled field that was ignored would silently leave its default in force.
        for name in (name for name in value if name not in field_names):
            close = get_close_matches(name, field_names, n=1)
            self._child(name, None).report(f"unknown field{f', did you mean {close[0]}?' if close else ''}")
        return {name: self._child(name, value.get(name)) for name in field_names}

    def entries(self) -> Mapping[str, Node]:
        """Return a node for each entry of a mapping with free keys."""
        value = self.value if isinstance(self.value, dict) else {}
        if not isinstance(self.value, dict) and not self.absent:
            self.report(f"must be a mapping, not {self._kind}")
        return {name: self._child(name, item) for name, item in value.items()}

    def items(self) -> Sequence[Node]:
        """Return a node for each item of a list. Report a value that is not a list."""
        value = self.value if isinstance(self.value, list) else []
        if not isinstance(self.value, list) and not self.absent:
            self.report(f"must be a list, not {self._kind}")
        return [self._child(index, item) for index, item in enumerate(value)]

    def mappings(self, field_names: Sequence[str]) -> Sequence[Mapping[str, Node]]:
        """Return the fields of each item of a list of mappings. Items of other types are reported and left out."""
        read = [(item, item.fields(field_names)) for item in self.items()]
        for item, _ in read:
            if item.absent:
                item.report("must be a mapping, not empty")
        return [fields for item, fields in read if isinstance(item.value, dict)]

    def text(self, default: str | None = None) -> str | None:
        """Return the text, or ``default`` when absent.

        Report a problem and return None when it is required or not text.
        """
        if isinstance(self.value, str):
            return self.value
        if self.absent:
            if default is None:
                self.report("is required")
            return default
        if isinstance(self.value, Unquoted):
            self.report(f"{quoted(self.value.text)} is read by YAML as {self.value.kind}: quote it")
        else:
            self.report(f"must be text, not {self._kind}")
        return None

    def boolean(self, *, default: bool) -> bool:
        """Return true or false, or ``default`` when absent. Report a problem for other values."""
        match self.value:
            case None:
                return default
            # YAML 1.2 reads the other spellings, such as yes and on, as text.
            case Unquoted(text="true" | "false", kind="a boolean"):
                return self.value.text == "true"
        written = quoted(self.value.text) if isinstance(self.value, Unquoted) else self._kind
        self.report(f"must be true or false, not {written}")
        return default

    def number(self, default: int, lowest: int, highest: int) -> int:
        """Return a whole number, or ``default`` when absent. Report a problem for other values, and out of bounds."""
        if self.absent:
            return default
        text = self.value.text if isinstance(self.value, Unquoted) else ""
        # The length is checked before int(), which raises for more than 4,300 digits.
        if text.isascii() and text.isdecimal() and len(text) <= len(str(highest)) and lowest <= int(text) <= highest:
            return int(text)
        written = quoted(self.value.text) if isinstance(self.value, Unquoted) else self._kind
        self.report(f"must be a whole number from {lowest} to {highest}, not {written}")
        return default

    @property
    def _kind(self) -> str:
        match self.value:
            case dict():
                return "a mapping"
            case list():
                return "a list"
            case Unquoted(kind=kind):
                return kind
            case _:
                return "text"

    def _child(self, key: str | int, value: Value) -> Node:
        return Node(value, child_path(self.path, key), self.problems)


def checked(node: Node, problem_of: Callable[[str], str | None], default: str | None = None) -> str:
    """Return the text of ``node``, or an empty string when it is not text."""
    text = node.text(default)
    if text is not None and (problem := problem_of(text)):
        node.report(f"{quoted(text)} {problem}")
    return text or ""


def checked_items(node: Node, problem_of: Callable[[str], str | None]) -> tuple[str, ...]:
    """Return the texts of a list, as :func:`checked` does."""
    return tuple(checked(item, problem_of) for item in node.items())


def choice(node: Node, kind: type[_Choice], default: _Choice | None = None) -> _Choice | None:
    """Return the member that the text of ``node`` names; None, and a problem, for other text."""
    text = node.text(default)
    members = {str(member): member for member in kind}
    if text is not None and text not in members:
        close = get_close_matches(text, members, n=1)
        hint = f", did you mean {close[0]}?" if close else ""
        node.report(f"{quoted(text)} is not one of {', '.join(members)}{hint}")
    return members.get(text or "")


def report_repeats(nodes: Iterable[Node]) -> None:
    """Report each text that an earlier node already has."""
    first: dict[str, Node] = {}
    for node in nodes:
        if isinstance(node.value, str) and first.setdefault(node.value, node) is not node:
            node.report(f"{quoted(node.value)} is already at {first[node.value].path}")


_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(node: Node, default: str, shortest: float, longest: float) -> float:
    """Return the seconds of a duration such as ``90m``, or ``shortest`` when it cannot be read or is out of bounds."""
    text = node.text(default)
    if text is None:
        return shortest
    parts = _DURATION.findall(text)
    # findall() skips text that does not match, so the parts must make up the whole text.
    if not parts or "".join(map("".join, parts)) != text:
        node.report(f"{quoted(text)} is not a duration: write it like 1h, 90m or 12h")
        return shortest
    # A number of some hundred digits would become infinite.
    seconds = sum(min(float(number), longest * 1000) * _UNITS[unit] for number, unit in parts)
    if not shortest <= seconds <= longest:
        node.report(f"{quoted(text)} must be at least {shortest:g}s and at most {longest / 86400:g}d")
    return min(max(seconds, shortest), longest)
