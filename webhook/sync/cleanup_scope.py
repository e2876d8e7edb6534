"""Identify the owner of the objects that a cleanup is about to delete: a wrong flag must not uninstall another release.

The webhook configuration names its release and namespace. If it is gone, the copies, the controller's ServiceAccount or
the Lease of an earlier cleanup show that the release was here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from webhook.errors import NotFound, UsageError
from webhook.kube.lease import decode_lease
from webhook.kube.listing import list_decoder, list_objects
from webhook.kube.resources import LEASES, MUTATING_WEBHOOK_CONFIGURATIONS, SECRETS, SERVICE_ACCOUNTS, Collection
from webhook.kube.wire import ObjectMeta, decoder
from webhook.rules.labels import Operator
from webhook.rules.ownership import RELEASE_LABEL, RELEASE_NAMESPACE_LABEL, is_a_copy, is_labelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.kube.client import Client
    from webhook.rules.configuration import Configuration
    from webhook.sync.release import Release

INSTANCE_LABEL = "app.kubernetes.io/instance"
NAME_LABEL = "kubernetes.io/metadata.name"
HELM_NAMESPACE = "meta.helm.sh/release-namespace"
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


class _Service(msgspec.Struct, frozen=True):
    namespace: str = ""


class _ClientConfig(msgspec.Struct, frozen=True):
    service: _Service | None = None


class _Requirement(msgspec.Struct, frozen=True):
    key: str
    operator: str
    values: list[str] = []


class _Selector(msgspec.Struct, frozen=True, rename="camel"):
    match_expressions: list[_Requirement] = []


class _Webhook(msgspec.Struct, frozen=True, rename="camel"):
    client_config: _ClientConfig = _ClientConfig()
    namespace_selector: _Selector = _Selector()


class _Registration(msgspec.Struct, frozen=True):
    metadata: ObjectMeta
    webhooks: list[_Webhook] | None = None


class _Owned(msgspec.Struct, frozen=True):
    """Any object; only its metadata is read."""

    metadata: ObjectMeta


_decode_registration: Callable[[bytes], _Registration] = decoder(_Registration)


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
        found = _decode_registration(client.get(MUTATING_WEBHOOK_CONFIGURATIONS, target.webhook_configuration))
    except NotFound:
        return False
    release = (found.metadata.labels or {}).get(INSTANCE_LABEL, "")
    namespaces = _namespaces(found)
    if release != target.release.name or (namespaces and target.release.namespace not in namespaces):
        owner = f"release {release or '(unknown)'} in namespace {min(namespaces, default='(unknown)')}"
        raise UsageError(
            f"MutatingWebhookConfiguration {target.webhook_configuration} belongs to {owner}, not to release "
            f"{target.release.name} in namespace {target.release.namespace}: nothing was changed; check --namespace, "
            f"--release and --webhook-configuration"
        )
    return True


def _namespaces(found: _Registration) -> set[str]:
    """Return the namespaces one of which is the release's; empty if the webhook configuration names none.

    Helm records it, and so does the Service. Otherwise it is one of those that the selector excludes.
    """
    if noted := (found.metadata.annotations or {}).get(HELM_NAMESPACE):
        return {noted}
    webhooks = found.webhooks or ()
    services = {webhook.client_config.service.namespace for webhook in webhooks if webhook.client_config.service}
    return services or {
        value
        for webhook in webhooks
        for requirement in webhook.namespace_selector.match_expressions
        if (requirement.key, requirement.operator) == (NAME_LABEL, Operator.NOT_IN)
        for value in requirement.values
    }


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
    found, _ = list_objects(client, collection, list_decoder(_Owned), lambda obj: obj.metadata.labels or {})
    return found
