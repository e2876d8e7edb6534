"""Identify the owner of the objects that a cleanup is about to delete: a wrong flag must not uninstall another release.

The webhook configuration names its release and namespace. If it is gone, the copies, the controller's ServiceAccount or
the Lease of an earlier cleanup show that the release was here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from webhook.errors import NotFound, UsageError
from webhook.kube.lease import decode_lease
from webhook.kube.listing import list_decoder, list_objects
from webhook.kube.resources import LEASES, MUTATING_WEBHOOK_CONFIGURATIONS, SECRETS, SERVICE_ACCOUNTS, Collection
from webhook.kube.webhook_configuration import decode_webhook_configuration
from webhook.kube.wire import PartialObjectMetadata
from webhook.rules.ownership import RELEASE_LABEL, RELEASE_NAMESPACE_LABEL, is_a_copy, is_labelled

if TYPE_CHECKING:
    from webhook.kube.client import Client
    from webhook.rules.configuration import Configuration
    from webhook.sync.release import Release

INSTANCE_LABEL = "app.kubernetes.io/instance"
CLEANING = "uninstalling_"
"""Prefix of the holder in a Lease that a cleanup has seized."""


class Target(Protocol):
    """The objects that a cleanup was pointed at."""

    @property
    def release(self) -> Release:
        """The release."""

    @property
    def webhook_configuration(self) -> str:
        """The name of its MutatingWebhookConfiguration."""

    @property
    def lease(self) -> str:
        """The name of its Lease, and of the controller's ServiceAccount."""


def verify(client: Client, target: Target, configuration: Configuration) -> bool:
    """Return True if the intended release was installed; False if nothing shows that.

    Raises:
        UsageError: the objects belong to another release, or their owner is unknown.
        ApiError: they could not be read.
    """
    if _has_registration(client, target):
        return True
    others: set[str] = set()
    for name in configuration.secret_names:
        for labels in _labels(client, Collection(SECRETS, name=name)):
            if is_labelled(labels, target.release.name, target.release.namespace):
                return True
            if is_a_copy(labels) and labels.get(RELEASE_LABEL) == target.release.name:
                others.add(labels.get(RELEASE_NAMESPACE_LABEL, ""))
    accounts = _labels(client, Collection(SERVICE_ACCOUNTS, target.release.namespace, target.lease))
    if any(labels.get(INSTANCE_LABEL) == target.release.name for labels in accounts):
        return True
    if others:
        raise UsageError(
            f"the copies of release {target.release.name} were made from namespace {min(others)}, not from "
            f"{target.release.namespace}: nothing was changed; give --namespace {min(others)}"
        )
    return _has_lease(client, target)


def _has_registration(client: Client, target: Target) -> bool:
    try:
        found = decode_webhook_configuration(client.get(MUTATING_WEBHOOK_CONFIGURATIONS, target.webhook_configuration))
    except NotFound:
        return False
    namespaces = found.release_namespaces()[: 1 if found.tells_namespace else None]
    if found.release != target.release.name or (namespaces and target.release.namespace not in namespaces):
        owner = f"release {found.release or '(unknown)'} in namespace {min(namespaces, default='(unknown)')}"
        raise UsageError(
            f"MutatingWebhookConfiguration {target.webhook_configuration} belongs to {owner}, not to release "
            f"{target.release.name} in namespace {target.release.namespace}: nothing was changed; check --namespace, "
            f"--release and --webhook-configuration"
        )
    return True


def _has_lease(client: Client, target: Target) -> bool:
    try:
        lease = decode_lease(client.get(LEASES, target.lease, target.release.namespace))
    except NotFound:
        return False
    if (lease.spec.holder_identity or "").startswith(CLEANING):
        return True
    raise UsageError(
        f"Lease {target.release.namespace}/{target.lease} is not known to belong to release {target.release.name}: "
        f"nothing was changed; check --namespace, --release and --webhook-configuration"
    )


def _labels(client: Client, collection: Collection) -> list[dict[str, str]]:
    found, _ = list_objects(
        client, collection, list_decoder(PartialObjectMetadata), lambda obj: obj.metadata.labels or {}
    )
    return found
