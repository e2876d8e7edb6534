"""Define the values of decisions: the configuration and the reasons."""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import force_setattr, replace

from webhook.rules.copy_metadata import NO_METADATA, CopyMetadata
from webhook.rules.labels import EVERYTHING, Selector
from webhook.rules.names import is_pattern
from webhook.rules.renewing import (  # noqa: TC001 - as the state document is read
    CredentialProvider,
    NamespaceToken,
    ServiceAccountToken,
)
from webhook.rules.text import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from webhook.rules.renewing import RenewingSource

DEFAULT_OPT_IN_LABEL = "pullsecrets.webhook/inject"
DEFAULT_OPT_IN_VALUE = "enabled"
OPT_OUT_VALUE = "disabled"
"""The value of the opt-in label with which a single Pod or ServiceAccount opts out."""

DECLINE_ANNOTATION = "pullsecrets.webhook/decline"
"""On a Namespace: the names of declined pull secrets, separated by commas."""

DEFAULT_EXCLUDED_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease")


class PodPolicy(StrEnum):
    """The Pods of a selected namespace that reference a pull secret (``pods`` in the configuration)."""

    ALWAYS = "Always"
    WHEN_IMAGE_MATCHES = "WhenImageMatches"
    NEVER = "Never"


class Reason(StrEnum):
    """The stable reason ids of decisions; logs, metrics, audit annotations and ``plan`` use them.

    The order is the order of the gates. When several pull secrets stop one object at different gates, the object's
    reason is the last of them, which came closest to a patch.
    """

    __hash__ = str.__hash__  # Enum's own is slow Python, and each review uses it

    INTERNAL_ERROR = "internal-error"
    OPERATION_IGNORED = "operation-ignored"
    RESOURCE_IGNORED = "resource-ignored"
    OBJECT_ABSENT = "object-absent"
    OBJECT_UNREADABLE = "object-unreadable"
    NAMESPACE_EXCLUDED = "namespace-excluded"
    NAMESPACE_TERMINATING = "namespace-terminating"
    NAMESPACE_NOT_OPTED_IN = "namespace-not-opted-in"
    OBJECT_DISABLED = "object-disabled"
    MIRROR_POD = "mirror-pod"
    NOTHING_CONFIGURED = "nothing-configured"
    NAMESPACE_UNKNOWN = "namespace-unknown"
    NAMESPACE_NOT_SELECTED = "namespace-not-selected"
    SOURCE_NOT_FOR_NAMESPACE = "source-not-for-namespace"
    NAMESPACE_DECLINES = "namespace-declines"
    PODS_NEVER = "pods-never"
    SERVICE_ACCOUNT_NOT_INCLUDED = "service-account-not-included"
    IMAGE_NOT_MATCHED = "image-not-matched"
    ALREADY_PRESENT = "already-present"
    INJECTED = "injected"


class Scope(StrEnum):
    """The namespaces that are selected (``optIn.scope``), unless they are excluded."""

    LABELLED = "Labelled"
    """Those with the opt-in label."""
    ALL = "All"
    """All but those with the value ``disabled`` of that label."""


