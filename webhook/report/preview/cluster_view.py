"""Describe the cluster of some manifests: its namespaces, the controller's plan for each, and the sources."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from webhook.report.preview.copies import hashes_for
from webhook.report.preview.deciding import decide_in
from webhook.report.preview.objects import is_subject, read_annotations, read_namespace, read_subject
from webhook.report.preview.secrets import Expected, Sources, read_copy, read_source, with_hash
from webhook.rules.backfill import enforces_references
from webhook.rules.configuration import Reason
from webhook.rules.objects import NamespaceState, ServiceAccount
from webhook.rules.plan import plan_namespace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from webhook.report.preview.manifest import Manifest
    from webhook.rules.actions import NamespacePlan
    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import Copy, Namespace, Subject

NO_NAMESPACES: Mapping[str, Namespace] = {}


class ClusterView(msgspec.Struct, frozen=True):
    """The known parts of the cluster; of repeated objects, the last one counts."""

    configuration: Configuration
    release_namespace: str
    states: Mapping[str, NamespaceState]
    plans: Mapping[str, NamespacePlan]
    expected: Mapping[str, Expected]
    sources: Sources
    removals: Mapping[tuple[str, str], tuple[str, ...]]
    hashed: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Secrets of the release namespace with the name of an unseen source and a hash, and that source."""
    unseen_copies: frozenset[str] = frozenset()
    """Names for which the existing copies are unknown."""

    def namespace(self, name: str) -> Namespace | None:
        """Return a namespace; None when it is not in the manifests or unreadable."""
        state = self.states.get(name)
        return None if state is None else state.namespace

    def removed(self, subject: Subject) -> tuple[str, ...]:
        """Return the references that the controller would remove from a ServiceAccount."""
        return self.removals.get((subject.namespace, subject.name), ()) if subject.kind == "ServiceAccount" else ()


def is_source(manifest: Manifest, configuration: Configuration, release_namespace: str) -> bool:
    """Return whether this is a Secret that the configuration names as a source."""
    return (
        manifest.is_core("Secret")
        and bool(release_namespace)
        and manifest.namespace == release_namespace
        and manifest.name in configuration.source_names
    )


def may_be_a_copy(manifest: Manifest, configuration: Configuration) -> bool:
    """Return whether this is a Secret with the name of a copy, current or retired."""
    return manifest.is_core("Secret") and manifest.name in configuration.secret_names


def unknown_namespaces(manifests: Sequence[Manifest], configuration: Configuration) -> tuple[str, ...]:
    """Return the namespaces whose labels are needed and that are not among ``manifests``."""
    known_names = {manifest.name for manifest in manifests if manifest.is_core("Namespace")}
    subjects = (
        read_subject(manifest)
        for manifest in manifests
        if is_subject(manifest) and manifest.namespace not in known_names
    )
    undecided = {
        subject.namespace
        for subject in subjects
        if subject is not None and decide_in(None, subject, configuration).reason is Reason.NAMESPACE_UNKNOWN
    }
    return tuple(sorted(undecided))


def survey(
    manifests: Sequence[Manifest],
    configuration: Configuration,
    release_namespace: str,
    namespaces: Mapping[str, Namespace] = NO_NAMESPACES,
) -> ClusterView:
    """Return the cluster that ``manifests`` describe, with ``namespaces`` known from elsewhere."""
    sources = Sources(
        {
            manifest.name: read_source(manifest)
            for manifest in manifests
            if is_source(manifest, configuration, release_namespace)
        }
    )
    expected = {entry.name: sources.expected(entry) for entry in configuration.copied}
    states = _states(manifests, configuration, release_namespace, namespaces)
    plans = {name: plan_namespace(state, configuration, hashes_for(expected, state)) for name, state in states.items()}
    removals = {
        (name, removal.service_account.name): removal.names for name in plans for removal in plans[name].removals
    }
    hashed = _hashed(manifests, configuration, sources, release_namespace)
    return ClusterView(configuration, release_namespace, states, plans, expected, sources, removals, hashed)


def _hashed(
    manifests: Sequence[Manifest], configuration: Configuration, sources: Sources, release_namespace: str
) -> dict[str, str]:
    secrets = [
        manifest.name
        for manifest in manifests
        if manifest.is_core("Secret") and manifest.namespace == release_namespace
    ]
    names_by_secret = {
        with_hash(name, secrets): name
        for name in configuration.source_names
        if release_namespace and name not in sources.read
    }
    return {secret: name for secret, name in names_by_secret.items() if secret is not None}


def _states(
    manifests: Sequence[Manifest],
    configuration: Configuration,
    release_namespace: str,
    known_namespaces: Mapping[str, Namespace],
) -> dict[str, NamespaceState]:
    namespaces = {
        **known_namespaces,
        **{manifest.name: read_namespace(manifest) for manifest in manifests if manifest.is_core("Namespace")},
    }
    copies: dict[str, dict[str, Copy]] = defaultdict(dict)
    accounts: dict[str, list[ServiceAccount]] = defaultdict(list)
    for manifest in manifests:
        if may_be_a_copy(manifest, configuration):
            namespace = namespaces.get(manifest.namespace)
            uid = namespace.uid if namespace is not None else ""
            copies[manifest.namespace][manifest.name] = read_copy(manifest, release_namespace, uid)
        elif manifest.is_core("ServiceAccount"):
            accounts[manifest.namespace] += _accounts(manifest)
    return {
        name: NamespaceState(namespace, copies[name], accounts[name])
        for name, namespace in namespaces.items()
        if namespace is not None
    }


def _accounts(manifest: Manifest) -> Iterable[ServiceAccount]:
    subject = read_subject(manifest)
    if subject is not None:
        enforces = enforces_references(read_annotations(manifest))
        yield ServiceAccount(subject.namespace, subject.name, "", subject.labels, subject.references, enforces=enforces)
