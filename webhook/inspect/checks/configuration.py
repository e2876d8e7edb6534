"""Check the configuration and the labels that people set because of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from webhook.errors import Forbidden
from webhook.inspect.checks.result import Check, Context, Outcome, finding, note
from webhook.kube.objects import to_namespace
from webhook.kube.resources import MUTATING_WEBHOOK_CONFIGURATIONS, NAMESPACES, SECRETS, Collection
from webhook.kube.webhook_configuration import WebhookConfiguration
from webhook.kube.wire import PartialObjectMetadata
from webhook.rules.gates import selected_pull_secrets
from webhook.rules.mistyped import mistyped_opt_in
from webhook.rules.ownership import labels_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import Namespace


def _look(context: Context) -> Iterator[Outcome]:
    configuration = context.installed.configuration
    others = _labels_of_other_releases(context)
    unused = {entry.name for entry in configuration.pull_secrets}
    for each in context.reader.each(Collection(NAMESPACES), PartialObjectMetadata):
        namespace = to_namespace(each)
        unused -= {entry.name for entry in selected_pull_secrets(configuration, namespace)}
        if not namespace.terminating:
            yield from _labels(namespace, configuration, others)
    for name in sorted(unused):
        yield note("PSW032", f"no namespace is selected for {name}")
    yield from _dropped(context)


def _dropped(context: Context) -> Iterator[Outcome]:
    """Yield the names of copies that the configuration does not contain any more."""
    installed = context.installed
    labels = labels_for(installed.release.name, installed.release.namespace)
    selector = {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())}
    known = set(installed.configuration.secret_names)
    dropped: Counter[str] = Counter()
    try:
        for each in context.reader.each(Collection(SECRETS), PartialObjectMetadata, selector):
            if each.metadata.namespace != installed.release.namespace:
                dropped.update({each.metadata.name} - known)
    except Forbidden:
        yield note("PSW034", "copies of dropped names were not looked for: you may not list Secrets")
    for name, number in sorted(dropped.items()):
        copies = "1 copy is" if number == 1 else f"{number:,} copies are"
        todo = "add it to retired in the values to have them removed"
        yield finding("PSW034", f"{name} is not in the configuration any more, and {copies} left: {todo}")


def _labels(namespace: Namespace, configuration: Configuration, others: frozenset[str]) -> Iterator[Outcome]:
    """Yield the suspicious opt-in labels of one namespace."""
    opt_in = configuration.opt_in
    wanted = f"{opt_in.label}={opt_in.value}"
    if namespace.name in configuration.excluded_namespaces:
        if namespace.labels.get(opt_in.label) == opt_in.value:
            todo = f"remove it: kubectl label namespace {namespace.name} {opt_in.label}-"
            yield finding("PSW033", f"namespace {namespace.name} is excluded and has the label {wanted}: {todo}")
        return
    typed = mistyped_opt_in(namespace.labels, opt_in, others)
    if typed is not None:
        yield finding("PSW031", f"namespace {namespace.name} has the label {'='.join(typed)}: was {wanted} meant?")


def _labels_of_other_releases(context: Context) -> frozenset[str]:
    """Return the opt-in labels of all releases: two of them may be similar."""
    collection = Collection(MUTATING_WEBHOOK_CONFIGURATIONS)
    return frozenset(
        requirement.key
        for each in context.reader.each(collection, WebhookConfiguration)
        for webhook in each.webhooks
        for requirement in webhook.namespace_selector.selector().requirements
    )


CONFIGURATION = Check(("PSW031", "PSW032", "PSW033", "PSW034"), _look)
