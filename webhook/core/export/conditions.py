"""When one pull secret is to be referenced, as conditions in CEL: the gates of ``webhook/core/inject.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.core.export import cel, images
from webhook.core.labels import Operator
from webhook.core.model import PodPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.core.labels import Requirement
    from webhook.core.model import Configuration, NameFilter, PullSecret

LABELS = "variables.labels"
DECLINED = "variables.declined"
ACCOUNT = "variables.account"


def conditions(entry: PullSecret, configuration: Configuration, *, of_pods: bool) -> tuple[str, ...]:
    """Return the conditions that must all hold for an object of an opted-in namespace to get a reference."""
    found = [_requirement(each) for each in entry.namespace_selector.requirements]
    found += [cel.matches_any("request.namespace", patterns) for patterns in entry.limits if "*" not in patterns]
    if configuration.opt_in.may_decline:
        found.append(f"!({cel.text(entry.name)} in {DECLINED})")
    found += _account(entry.service_accounts)
    if of_pods and entry.pods is PodPolicy.WHEN_IMAGE_MATCHES:
        found.append(images.from_registries(entry.registries))
    return tuple(found)


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


def _account(names: NameFilter) -> Iterator[str]:
    if "*" not in names.include:
        yield cel.matches_any(ACCOUNT, names.include)
    if names.exclude:
        yield f"!{cel.matches_any(ACCOUNT, names.exclude)}"
