"""Read the expectations of ``pullsecrets test``, strictly: a mistake must not look like a passed test."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from webhook.errors import Problem, UsageError
from webhook.files.configuration import API_VERSION
from webhook.files.node import Node
from webhook.files.yaml import LARGEST_DOCUMENT, DocumentError, load
from webhook.report.expectations import ABSENT, COPY_STATES, COVERAGE, COVERAGE_RESULTS, Expectation
from webhook.report.reasons import CATALOG

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

KIND = "Expectations"
PAGE = "docs/howto/ci.md has an example"
_MOST_PROBLEMS = 3
_FIELDS = ("namespace", "object", "injected", "removed", "reason", "reasons", "copy", COVERAGE)
_VALUES = _FIELDS[2:]


def read_expectations(path: Path, title_of: Callable[[str], str]) -> list[Expectation]:
    """Return the expectations in a file; ``title_of`` returns ``Pod/web`` for what a person writes, such as ``po/web``.

    Raises:
        UsageError: the file cannot be read, or is not a list of expectations.
    """
    problems: list[Problem] = []
    try:
        with path.open(encoding="utf-8") as file:
            document = Node(load(file.read(LARGEST_DOCUMENT + 1), problems), "", problems)
    except (OSError, UnicodeDecodeError, DocumentError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"the expectations in {path} cannot be read ({reason}): {PAGE}") from None
    fields = document.fields(("apiVersion", "kind", "expectations"))
    for name, value in (("apiVersion", API_VERSION), ("kind", KIND)):
        text = fields[name].text()
        if text not in (None, value):
            fields[name].report(f"must be {value}, not {text}")
    if fields["expectations"].value in (None, []):
        fields["expectations"].report("is required: name at least one object")
    expectations = [_expectation(entry, title_of) for entry in fields["expectations"].items()]
    if problems:
        texts = [str(problem) for problem in problems[:_MOST_PROBLEMS]]
        more = [f"and {len(problems) - _MOST_PROBLEMS} more"] if len(problems) > _MOST_PROBLEMS else []
        raise UsageError(f"{path}: {'; '.join([*texts, *more])}; {PAGE}")
    return expectations


def _expectation(node: Node, title_of: Callable[[str], str]) -> Expectation:
    if not isinstance(node.value, dict):
        node.report("must be a mapping with object and namespace")
        return Expectation("", "")
    fields = node.fields(_FIELDS)
    title = _title(fields["object"], title_of)
    kind, _, name = title.partition("/")
    namespace = fields["namespace"].text(name if kind == "Namespace" else None) or ""
    if all(fields[field_name].absent for field_name in _VALUES):
        node.report(f"expects nothing: give one of {', '.join(_VALUES)}")
    copy = None if fields["copy"].absent else _one_of(fields["copy"], "state", (*COPY_STATES.values(), ABSENT))
    if copy is not None and kind != "Secret":
        fields["copy"].report("is for a copy: write object: Secret/NAME")
    if kind == "Secret":
        for field in ("injected", "removed", "reasons", COVERAGE):
            if not fields[field].absent:
                fields[field].report("is not for a copy: use copy or reason")
    elif kind in ("Namespace", "ServiceAccount") and not fields[COVERAGE].absent:
        fields[COVERAGE].report("is for a workload: write object: Deployment/NAME, or another one that has Pods")
    return Expectation(
        namespace,
        title,
        _names(fields["injected"]),
        _names(fields["removed"]),
        None if fields["reason"].absent else _one_of(fields["reason"], "reason id", CATALOG),
        tuple((name, _one_of(value, "reason id", CATALOG)) for name, value in fields["reasons"].entries().items()),
        copy,
        None if fields[COVERAGE].absent else _one_of(fields[COVERAGE], "result of coverage", COVERAGE_RESULTS),
    )


def _title(node: Node, title_of: Callable[[str], str]) -> str:
    text = node.text()
    if text is None:
        return ""
    try:
        return title_of(text)
    except UsageError as error:
        node.report(str(error))
        return ""


def _names(node: Node) -> tuple[str, ...] | None:
    return None if node.absent else tuple(item.text() or "" for item in node.items())


def _one_of(node: Node, noun: str, choices: Collection[str]) -> str:
    text = node.text()
    if text is not None and text not in choices:
        close = get_close_matches(text, choices, n=1)
        node.report(f"{text} is not a {noun}, did you mean {close[0]}?" if close else f"{text} is not a {noun}")
    return text or ""
