"""Decode the MutatingWebhookConfiguration of the API server, with only the fields that are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from webhook.kube.wire import ObjectMeta, decoder
from webhook.report.explain.registration import NAME_LABEL, Hook
from webhook.rules.labels import Operator, Requirement, Selector

if TYPE_CHECKING:
    from collections.abc import Callable

_HTTPS = 443

SUFFIX = ".pullsecrets.webhook"
"""Suffix of the name of each of our webhooks, in every release."""

MODE_ANNOTATION = "pullsecrets.webhook/certificates"
"""Annotation of the configuration: the chart's value ``certificates.mode``."""


class ServiceReference(msgspec.Struct, frozen=True):
    """The Service of a webhook."""

    namespace: str = ""
    name: str = ""


class ClientConfig(msgspec.Struct, frozen=True, rename="camel"):
    """The address of a webhook, and its trusted certificates as base64 of PEM."""

    url: str | None = None
    service: ServiceReference | None = None
    ca_bundle: str = ""

    @property
    def host(self) -> str:
        """The host of the URL; empty without one."""
        return urlsplit(self.url or "").hostname or ""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the URL. Raises ValueError for a port above 65535, which the API server accepts."""
        return self.host, urlsplit(self.url or "").port or _HTTPS


class _Expression(msgspec.Struct, frozen=True):
    key: str
    operator: Operator
    values: tuple[str, ...] = ()


class LabelSelector(msgspec.Struct, frozen=True, rename="camel"):
    """A ``metav1.LabelSelector``."""

    match_labels: dict[str, str] | None = None
    match_expressions: tuple[_Expression, ...] = ()

    def selector(self) -> Selector:
        """Return the selector as decisions use it."""
        exact = [Requirement(key, Operator.IN, (value,)) for key, value in sorted((self.match_labels or {}).items())]
        others = [Requirement(item.key, item.operator, item.values) for item in self.match_expressions]
        return Selector((*exact, *others))


class Rule(msgspec.Struct, frozen=True, rename="camel"):
    """One rule: the requests that it covers."""

    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()


class MatchCondition(msgspec.Struct, frozen=True):
    """A condition in CEL under which the webhook is called."""

    name: str
    expression: str


class Webhook(msgspec.Struct, frozen=True, rename="camel"):
    """One entry of the configuration."""

    name: str = ""
    client_config: ClientConfig = ClientConfig()
    rules: tuple[Rule, ...] = ()
    namespace_selector: LabelSelector = LabelSelector()
    object_selector: LabelSelector = LabelSelector()
    match_conditions: tuple[MatchCondition, ...] = ()
    failure_policy: str = ""
    side_effects: str = ""
    match_policy: str = ""

    def hook(self) -> Hook:
        """Return the entry as explanations use it."""
        # Pods and ServiceAccounts are in the core group, whose name is empty. "*" stands for every group.
        core = [rule for rule in self.rules if {"", "*"} & {*rule.api_groups}]
        asks = {(resource, operation) for rule in core for resource in rule.resources for operation in rule.operations}
        return Hook(
            name=self.name,
            asks=frozenset(asks),
            namespace_selector=self.namespace_selector.selector(),
            object_selector=self.object_selector.selector(),
            failure_policy=self.failure_policy,
            has_ca_bundle=bool(self.client_config.ca_bundle),
        )


class _ManagedFields(msgspec.Struct, frozen=True, rename="camel"):
    manager: str = ""
    fields_v1: dict[str, Any] = msgspec.field(default_factory=dict, name="fieldsV1")


class _Metadata(ObjectMeta, frozen=True, rename="camel"):
    managed_fields: tuple[_ManagedFields, ...] = ()


HELM_NAMESPACE = "meta.helm.sh/release-namespace"
"""The annotation in which Helm records the namespace of a release."""


class WebhookConfiguration(msgspec.Struct, frozen=True):
    """A MutatingWebhookConfiguration."""

    metadata: _Metadata
    webhooks: tuple[Webhook, ...] = ()

    def managers_of(self, webhook: str, field: str) -> set[str]:
        """Return the managers that last set a field of one of the webhooks, as the API server recorded them."""
        # The list of webhooks is a map by name for field ownership (listType=map), and this is the key of an entry.
        key = f'k:{{"name":"{webhook}"}}'
        return {
            item.manager
            for item in self.metadata.managed_fields
            if f"f:{field}" in item.fields_v1.get("f:webhooks", {}).get(key, {})
        }

    @property
    def is_ours(self) -> bool:
        """True if it belongs to this project, in any release."""
        return any(item.name.endswith(SUFFIX) for item in self.webhooks)

    @property
    def release(self) -> str:
        """The name of the Helm release, from the chart's labels."""
        return (self.metadata.labels or {}).get("app.kubernetes.io/instance", "")

    @property
    def certificates_mode(self) -> str:
        """The chart's value ``certificates.mode``; empty if it is absent."""
        return (self.metadata.annotations or {}).get(MODE_ANNOTATION, "")

    @property
    def tells_namespace(self) -> bool:
        """True if Helm or a Service names the release namespace, so that the first guess is right."""
        noted = (self.metadata.annotations or {}).get(HELM_NAMESPACE, "")
        return bool(noted) or any(item.client_config.service for item in self.webhooks)

    def release_namespaces(self) -> list[str]:
        """Return the possible namespaces of the release, the likeliest first.

        Helm records it; so does the Service. Otherwise it is one of those that the selector leaves out.
        """
        # The release namespace is always excluded from injection, so the selector names it, too.
        noted = (self.metadata.annotations or {}).get(HELM_NAMESPACE, "")
        services = [item.client_config.service.namespace for item in self.webhooks if item.client_config.service]
        excluded = [
            value
            for item in self.webhooks
            for requirement in item.namespace_selector.match_expressions
            if requirement.key == NAME_LABEL and requirement.operator is Operator.NOT_IN
            # The chart appends the release namespace to the configured ones, so it is the last.
            for value in reversed(requirement.values)
        ]
        return list(dict.fromkeys(filter(None, (noted, *services, *excluded))))


decode_webhook_configuration: Callable[[bytes], WebhookConfiguration] = decoder(WebhookConfiguration)
