"""Read the configuration document into a :class:`Configuration`, or report every problem in it.

Reading continues after a problem, with a placeholder for the wrong value, so that people see all problems together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from webhook.errors import ConfigurationInvalid, Problem
from webhook.files.yaml import DocumentError, Unquoted, Value, child_path, load, quoted
from webhook.rules.configuration import (
    DEFAULT_EXCLUDED_NAMESPACES,
    DEFAULT_OPT_IN_LABEL,
    DEFAULT_OPT_IN_VALUE,
    OPT_OUT_VALUE,
    Configuration,
    NameFilter,
    OptIn,
    PodPolicy,
    PullSecret,
)
from webhook.rules.images import parse_registry
from webhook.rules.labels import Operator, Requirement, Selector
from webhook.rules.names import (
    problem_of_label_key,
    problem_of_label_value,
    problem_of_namespace,
    problem_of_subdomain,
)
from webhook.rules.text import look_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Node:
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

    def fields(self, known: Sequence[str]) -> Mapping[str, Node]:
        """Return a node for each of the ``known`` fields. Report other fields, and a value that is not a mapping."""
        value = self.value if isinstance(self.value, dict) else {}
        if not isinstance(self.value, dict) and not self.absent:
            self.report(f"must be a mapping, not {self._kind}")
        for name in (name for name in value if name not in known):
            close = get_close_matches(name, known, n=1)
            self._child(name, None).report(f"unknown field{f', did you mean {close[0]}?' if close else ''}")
        return {name: self._child(name, value.get(name)) for name in known}

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

    def mappings(self, known: Sequence[str]) -> Sequence[Mapping[str, Node]]:
        """Return the fields of each item of a list of mappings. Items of other types are reported and left out."""
        read = [(item, item.fields(known)) for item in self.items()]
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
            case Unquoted(text="true" | "false", kind="a boolean"):
                return self.value.text == "true"
        written = quoted(self.value.text) if isinstance(self.value, Unquoted) else self._kind
        self.report(f"must be true or false, not {written}")
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


_Choice = TypeVar("_Choice", bound=StrEnum)

API_VERSION = "pullsecrets.webhook/v1alpha1"
KIND = "Configuration"

MAX_PROBLEMS = 100
"""Problems that one message lists, because each line of a wrong file can have one."""

_FIELDS = ("apiVersion", "kind", "optIn", "excludedNamespaces", "pullSecrets", "retired")
_PULL_SECRET_FIELDS = ("name", "sources", "namespaceSelector", "serviceAccounts", "pods", "registries")
_NAME_PATTERN = re.compile(r"[a-z0-9.*?\[\]!-]+")
_NAMESPACE_PATTERN = re.compile(r"[a-z0-9*?\[\]!-]+")


def parse(text: str, origin: str, look: str = "") -> Configuration:
    """Return the configuration in ``text``. Raises ConfigurationInvalid with all problems.

    ``origin`` names the document in the message: a file path, or something that the command ``look`` shows.
    """
    problems: list[Problem] = []
    try:
        document = Node(load(text, problems), "", problems)
    except DocumentError as error:
        todo = f"look at it: {look or look_command(origin, error.line - 3, error.line + 1)}"
        raise ConfigurationInvalid(origin, [Problem("", f"{error}; {todo}" if error.line else str(error))]) from None
    return _valid(document, origin)


def configuration_of(document: Mapping[str, Value], origin: str, problems: list[Problem]) -> Configuration:
    """Return the configuration in a document that is already read, as :func:`parse` does."""
    return _valid(Node(dict(document), "", problems), origin)


def _valid(document: Node, origin: str) -> Configuration:
    configuration, problems = _configuration(document), document.problems
    if len(problems) > MAX_PROBLEMS:
        problems[MAX_PROBLEMS:] = [Problem("", f"and {len(problems) - MAX_PROBLEMS} more")]
    if problems:
        raise ConfigurationInvalid(origin, problems)
    return configuration


def _configuration(document: Node) -> Configuration:
    if document.absent:
        document.report("the document is empty")
        return Configuration(())
    fields = document.fields(_FIELDS)
    _must_be(fields["apiVersion"], API_VERSION)
    _must_be(fields["kind"], KIND)
    opt_in = _opt_in(fields["optIn"])
    excluded = _checked_items(fields["excludedNamespaces"], problem_of_namespace)
    entries = fields["pullSecrets"].mappings(_PULL_SECRET_FIELDS)
    pull_secrets = tuple(_pull_secret(entry) for entry in entries)
    _report_repeats(entry["name"] for entry in entries)
    return Configuration(
        pull_secrets=pull_secrets,
        opt_in=opt_in,
        excluded_namespaces=frozenset(DEFAULT_EXCLUDED_NAMESPACES if fields["excludedNamespaces"].absent else excluded),
        retired=_retired(fields["retired"], {entry.name for entry in pull_secrets}),
    )


def _must_be(node: Node, expected: str) -> None:
    text = node.text()
    if text is not None and text != expected:
        node.report(f"must be {expected}, not {quoted(text)}")


def _opt_in(node: Node) -> OptIn:
    fields = node.fields(("label", "value", "mayDecline"))
    label = _checked(fields["label"], problem_of_label_key, DEFAULT_OPT_IN_LABEL)
    value = _checked(fields["value"], problem_of_label_value, DEFAULT_OPT_IN_VALUE)
    if value == OPT_OUT_VALUE:
        fields["value"].report(f'"{OPT_OUT_VALUE}" opts a Pod or ServiceAccount out: choose another value')
    elif isinstance(fields["value"].value, str) and not value.strip():
        fields["value"].report("must not be empty")
    return OptIn(label, value, fields["mayDecline"].boolean(default=False))


def _pull_secret(fields: Mapping[str, Node]) -> PullSecret:
    pods = _choice(fields["pods"], PodPolicy, PodPolicy.ALWAYS)
    sources = _named_sources(fields["sources"]).mappings(("secretName", "namespaces"))
    return PullSecret(
        name=_checked(fields["name"], problem_of_subdomain),
        sources=_sources(fields["sources"], [source["secretName"] for source in sources]),
        namespace_selector=_selector(fields["namespaceSelector"]),
        service_accounts=_name_filter(fields["serviceAccounts"]),
        pods=pods or PodPolicy.ALWAYS,
        registries=_registries(fields["registries"], pods),
        limits=tuple(_limit(source["namespaces"]) for source in sources if not source["namespaces"].absent),
    )


def _named_sources(node: Node) -> Node:
    """Return a list of sources in which each name of a Secret is a mapping with that name."""
    if not isinstance(node.value, list):
        return node
    return replace(node, value=[{"secretName": item} if isinstance(item, str) else item for item in node.value])


def _limit(node: Node) -> tuple[str, ...]:
    if node.value == []:
        node.report("is empty, so no namespace gets it: remove it to allow all")
    return _checked_items(node, _problem_of_namespace_pattern)


def _problem_of_namespace_pattern(text: str) -> str | None:
    return None if _NAMESPACE_PATTERN.fullmatch(text) else "is not a pattern that the name of a namespace can match"


def _sources(node: Node, names: Sequence[Node]) -> tuple[str, ...]:
    if node.value in (None, []):
        node.report("is required: name at least one Secret of the release namespace")
    _report_repeats(names)
    return tuple(_checked(name, problem_of_subdomain) for name in names)


def _selector(node: Node) -> Selector:
    fields = node.fields(("matchLabels", "matchExpressions"))
    labels = sorted(fields["matchLabels"].entries().items())
    exact = [Requirement(_label_key(key, value), Operator.IN, (_label_value(value),)) for key, value in labels]
    expressions = fields["matchExpressions"].mappings(("key", "operator", "values"))
    return Selector((*exact, *(_requirement(expression) for expression in expressions)))


def _label_key(key: str, node: Node) -> str:
    if problem := problem_of_label_key(key):
        node.report(f"{quoted(key)} {problem}")
    return key


def _label_value(node: Node) -> str:
    return _checked(node, problem_of_label_value)


def _requirement(fields: Mapping[str, Node]) -> Requirement:
    key = _checked(fields["key"], problem_of_label_key)
    operator = _choice(fields["operator"], Operator)
    values = _checked_items(fields["values"], problem_of_label_value)
    if operator in (Operator.IN, Operator.NOT_IN) and fields["values"].value in (None, []):
        fields["values"].report(f"is required with operator {operator}")
    if operator in (Operator.EXISTS, Operator.DOES_NOT_EXIST) and values:
        fields["values"].report(f"is not allowed with operator {operator}")
    return Requirement(key, operator or Operator.EXISTS, values)


def _name_filter(node: Node) -> NameFilter:
    fields = node.fields(("include", "exclude"))
    include = _checked_items(fields["include"], _problem_of_pattern)
    if fields["include"].value == []:
        fields["include"].report("is empty and so matches nothing: leave it out to match every ServiceAccount")
    exclude = _checked_items(fields["exclude"], _problem_of_pattern)
    return NameFilter(NameFilter().include if fields["include"].absent else include, exclude)


def _problem_of_pattern(text: str) -> str | None:
    return None if _NAME_PATTERN.fullmatch(text) else "is not a pattern that a ServiceAccount name can match"


def _registries(node: Node, pods: PodPolicy | None) -> tuple[str, ...]:
    registries = _checked_items(node, _problem_of_registry)
    if pods is PodPolicy.WHEN_IMAGE_MATCHES and node.value in (None, []):
        node.report(f"is required with pods: {pods}")
    if pods in (PodPolicy.ALWAYS, PodPolicy.NEVER) and registries:
        node.report(f"has no effect with pods: {pods}, only with pods: {PodPolicy.WHEN_IMAGE_MATCHES}")
    return registries


def _problem_of_registry(text: str) -> str | None:
    try:
        parse_registry(text)
    except ValueError as error:
        return f"is {error}{', without a scheme' if '://' in text else ''}"
    return None


def _retired(node: Node, configured: set[str]) -> tuple[str, ...]:
    nodes = node.items()
    names = tuple(_checked(item, problem_of_subdomain) for item in nodes)
    _report_repeats(nodes)
    for name, item in zip(names, nodes, strict=True):
        if name and name in configured:
            item.report(f"{quoted(name)} is also in pullSecrets: it is either configured or retired")
    return names


def _checked(node: Node, problem_of: Callable[[str], str | None], default: str | None = None) -> str:
    """Return the text of ``node``, or an empty string when it is not text."""
    text = node.text(default)
    if text is not None and (problem := problem_of(text)):
        node.report(f"{quoted(text)} {problem}")
    return text or ""


def _checked_items(node: Node, problem_of: Callable[[str], str | None]) -> tuple[str, ...]:
    return tuple(_checked(item, problem_of) for item in node.items())


def _choice(node: Node, kind: type[_Choice], default: _Choice | None = None) -> _Choice | None:
    text = node.text(default)
    members = {str(member): member for member in kind}
    if text is not None and text not in members:
        close = get_close_matches(text, members, n=1)
        hint = f", did you mean {close[0]}?" if close else ""
        node.report(f"{quoted(text)} is not one of {', '.join(members)}{hint}")
    return members.get(text or "")


def _report_repeats(nodes: Iterable[Node]) -> None:
    first: dict[str, Node] = {}
    for node in nodes:
        if isinstance(node.value, str) and first.setdefault(node.value, node) is not node:
            node.report(f"{quoted(node.value)} is already at {first[node.value].path}")
