"""Which references the ServiceAccounts of one namespace lack, and which of them cannot wait for the copy they name.

A ServiceAccount can enforce its references: then the API server refuses each of its Pods that references a pull secret
which the ServiceAccount itself does not. It checks after the webhooks, so also what the webhook has added, and the
webhook cannot know: it sees the Pod alone. What can be done is done here: such a ServiceAccount gets at once each
reference that its Pods may get at admission, whether there is a copy yet or not. A reference to a Secret that is not
there harms nobody; the lack of one keeps Pods from being created.

Source: k8s.io/kubernetes, plugin/pkg/admission/serviceaccount/admission.go (limitSecretReferences).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from webhook.core.actions import AddReferences, Finding, FindingReason
from webhook.core.gates import decide, selected_pull_secrets
from webhook.core.inject import References, Subject
from webhook.core.managedfields import SETTLED, HandBackNeed, needed
from webhook.core.model import OPT_OUT_VALUE, PodPolicy

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from webhook.core.model import Configuration
    from webhook.core.selection import Namespace
    from webhook.core.state import NamespaceState, ServiceAccount

MOST_REFERENCES = 5_000
"""References in one ServiceAccount beyond which nothing is added to it.

Each addition makes the API server decode, check and store the whole list. At this length it takes a few milliseconds,
and the guard's policies evaluate within their cost limit.
"""

ENFORCE_ANNOTATION = "kubernetes.io/enforce-mountable-secrets"

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
"""What Go's strconv.ParseBool takes for true."""


def enforces_references(annotations: Mapping[str, str]) -> bool:
    """Return whether a ServiceAccount with these annotations allows its Pods only the references that it has itself."""
    return annotations.get(ENFORCE_ANNOTATION) in _TRUE


def too_many(references: References) -> bool:
    """Return whether a list is too long to add to it."""
    return references.count > MOST_REFERENCES


def additions_after_copies(
    state: NamespaceState, configuration: Configuration, usable: Collection[str]
) -> Iterator[AddReferences]:
    """Yield the references to add once the copies are written; of the ``usable`` names there is a copy then."""
    for account in state.service_accounts:
        if not account.enforces:
            yield from _add(account, _missing(account, configuration, state.namespace), usable)


def required_additions(
    state: NamespaceState, injected: Configuration, usable: Collection[str]
) -> Iterator[AddReferences]:
    """Yield the references to add before anything else, because Pods are refused without them.

    ``injected`` is what the webhook decides by; references that no Pod gets at admission wait for their copy here too.
    """
    for account in state.service_accounts:
        if account.enforces:
            allowed = {*usable, *_given_to_pods(injected)}
            yield from _add(account, _missing(account, injected, state.namespace), allowed)


def withheld_references(state: NamespaceState, injected: Configuration) -> Iterator[Finding]:
    """Yield the references that are not added: the list is too long, or Pods need one that their account may not get.

    The latter is a ServiceAccount that enforces its references and is disabled.
    """
    for account in state.service_accounts:
        if account.references is not None and too_many(account.references):
            for name in _lacking(account, injected, state.namespace):
                yield Finding(FindingReason.REFERENCES_TOO_MANY, name, account.name)
        elif account.enforces and account.labels.get(injected.opt_in.label) == OPT_OUT_VALUE:
            given = _given_to_pods(injected)
            for name in _missing(replace(account, labels={}), injected, state.namespace):
                if name in given:
                    yield Finding(FindingReason.REFERENCE_REQUIRED, name, account.name)


def needs_look(account: ServiceAccount, namespace: Namespace, configuration: Configuration) -> bool:
    """Return whether a ServiceAccount, as it is now, can change the plan of its namespace.

    It cannot if it lacks nothing, references nothing of ours that is not wanted here, and there is neither ownership of
    its list to hand back nor anything to report. So most changes of one ServiceAccount cost no plan of the others.
    """
    if account.references is None or account.terminating or account.enforces or too_many(account.references):
        return True
    wanted = {entry.name for entry in selected_pull_secrets(configuration, namespace)}
    if hand_back_need(account, wanted) or _lacking(account, configuration, namespace):
        return True
    return not (set(configuration.secret_names) - wanted).isdisjoint(account.references.names)


def hand_back_need(account: ServiceAccount, due: Collection[str]) -> HandBackNeed | None:
    """Return what of the ownership of a list has to be handed back; ``due`` are the names that may be ours."""
    if account.ownership is SETTLED or account.references is None or account.terminating:
        return None
    ours = sum(name in due for name in account.references.names)
    return needed(account.ownership, ours=ours, entries=account.references.count)


def subject_of(account: ServiceAccount, namespace: Namespace) -> Subject:
    """Return a ServiceAccount of a namespace as decisions read it; a list that cannot be read counts as absent."""
    references = References() if account.references is None else account.references
    return Subject("ServiceAccount", account.name, namespace.name, account.labels, {}, references)


def _add(account: ServiceAccount, missing: tuple[str, ...], allowed: Collection[str]) -> Iterator[AddReferences]:
    names = tuple(name for name in missing if name in allowed)
    if names:
        yield AddReferences(account, names)


def _missing(account: ServiceAccount, configuration: Configuration, namespace: Namespace) -> tuple[str, ...]:
    """Return the names that a ServiceAccount should reference and does not; none when its list cannot be changed."""
    if account.references is None or too_many(account.references):
        return ()
    return _lacking(account, configuration, namespace)


def _lacking(account: ServiceAccount, configuration: Configuration, namespace: Namespace) -> tuple[str, ...]:
    """Return the names that a ServiceAccount should reference and does not, however long its list is."""
    if account.references is None or account.terminating:
        return ()
    return decide(subject_of(account, namespace), configuration, namespace).added


def _given_to_pods(configuration: Configuration) -> frozenset[str]:
    return frozenset(entry.name for entry in configuration.pull_secrets if entry.pods is not PodPolicy.NEVER)
