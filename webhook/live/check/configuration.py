"""The configuration and the labels that people set because of it."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from webhook.core.gates import selected_pull_secrets
from webhook.core.model import OPT_OUT_VALUE
from webhook.kube.resources import MUTATING_WEBHOOK_CONFIGURATIONS, NAMESPACES, Collection
from webhook.live.check.outcome import Check, Context, Outcome, finding, note
from webhook.live.webhooks import WebhookConfiguration
from webhook.sync.shapes import NamespaceObject, to_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from webhook.core.model import OptIn

CLOSE = 0.8
"""How alike two texts must be for one to be a typing error of the other, from 0 to 1."""

_MEANT = frozenset({"true", "yes", "on", "1", "enable"})


def _look(context: Context) -> Iterator[Outcome]:
    configuration = context.installed.configuration
    others = _labels_of_other_releases(context)
    unused = {entry.name for entry in configuration.pull_secrets}
    for each in context.reader.each(Collection(NAMESPACES), NamespaceObject):
        namespace = to_namespace(each)
        unused -= {entry.name for entry in selected_pull_secrets(configuration, namespace)}
        typed = _typed_wrong(namespace.labels, configuration.opt_in, others)
        if typed and not namespace.terminating and namespace.name not in configuration.excluded_namespaces:
            wanted = f"{configuration.opt_in.label}={configuration.opt_in.value}"
            yield finding("PSW031", f"namespace {namespace.name} has the label {typed}: was {wanted} meant?")
    for name in sorted(unused):
        yield note("PSW032", f"no namespace is selected for {name}")


def _labels_of_other_releases(context: Context) -> frozenset[str]:
    """Return the opt-in labels of all releases: two of them may be much alike."""
    collection = Collection(MUTATING_WEBHOOK_CONFIGURATIONS)
    return frozenset(
        requirement.key
        for each in context.reader.each(collection, WebhookConfiguration)
        for webhook in each.webhooks
        for requirement in webhook.namespace_selector.selector().requirements
    )


def _typed_wrong(labels: Mapping[str, str], opt_in: OptIn, others: frozenset[str]) -> str:
    """Return the label that may have been meant for the opt-in label; empty when there is none."""
    value = labels.get(opt_in.label)
    if value not in (None, opt_in.value, OPT_OUT_VALUE) and value is not None:
        return f"{opt_in.label}={value}" if _is_close(value, opt_in.value) or value.lower() in _MEANT else ""
    if value is None:
        for key, other in labels.items():
            if other == opt_in.value and key not in others and _is_close(key, opt_in.label):
                return f"{key}={other}"
    return ""


def _is_close(text: str, wanted: str) -> bool:
    return SequenceMatcher(None, text.lower(), wanted.lower()).ratio() >= CLOSE


CONFIGURATION = Check(("PSW031", "PSW032"), _look)
