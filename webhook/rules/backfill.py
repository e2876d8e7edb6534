"""Check the references of one namespace's ServiceAccounts: missing ones, and those that cannot wait for their copy.

A ServiceAccount can enforce its references. Then the API server rejects each of its Pods that references a pull secret
that the ServiceAccount itself lacks. It checks after the webhooks, so it also checks references that the webhook added,
and the webhook sees only the Pod. Therefore such a ServiceAccount immediately gets each reference that its Pods may get
at admission, even before the copy exists. A reference to a missing Secret is harmless; a missing reference keeps Pods
from being created.

Source: k8s.io/kubernetes, plugin/pkg/admission/serviceaccount/admission.go (limitSecretReferences).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from webhook.rules.actions import AddReferences, Finding, FindingReason
from webhook.rules.configuration import OPT_OUT_VALUE, PodPolicy
from webhook.rules.gates import decide, selected_pull_secrets
from webhook.rules.managed_fields import SETTLED, HandBackNeed, hand_back_needed
from webhook.rules.objects import Subject
from webhook.rules.references import References

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import Namespace, NamespaceState, ServiceAccount

MAX_REFERENCES = 5_000
"""The most references in one ServiceAccount that the controller adds to.

Each addition makes the API server decode, check and store the whole list. At this length it takes a few milliseconds,
and the guard's policies evaluate within their cost limit.
"""

ENFORCE_ANNOTATION = "kubernetes.io/enforce-mountable-secrets"

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
"""Texts that Go's strconv.ParseBool parses as true."""


def enforces_references(annotations: Mapping[str, str]) -> bool:
    """Return whether a ServiceAccount with these annotations allows its Pods only its own references."""
    return annotations.get(ENFORCE_ANNOTATION) in _TRUE


def too_many(references: References) -> bool:
    """Return whether a list is too long to add to it."""
    return references.count > MAX_REFERENCES


def additions_after_copies(
    state: NamespaceState, configuration: Configuration, usable: Collection[str]
) -> Iterator[AddReferences]:
    """Yield the references to add after the copies are written; ``usable`` names have a copy then."""
    for account in state.service_accounts:
        # ServiceAccounts that enforce their references get them first, by required_additions.
        if not account.enforces and not _has_all(account, usable):
            yield from _add(account, _missing(account, configuration, state.namespace), usable)


def required_additions(
    state: NamespaceState, injected: Configuration, usable: Collection[str]
) -> Iterator[AddReferences]:
    """Yield the references to add before anything else, because Pods are rejected without them.

    ``injected`` is the configuration of the webhook. References that Pods do not get at admission wait for their copy.
    """
    for account in state.service_accounts:
        if account.enforces:
            allowed = {*usable, *_injected_into_pods(injected)}
            yield from _add(account, _missing(account, injected, state.namespace), allowed)


def withheld_references(state: NamespaceState, injected: Configuration) -> Iterator[Finding]:
    """Yield the references that are not added, because the list is too long or the account opts out.

    In the second case the ServiceAccount enforces its references and is disabled, but its Pods need them.
    """
    for account in state.service_accounts:
        if account.references is not None and too_many(account.references):
            for name in _unreferenced(account, injected, state.namespace):
                yield Finding(FindingReason.REFERENCES_TOO_MANY, name, account.name)
        elif account.enforces and account.labels.get(injected.opt_in.label) == OPT_OUT_VALUE:
            injected_names = _injected_into_pods(injected)
            # Without its labels, because its Pods are decided on without them, and get the reference.
            for name in _missing(replace(account, labels={}), injected, state.namespace):
                if name in injected_names:
                    yield Finding(FindingReason.REFERENCE_REQUIRED, name, account.name)


def needs_plan(account: ServiceAccount, namespace: Namespace, configuration: Configuration) -> bool:
    """Return whether a ServiceAccount, as it is now, can change the plan of its namespace.

    It cannot if it has all due references, no undue reference of ours, no list ownership to hand back, and nothing to
    report. So most changes of one ServiceAccount do not need a plan of the others.
    """
    if account.references is None or account.terminating or account.enforces or too_many(account.references):
        return True
    if _unreferenced(account, configuration, namespace):
        return True
    selected = {entry.name for entry in selected_pull_secrets(configuration, namespace)}
    undue = set(account.references.names) - selected
    return hand_back_need(account, selected) is not None or not undue.isdisjoint(configuration.reference_names)


def hand_back_need(account: ServiceAccount, due: Collection[str]) -> HandBackNeed | None:
    """Return the list ownership to hand back; ``due`` are the names that may be ours."""
    if account.ownership is SETTLED or account.references is None or account.terminating:
        return None
    ours = sum(name in due for name in account.references.names)
    return hand_back_needed(account.ownership, ours=ours, entries=account.references.count)


def subject_of(account: ServiceAccount, namespace: Namespace) -> Subject:
    """Return a ServiceAccount of a namespace as decisions read it; an unreadable list counts as absent."""
    references = References() if account.references is None else account.references
    # Annotations are left out: they decide only about Pods.
    return Subject("ServiceAccount", account.name, namespace.name, account.labels, {}, references)


def _has_all(account: ServiceAccount, usable: Collection[str]) -> bool:
    """Return whether a ServiceAccount references all of these names already, so that no decision is needed."""
    references = account.references
    return references is not None and all(name in references.names for name in usable)


def _add(account: ServiceAccount, missing: tuple[str, ...], allowed: Collection[str]) -> Iterator[AddReferences]:
    names = tuple(name for name in missing if name in allowed)
    if names:
        yield AddReferences(account, names)


def _missing(account: ServiceAccount, configuration: Configuration, namespace: Namespace) -> tuple[str, ...]:
    """Return the due names that a ServiceAccount does not reference; none if its list cannot be changed."""
    if account.references is None or too_many(account.references):
        return ()
    return _unreferenced(account, configuration, namespace)


def _unreferenced(account: ServiceAccount, configuration: Configuration, namespace: Namespace) -> tuple[str, ...]:
    """Return the due names that a ServiceAccount does not reference, for a list of any length."""
    if account.references is None or account.terminating:
        return ()
    return decide(subject_of(account, namespace), configuration, namespace).added


def _injected_into_pods(configuration: Configuration) -> frozenset[str]:
    return frozenset(entry.name for entry in configuration.pull_secrets if entry.pods is not PodPolicy.NEVER)
