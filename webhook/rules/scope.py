"""Define the parts of objects that a configuration needs, so that caches keep only these.

A tenant chooses the number of references and labels of an object. A cache that kept all of them would let one tenant
fill the memory of the controller. So each cache keeps the names and label keys of one scope. Parts that it has not kept
count as unknown until the objects have been listed again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from webhook.rules.configuration import OptIn
from webhook.rules.rollout import PRIORITY_LABEL

if TYPE_CHECKING:
    from webhook.rules.configuration import Configuration, PullSecret


@dataclass(frozen=True, slots=True)
class CacheScope:
    """The names of pull secrets, and the keys of labels, that are kept of ServiceAccounts and Namespaces."""

    names: frozenset[str] = frozenset()
    account_labels: frozenset[str] = frozenset()
    namespace_labels: frozenset[str] = frozenset()
    token_accounts: frozenset[str] = frozenset()
    """The ServiceAccounts of which the UID is kept, because tokens are issued of them."""
    opt_in: OptIn = field(default_factory=OptIn, compare=False)
    """Used to detect a misspelled opt-in label; decisions do not depend on that."""

    def covers(self, other: CacheScope) -> bool:
        """Return whether a cache with this scope has everything that a cache with the other scope has."""
        return (
            self.names >= other.names
            and self.account_labels >= other.account_labels
            and self.token_accounts >= other.token_accounts
            and self.namespace_labels >= other.namespace_labels
        )

    def with_labels_of(self, other: CacheScope) -> CacheScope:
        """Return this scope with the namespace labels of another one added."""
        return replace(self, namespace_labels=self.namespace_labels | other.namespace_labels)


def scope_of(configuration: Configuration) -> CacheScope:
    """Return the scope that decisions with this configuration need."""
    keys = {
        requirement.key for entry in configuration.pull_secrets for requirement in entry.namespace_selector.requirements
    }
    if any(entry.rollout is not None for entry in configuration.pull_secrets):
        keys.add(PRIORITY_LABEL)
    return CacheScope(
        names=frozenset(configuration.reference_names),
        account_labels=frozenset({configuration.opt_in.label}),
        namespace_labels=frozenset({configuration.opt_in.label, *keys}),
        token_accounts=configuration.token_accounts,
        opt_in=configuration.opt_in,
    )


def part_within(configuration: Configuration, scope: CacheScope) -> Configuration:
    """Return the part of a configuration that can be decided from caches with this scope.

    Without the opt-in label of a namespace, it is unknown whether the configuration applies there.
    """
    label = configuration.opt_in.label
    if label not in scope.namespace_labels or label not in scope.account_labels:
        return configuration.part((), ())
    return configuration.part(
        tuple([entry for entry in configuration.pull_secrets if _is_within(entry, scope)]),
        tuple([name for name in configuration.retired if name in scope.names]),
    )


def _is_within(entry: PullSecret, scope: CacheScope) -> bool:
    requirements = entry.namespace_selector.requirements
    return (
        entry.name in scope.names
        and scope.namespace_labels.issuperset([requirement.key for requirement in requirements])
        and all(token.service_account in scope.token_accounts for token in entry.tokens)
    )
