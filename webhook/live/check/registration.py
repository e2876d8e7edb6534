"""The MutatingWebhookConfiguration as the chart makes it from the configuration, against what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.core.explain.registration import NAME_LABEL
from webhook.core.labels import Operator, Requirement
from webhook.core.model import OPT_OUT_VALUE, PodPolicy
from webhook.live.check.outcome import Check, Context, Outcome, finding, note

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from webhook.core.model import Configuration
    from webhook.live.webhooks import LabelSelector, Webhook, WebhookConfiguration

OPERATIONS: Mapping[str, tuple[str, frozenset[str]]] = {
    "pods.pullsecrets.webhook": ("pods", frozenset({"CREATE"})),
    "serviceaccounts.pullsecrets.webhook": ("serviceaccounts", frozenset({"CREATE", "UPDATE"})),
}
"""What each of our webhooks must be asked about."""

_CONDITION = "a-reference-is-missing"


def _look(context: Context) -> Iterator[Outcome]:
    installed = context.installed
    if installed.webhook is None:
        yield finding("PSW010", f"there is no MutatingWebhookConfiguration {installed.fullname}")
        return
    webhooks = {each.name: each for each in installed.webhook.webhooks}
    for name in OPERATIONS:
        if name not in webhooks:
            yield finding("PSW010", f"MutatingWebhookConfiguration {installed.fullname} has no webhook {name}")
            continue
        webhook = webhooks[name]
        yield from _rules(webhook)
        yield from _selectors(webhook, installed.configuration)
        yield from _policies(webhook, installed.webhook)
        yield from _conditions(webhook, installed.configuration)


def _rules(webhook: Webhook) -> Iterator[Outcome]:
    resource, wanted = OPERATIONS[webhook.name]
    asked = {(each, operation) for rule in webhook.rules for each in rule.resources for operation in rule.operations}
    missing = sorted(operation for operation in wanted if (resource, operation) not in asked)
    if missing:
        yield finding("PSW011", f"{webhook.name} is not asked about {' and '.join(missing)} of {resource}")
    others = sorted(f"{operation} of {each}" for each, operation in asked - {(resource, each) for each in wanted})
    if others:
        yield finding("PSW011", f"{webhook.name} is also asked about {' and '.join(others)}")


def _selectors(webhook: Webhook, configuration: Configuration) -> Iterator[Outcome]:
    opt_in = configuration.opt_in
    excluded = tuple(sorted(configuration.excluded_namespaces))
    of_namespaces = (
        Requirement(opt_in.label, Operator.IN, (opt_in.value,)),
        Requirement(NAME_LABEL, Operator.NOT_IN, excluded),
    )
    of_objects = (Requirement(opt_in.label, Operator.NOT_IN, (OPT_OUT_VALUE,)),)
    yield from _required(webhook, "namespaceSelector", webhook.namespace_selector, of_namespaces)
    yield from _required(webhook, "objectSelector", webhook.object_selector, of_objects)


def _required(
    webhook: Webhook, field: str, selector: LabelSelector, wanted: Iterable[Requirement]
) -> Iterator[Outcome]:
    there = {_sorted(each) for each in selector.selector().requirements}
    for requirement in wanted:
        if requirement not in there:
            values = f" ({', '.join(requirement.values)})" if requirement.values else ""
            yield finding(
                "PSW012", f"the {field} of {webhook.name} lacks {requirement.key} {requirement.operator}{values}"
            )


def _sorted(requirement: Requirement) -> Requirement:
    return Requirement(requirement.key, requirement.operator, tuple(sorted(requirement.values)))


def _policies(webhook: Webhook, configuration: WebhookConfiguration) -> Iterator[Outcome]:
    for field, value, wanted in (
        ("sideEffects", webhook.side_effects, "None"),
        ("matchPolicy", webhook.match_policy, "Equivalent"),
    ):
        if value != wanted:
            yield finding("PSW013", f"{field} of {webhook.name} is {value or 'not set'}, and should be {wanted}")
    installers = configuration.managers_of(webhook.name, "sideEffects")
    for field in ("failurePolicy", "reinvocationPolicy", "timeoutSeconds"):
        managers = configuration.managers_of(webhook.name, field)
        if installers and managers and not managers & installers:
            who = ", ".join(sorted(managers))
            yield finding("PSW013", f"{field} of {webhook.name} has been changed by {who} since it was installed")


def _conditions(webhook: Webhook, configuration: Configuration) -> Iterator[Outcome]:
    if not webhook.match_conditions:
        yield note("PSW014", f"{webhook.name} has no match condition: the API server asks about every object")
        return
    of_pods = OPERATIONS[webhook.name][0] == "pods"
    due = [each.name for each in configuration.pull_secrets if not (of_pods and each.pods is PodPolicy.NEVER)]
    for condition in webhook.match_conditions:
        if condition.name != _CONDITION:
            continue
        missing = [name for name in due if f'"{name}"' not in condition.expression]
        if missing:
            yield finding("PSW014", f"the match condition of {webhook.name} does not name {', '.join(missing)}")


REGISTRATION = Check(("PSW010", "PSW011", "PSW012", "PSW013", "PSW014"), _look)
