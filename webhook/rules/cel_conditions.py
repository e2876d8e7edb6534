"""Write CEL conditions, one function for each gate of ``webhook/rules/gates.py`` that depends on the pull secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.rules import cel
from webhook.rules.cel_images import from_registries
from webhook.rules.configuration import PodPolicy
from webhook.rules.labels import Operator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.rules.configuration import Configuration, NameFilter, PullSecret
    from webhook.rules.labels import Requirement

LABELS = "variables.labels"
DECLINED = "variables.declined"
ACCOUNT = "variables.account"


def selector(entry: PullSecret) -> Iterator[str]:
    """Yield that the labels of the namespace match."""
    return map(_requirement, entry.namespace_selector.requirements)


def limits(entry: PullSecret) -> Iterator[str]:
    """Yield that each source is allowed in the namespace."""
    for patterns in entry.limits:
        if "*" not in patterns:
            yield cel.matches_any("request.namespace", patterns)


def not_declined(entry: PullSecret, configuration: Configuration) -> Iterator[str]:
    """Yield that the namespace does not decline it."""
    if configuration.opt_in.may_decline:
        yield f"!({cel.text(entry.name)} in {DECLINED})"


def accounts(names: NameFilter) -> Iterator[str]:
    """Yield that the ServiceAccount is included."""
    if "*" not in names.include:
        yield cel.matches_any(ACCOUNT, names.include)
    if names.exclude:
        yield f"!{cel.matches_any(ACCOUNT, names.exclude)}"


def images(entry: PullSecret) -> Iterator[str]:
    """Yield that an image is from one of the registries."""
    if entry.pods is PodPolicy.WHEN_IMAGE_MATCHES:
        yield from_registries(entry.registries)


def _requirement(requirement: Requirement) -> str:
    key = cel.text(requirement.key)
    there = f"{key} in {LABELS}"
    among = f"{there} && {LABELS}[{key}] in {cel.texts(requirement.values)}"
    return {
        Operator.EXISTS: there,
        Operator.DOES_NOT_EXIST: f"!({there})",
        Operator.IN: among,
        Operator.NOT_IN: f"!({among})",
    }[requirement.operator]