class OptIn(msgspec.Struct, frozen=True):
    """The label with which a namespace opts in, or out of the scope ``All``."""

    label: str = DEFAULT_OPT_IN_LABEL
    value: str = DEFAULT_OPT_IN_VALUE
    may_decline: bool = False
    """True if a namespace may decline single pull secrets; then each decision needs its annotations."""
    scope: Scope = Scope.LABELLED

    @property
    def is_everywhere(self) -> bool:
        """Return whether a namespace without the label is selected."""
        return self.scope is Scope.ALL

    @property
    def deciding_value(self) -> str:
        """Return the value of the label that makes a difference: it opts in, or out of the scope ``All``."""
        return OPT_OUT_VALUE if self.is_everywhere else self.value

    @property
    def deciding_label(self) -> str:
        """Return the label with that value, as kubectl writes it."""
        return f"{self.label}={self.deciding_value}"

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Return whether a namespace with these labels has opted in, or has not opted out."""
        return (labels.get(self.label) == self.deciding_value) is not self.is_everywhere


class NameFilter(msgspec.Struct, frozen=True):
    """Shell-style patterns of names: included by one of ``include`` and by none of ``exclude``."""

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()

    def matches(self, name: str) -> bool:
        return _matches_any(name, self.include) and not _matches_any(name, self.exclude)


def _matches_any(name: str, patterns: Collection[str]) -> bool:
    return bool(patterns) and ("*" in patterns or any(fnmatchcase(name, pattern) for pattern in patterns))


class WhenUnknown(StrEnum):
    """The next step if a registry does not answer (``whenUnknown`` in the configuration)."""

    HOLD = "Hold"
    CONTINUE = "Continue"


class ProofSettings(msgspec.Struct, frozen=True):
    """The proof of a new content at its registries, with each credential that has changed."""

    when_unknown: WhenUnknown = WhenUnknown.HOLD
    login: bool = True
    """Log in to each registry."""
    pull: tuple[str, ...] = ()
    """Images that a node has to be able to pull."""
    images_from_pods: bool = False
    """True if images of the Pods that run are among them."""


class RolloutSettings(msgspec.Struct, frozen=True):
    """The stages in which a new content of a pull secret reaches the namespaces (``rollout``)."""

    prove: ProofSettings | None = None
    """None if the registries are not asked."""
    canary: tuple[str, ...] = ()
    """Patterns of the namespaces that get it first; empty for none."""
    soak: float = 300.0
    """Seconds that these namespaces have it before the others."""
    watch_pods: bool = False
    """True if their Pods hold the rollout when a registry refuses them a pull."""
    max_per_second: int = 0
    """Copies that change in a second, outside the canary; 0 for no limit."""
    overlap: float = 3600.0
    """Seconds after completion for which the previous content is kept, so that it can be returned."""

    @property
    def continues_unproved(self) -> bool:
        """True if a rollout continues while it is unknown whether the registries accept the content."""
        return self.prove is not None and self.prove.when_unknown is WhenUnknown.CONTINUE

    @property
    def watched_by_name(self) -> tuple[str, ...]:
        """The namespaces whose Pods are watched and that are named in full; the chart grants the right there."""
        return tuple(name for name in self.canary if self.watch_pods and not is_pattern(name))

    def is_canary(self, namespace: str) -> bool:
        """Return whether a namespace with this name gets a new content first."""
        return _matches_any(namespace, self.canary)


class HealingSettings(msgspec.Struct, frozen=True):
    """The eviction of Pods that fail to pull without a due reference (``healing``); off by default."""

    enabled: bool = False
    per_minute: int = 20
    """Evictions in any minute, in the whole cluster."""


class PullSecret(msgspec.Struct, frozen=True):
    """One entry of ``pullSecrets``: a name, its sources, and its scope."""

    name: str
    sources: tuple[str, ...]
    namespace_selector: Selector = EVERYTHING
    service_accounts: NameFilter = NameFilter()
    pods: PodPolicy = PodPolicy.ALWAYS
    registries: tuple[str, ...] = ()
    limits: tuple[tuple[str, ...], ...] = ()
    """For each restricted source: the patterns of namespace names that it may go to."""
    tokens: tuple[NamespaceToken, ...] = ()
    """The sources that are a token of each namespace's own ServiceAccount; ``sources`` does not have them."""
    rollout: RolloutSettings | None = None
    """None if a valid content reaches all namespaces immediately."""
    copies: CopyMetadata = NO_METADATA
    """The labels and annotations of its copies."""
    tenant_owned: bool = False
    """True if the Secret belongs to each namespace: it is referenced there, and never read, written or deleted."""

    @property
    def made_from(self) -> str:
        """Return the sources as text for people."""
        accounts = tuple(f"a token of ServiceAccount {token.service_account} of the namespace" for token in self.tokens)
        return listed((*self.sources, *accounts))

    def may_go_to(self, namespace: str) -> bool:
        """Return whether each of its sources may go to a namespace with this name."""
        return not self.limits or all(_matches_any(namespace, patterns) for patterns in self.limits)


