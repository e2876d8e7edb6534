"""Read the configuration document into a :class:`Configuration`, or report every problem in it.

Reading continues after a problem, with a placeholder for the wrong value, so that people see all problems together.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from webhook.errors import ConfigurationInvalid, Problem
from webhook.files.node import Node, checked, checked_items, choice, report_repeats
from webhook.files.renewing import KINDS, read_namespace_token, read_renewing
from webhook.files.rollout import read_rollout
from webhook.files.yaml import DocumentError, Value, load, quoted
from webhook.rules.configuration import (
    DEFAULT_EXCLUDED_NAMESPACES,
    DEFAULT_OPT_IN_LABEL,
    DEFAULT_OPT_IN_VALUE,
    OPT_OUT_VALUE,
    Configuration,
    HealingSettings,
    NameFilter,
    OptIn,
    PodPolicy,
    PullSecret,
    Scope,
)
from webhook.rules.copy_metadata import LONGEST_VALUE, MOST_KEYS, CopyMetadata, is_reserved
from webhook.rules.images import parse_registry
from webhook.rules.labels import Operator, Requirement, Selector
from webhook.rules.names import (
    is_pattern,
    matches_every_name,
    problem_of_label_key,
    problem_of_label_value,
    problem_of_namespace,
    problem_of_namespace_pattern,
    problem_of_subdomain,
)
from webhook.rules.renewing import CredentialProvider, ServiceAccountToken
from webhook.rules.text import look_command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from webhook.rules.renewing import NamespaceToken, RenewingSource


API_VERSION = "pullsecrets.webhook/v1alpha1"
KIND = "Configuration"

MOST_EVICTIONS = 600
"""Evictions a minute. Each makes a new Pod that pulls, so more would be a load for registries and schedulers."""

MAX_PROBLEMS = 100
"""Problems that one message lists, because each line of a wrong file can have one."""

_FIELDS = ("apiVersion", "kind", "optIn", "excludedNamespaces", "pullSecrets", "retired", "healing")
_PULL_SECRET_FIELDS = (
    "name",
    "sources",
    "namespaceSelector",
    "serviceAccounts",
    "pods",
    "registries",
    "rollout",
    "copies",
    "tenantOwned",
)
_OF_COPIES = ("sources", "rollout", "copies")
"""The fields that a Secret of the tenants must not have, because it is never written."""
_SOURCE_FIELDS = ("secretName", "namespaces", *KINDS)
_NAME_PATTERN = re.compile(r"[a-z0-9.*?\[\]!-]+")


def parse(text: str, origin: str, command: str = "") -> Configuration:
    """Return the configuration in ``text``. Raises ConfigurationInvalid with all problems.

    ``origin`` names the document in the message: a file path, or something that ``command`` shows.
    """
    problems: list[Problem] = []
    try:
        document = Node(load(text, problems), "", problems)
    except DocumentError as error:
        todo = f"look at it: {command or look_command(origin, error.line - 3, error.line + 1)}"
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
    excluded = _excluded(fields["excludedNamespaces"], opt_in)
    entries = fields["pullSecrets"].mappings(_PULL_SECRET_FIELDS)
    renewing = _RenewingSources()
    pull_secrets = tuple(_pull_secret(entry, renewing) for entry in entries)
    # After all entries were read, because a later entry may name the Secret.
    for entry in entries:
        renewing.report_clash(entry["name"])
    report_repeats(entry["name"] for entry in entries)
    return Configuration(
        pull_secrets=pull_secrets,
        opt_in=opt_in,
        # Names are looked up in a set. Only patterns have to be compared one by one.
        excluded_namespaces=frozenset(name for name in excluded if not is_pattern(name)),
        excluded_patterns=tuple(filter(is_pattern, excluded)),
        # A name that now belongs to the tenants can be retired, which removes the copies from before.
        retired=_retired(fields["retired"], {entry.name for entry in pull_secrets if not entry.tenant_owned}, renewing),
        credential_providers=tuple(source for source in renewing.all() if isinstance(source, CredentialProvider)),
        service_account_tokens=tuple(source for source in renewing.all() if isinstance(source, ServiceAccountToken)),
        healing=_healing(fields["healing"]),
    )


def _healing(node: Node) -> HealingSettings:
    fields, default = node.fields(("enabled", "perMinute")), HealingSettings()
    return HealingSettings(
        enabled=fields["enabled"].boolean(default=default.enabled),
        per_minute=fields["perMinute"].number(default.per_minute, 1, MOST_EVICTIONS),
    )


def _must_be(node: Node, expected: str) -> None:
    text = node.text()
    if text is not None and text != expected:
        node.report(f"must be {expected}, not {quoted(text)}")


def _excluded(node: Node, opt_in: OptIn) -> tuple[str, ...]:
    """Return the names and patterns of excluded namespaces.

    With the scope ``All``, a list that forgot ``kube-system`` would change the Pods that the cluster consists of.
    """
    entries = checked_items(node, _problem_of_excluded)
    if node.absent or opt_in.is_everywhere:
        return tuple(dict.fromkeys((*entries, *DEFAULT_EXCLUDED_NAMESPACES)))
    return entries


def _problem_of_excluded(text: str) -> str | None:
    if matches_every_name(text):
        return "excludes every namespace, so that nothing would happen: name those that are not to be changed"
    return problem_of_namespace_pattern(text) if is_pattern(text) else problem_of_namespace(text)


def _opt_in(node: Node) -> OptIn:
    fields = node.fields(("label", "value", "mayDecline", "scope"))
    label = checked(fields["label"], problem_of_label_key, DEFAULT_OPT_IN_LABEL)
    value = checked(fields["value"], problem_of_label_value, DEFAULT_OPT_IN_VALUE)
    if value == OPT_OUT_VALUE:
        fields["value"].report(f'"{OPT_OUT_VALUE}" opts a Pod or ServiceAccount out: choose another value')
    elif isinstance(fields["value"].value, str) and not value.strip():
        fields["value"].report("must not be empty")
    scope = choice(fields["scope"], Scope, Scope.LABELLED)
    return OptIn(label, value, fields["mayDecline"].boolean(default=False), scope or Scope.LABELLED)


def _pull_secret(fields: Mapping[str, Node], renewing: _RenewingSources) -> PullSecret:
    pods = choice(fields["pods"], PodPolicy, PodPolicy.ALWAYS)
    tenant_owned = _is_tenant_owned(fields)
    sources = _named_sources(fields["sources"]).mappings(_SOURCE_FIELDS)
    tokens: list[NamespaceToken] = []
    names: list[Node] = []
    for source in sources:
        if not fields["rollout"].absent and any(not source[kind].absent for kind in KINDS):
            fields["rollout"].report(
                "stands beside a source that renews itself, and each renewal would be a rotation: give that source a "
                "pull secret of its own"
            )
        # A token of each namespace is only in the copies, so it names no Secret of the release.
        if (token := read_namespace_token(source)) is None:
            renewing.read(source)
            names.append(source["secretName"])
        else:
            renewing.report_token(source["serviceAccountToken"], token)
            tokens.append(token)
    return PullSecret(
        name=checked(fields["name"], problem_of_subdomain),
        # Sources of a Secret of the tenants are reported above, and absent ones are not a problem.
        sources=() if tenant_owned else _sources(fields["sources"], names),
        tokens=tuple(tokens),
        namespace_selector=_selector(fields["namespaceSelector"]),
        service_accounts=_name_filter(fields["serviceAccounts"]),
        pods=pods or PodPolicy.ALWAYS,
        registries=_registries(fields["registries"], pods),
        # A source without the field may go to every namespace, so it is not a limit.
        limits=tuple(_limit(source["namespaces"]) for source in sources if not source["namespaces"].absent),
        rollout=read_rollout(fields["rollout"]),
        copies=_copies(fields["copies"]),
        tenant_owned=tenant_owned,
    )


def _is_tenant_owned(fields: Mapping[str, Node]) -> bool:
    tenant_owned = fields["tenantOwned"].boolean(default=False)
    for name in _OF_COPIES if tenant_owned else ():
        if not fields[name].absent:
            fields[name].report("is not allowed with tenantOwned: true, because the Secret belongs to each namespace")
    return tenant_owned


class _RenewingSources:
    """The renewing sources of a document, which several pull secrets can name if their settings are the same."""

    def __init__(self) -> None:
        self._by_secret: dict[str, tuple[str, RenewingSource | None]] = {}
        self._by_name: dict[str, tuple[str, str]] = {}

    def read(self, fields: Mapping[str, Node]) -> None:
        """Read one source, renewing or plain. Report it if another one keeps something else in the same Secret."""
        node = fields["secretName"]
        if not isinstance(node.value, str):
            return  # reported by its reader
        source, secret = read_renewing(fields, node.value), node.value
        # The first occurrence stays, and each later one is compared with it.
        path, first = self._by_secret.setdefault(secret, (node.path, source))
        if source != first:
            node.report(f"{quoted(secret)} is also at {path}, with other settings: give each source its own Secret")
        if source is not None:
            path, other = self._by_name.setdefault(source.name, (node.path, secret))
            if other != secret:
                node.report(f"its source {quoted(source.name)} is also at {path}, with another Secret: rename one")

    def report_token(self, node: Node, token: NamespaceToken) -> None:
        """Report a token of the namespaces whose name is that of another source."""
        # An empty Secret marks a token: two tokens with the same name clash, too.
        path, other = self._by_name.setdefault(token.name, (node.path, ""))
        if other or (path != node.path and token.name):
            node.report(f"its name {quoted(token.name)} is also at {path}: rename one")

    def all(self) -> tuple[RenewingSource, ...]:
        """Return them, each once."""
        return tuple(source for _, source in self._by_secret.values() if source is not None)

    def report_clash(self, node: Node) -> None:
        """Report the name of a pull secret that is the Secret of a renewing source, too."""
        # A value of another type was reported by its reader, and a mapping cannot be looked up.
        if isinstance(node.value, str) and node.value in {source.secret for source in self.all()}:
            node.report("is also the Secret of a source that renews itself: choose another name")


def _named_sources(node: Node) -> Node:
    """Return a list of sources in which each name of a Secret is a mapping with that name."""
    if not isinstance(node.value, list):
        return node
    return replace(node, value=[{"secretName": item} if isinstance(item, str) else item for item in node.value])


def _limit(node: Node) -> tuple[str, ...]:
    if node.value == []:
        node.report("is empty, so no namespace gets it: remove it to allow all")
    return checked_items(node, problem_of_namespace_pattern)


def _sources(node: Node, names: Sequence[Node]) -> tuple[str, ...]:
    if node.value in (None, []):
        node.report(
            "is required: name at least one Secret of the release namespace, or write tenantOwned: true for a Secret "
            "that each namespace has of its own"
        )
    report_repeats(names)
    return tuple(checked(name, problem_of_subdomain) for name in names)


def _copies(node: Node) -> CopyMetadata:
    fields = node.fields(("labels", "annotations"))
    return CopyMetadata(
        _metadata(fields["labels"], problem_of_label_value), _metadata(fields["annotations"], _problem_of_annotation)
    )


def _metadata(node: Node, problem_of_value: Callable[[str], str | None]) -> tuple[tuple[str, str], ...]:
    # Sorted, so that another order in the document is the same configuration.
    entries = sorted(node.entries().items())
    for key, item in entries:
        _label_key(key, item)
        if is_reserved(key):
            item.report("is one by which copies are recognised: choose another key")
    if len(entries) > MOST_KEYS:
        node.report(f"has more than {MOST_KEYS} keys, and every copy has them: leave some out")
    return tuple((key, checked(item, problem_of_value)) for key, item in entries)


def _problem_of_annotation(text: str) -> str | None:
    return f"is longer than {LONGEST_VALUE:,} characters" if len(text) > LONGEST_VALUE else None


def _selector(node: Node) -> Selector:
    fields = node.fields(("matchLabels", "matchExpressions"))
    # Sorted for the same reason as in _metadata.
    labels = sorted(fields["matchLabels"].entries().items())
    exact = [Requirement(_label_key(key, value), Operator.IN, (_label_value(value),)) for key, value in labels]
    expressions = fields["matchExpressions"].mappings(("key", "operator", "values"))
    return Selector((*exact, *(_requirement(expression) for expression in expressions)))


def _label_key(key: str, node: Node) -> str:
    if problem := problem_of_label_key(key):
        node.report(f"{quoted(key)} {problem}")
    return key


def _label_value(node: Node) -> str:
    return checked(node, problem_of_label_value)


def _requirement(fields: Mapping[str, Node]) -> Requirement:
    key = checked(fields["key"], problem_of_label_key)
    operator = choice(fields["operator"], Operator)
    values = checked_items(fields["values"], problem_of_label_value)
    # The API server validates a LabelSelector by the same two rules.
    if operator in (Operator.IN, Operator.NOT_IN) and fields["values"].value in (None, []):
        fields["values"].report(f"is required with operator {operator}")
    if operator in (Operator.EXISTS, Operator.DOES_NOT_EXIST) and values:
        fields["values"].report(f"is not allowed with operator {operator}")
    return Requirement(key, operator or Operator.EXISTS, values)


def _name_filter(node: Node) -> NameFilter:
    fields = node.fields(("include", "exclude"))
    include = checked_items(fields["include"], _problem_of_pattern)
    if fields["include"].value == []:
        fields["include"].report("is empty and so matches nothing: leave it out to match every ServiceAccount")
    exclude = checked_items(fields["exclude"], _problem_of_pattern)
    return NameFilter(NameFilter().include if fields["include"].absent else include, exclude)


def _problem_of_pattern(text: str) -> str | None:
    return None if _NAME_PATTERN.fullmatch(text) else "is not a pattern that a ServiceAccount name can match"


def _registries(node: Node, pods: PodPolicy | None) -> tuple[str, ...]:
    registries = checked_items(node, _problem_of_registry)
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


def _retired(node: Node, configured: set[str], renewing: _RenewingSources) -> tuple[str, ...]:
    nodes = node.items()
    names = tuple(checked(item, problem_of_subdomain) for item in nodes)
    report_repeats(nodes)
    for name, item in zip(names, nodes, strict=True):
        if name and name in configured:
            item.report(f"{quoted(name)} is also in pullSecrets: it is either configured or retired")
        renewing.report_clash(item)
    return names