class Configuration(msgspec.Struct, frozen=True):
    """A validated configuration document; immutable, so that one decision reads one snapshot."""

    pull_secrets: tuple[PullSecret, ...]
    opt_in: OptIn = OptIn()
    excluded_namespaces: frozenset[str] = frozenset(DEFAULT_EXCLUDED_NAMESPACES)
    excluded_patterns: tuple[str, ...] = ()
    """Shell-style patterns of further excluded namespaces."""
    retired: tuple[str, ...] = ()
    credential_providers: tuple[CredentialProvider, ...] = ()
    service_account_tokens: tuple[ServiceAccountToken, ...] = ()
    """The sources that renew themselves, each once. ``PullSecret.sources`` has the names of their Secrets."""
    healing: HealingSettings = HealingSettings()
    needs_namespace_labels: bool = False
    """True if admission decisions need more of the namespace than the API server has matched. It is always computed,
    and a field because the stored state of earlier versions has it."""

    def __post_init__(self) -> None:
        # Computed once, because each review reads it.
        needed = self.opt_in.may_decline or any(entry.namespace_selector != EVERYTHING for entry in self.pull_secrets)
        force_setattr(self, "needs_namespace_labels", needed)

    def excludes(self, namespace: str) -> bool:
        """Return whether a namespace with this name is never changed."""
        return namespace in self.excluded_namespaces or (
            bool(self.excluded_patterns) and _matches_any(namespace, self.excluded_patterns)
        )

    def excluding(self, namespace: str) -> Configuration:
        """Return this configuration with one more excluded namespace: always the release namespace."""
        return replace(self, excluded_namespaces=self.excluded_namespaces | {namespace})

    def part(self, pull_secrets: tuple[PullSecret, ...], retired: tuple[str, ...]) -> Configuration:
        """Return this configuration with only these of its pull secrets and retired names; itself if that is all."""
        if len(pull_secrets) == len(self.pull_secrets) and len(retired) == len(self.retired):
            return self  # the usual case, for each plan and each event: a new configuration takes ten times as long
        return replace(self, pull_secrets=pull_secrets, retired=retired)

    @property
    def copied(self) -> tuple[PullSecret, ...]:
        """Return the pull secrets that have copies: all but those that belong to the namespaces."""
        return tuple([entry for entry in self.pull_secrets if not entry.tenant_owned])

    @property
    def tenant_names(self) -> tuple[str, ...]:
        """Return the names of the Secrets that belong to the namespaces."""
        return tuple([entry.name for entry in self.pull_secrets if entry.tenant_owned])

    @property
    def source_names(self) -> tuple[str, ...]:
        """Return the names of all sources, each once, in the order of the document."""
        return tuple(dict.fromkeys(source for entry in self.pull_secrets for source in entry.sources))

    @property
    def renewing(self) -> tuple[RenewingSource, ...]:
        """Return the sources that renew themselves."""
        return (*self.credential_providers, *self.service_account_tokens)

    @property
    def token_accounts(self) -> frozenset[str]:
        """Return the names of the ServiceAccounts of which each namespace gets a token."""
        return frozenset(token.service_account for entry in self.pull_secrets for token in entry.tokens)

    @property
    def issued_names(self) -> frozenset[str]:
        """Return the names of the Secrets in which issued credentials are kept."""
        return frozenset(source.secret for source in self.renewing)

    @property
    def secret_names(self) -> tuple[str, ...]:
        """Return the current and earlier names of copies: configured first, then retired."""
        return (*(entry.name for entry in self.copied), *self.retired)

    @property
    def reference_names(self) -> tuple[str, ...]:
        """Return the names of all references that are added or removed: those of copies, and of tenants' Secrets."""
        return tuple(dict.fromkeys((*self.secret_names, *self.tenant_names)))
