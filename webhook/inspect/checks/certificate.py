"""Check the serving certificate and the MutatingWebhookConfiguration that trusts it."""

from __future__ import annotations

import ssl
from base64 import b64decode
from typing import TYPE_CHECKING

from certs.validity import certificates_in, chain_of, check_key, check_purpose, covers
from certs.verify import is_trusted
from webhook.errors import CertificateInvalid, Forbidden
from webhook.inspect.checks.result import Check, CheckResult, Context, finding, lacking, note, unknown
from webhook.inspect.explain_input import HANDSHAKE_SECONDS
from webhook.kube.objects import AUTHORITY_KEY, CERTIFICATE_KEY, PRIVATE_KEY_KEY, decode_secret
from webhook.kube.resources import MUTATING_WEBHOOK_CONFIGURATIONS, SECRETS
from webhook.kube.webhook_configuration import decode_webhook_configuration
from webhook.report.explain.commands import certificate_command
from webhook.report.explain.registration import NAME_LABEL
from webhook.report.policy_export import EXCLUDED
from webhook.rules.configuration import OPT_OUT_VALUE, PodPolicy
from webhook.rules.labels import Operator, Requirement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from certs.validity import Certificate
    from webhook.kube.webhook_configuration import ClientConfig, LabelSelector, Webhook, WebhookConfiguration
    from webhook.rules.configuration import Configuration

RENEWED_SHARE = 0.8
"""Share of the lifetime. A certificate is renewed after two thirds, so an older one was not renewed."""

_OF_REGISTERED = ("PSW015", "PSW022", "PSW023")
"""The codes that compare the certificate with what the API server calls."""


def _look_at_certificate(context: Context) -> Iterator[CheckResult]:
    installed = context.installed
    name = f"{installed.fullname}-tls"
    content = context.reader.get(SECRETS, name, installed.release.namespace)
    secret = None if content is None else decode_secret(content)
    fields = (CERTIFICATE_KEY, PRIVATE_KEY_KEY, AUTHORITY_KEY)
    certificate, key, authority = (b"" if secret is None else secret.content(field) for field in fields)
    if not (certificate and key):
        absent = "does not exist" if content is None else "has no tls.crt and tls.key"
        mode = installed.webhook.certificates_mode if installed.webhook is not None else ""
        command = certificate_command(mode, installed.release.namespace, name, installed.release.name)
        yield finding("PSW020", f"Secret {installed.release.namespace}/{name} {absent}", command)
        yield from _without_certificate(f"{installed.release.namespace}/{name}")
        return
    try:
        chain = chain_of(certificate)
        check_key(chain[0], key)
        check_purpose(chain[0])
    except CertificateInvalid as error:
        command = (
            f"kubectl -n {installed.release.namespace} get secret {name} -o jsonpath='{{.metadata.managedFields}}'"
        )
        yield finding("PSW020", f"Secret {installed.release.namespace}/{name}: {error}", command)
        yield from _without_certificate(f"{installed.release.namespace}/{name}")
        return
    yield from _age("PSW021", "the serving certificate", chain[0], context.now)
    yield from _authority(authority, context.now)
    yield from _used(context, chain)


def _without_certificate(secret: str) -> Iterator[CheckResult]:
    for code in CERTIFICATE.codes:
        if code != "PSW020":
            yield unknown(code, f"Secret {secret} has no certificate that can be checked (PSW020)")


def _age(code: str, subject: str, certificate: Certificate, now: datetime) -> Iterator[CheckResult]:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        yield finding(code, f"{subject} expired at {end:%Y-%m-%d %H:%M} UTC")
    elif now < begin:
        yield finding(code, f"{subject} is not valid before {begin:%Y-%m-%d %H:%M} UTC")
    elif now > begin + (end - begin) * RENEWED_SHARE:
        yield finding(code, f"{subject} expires at {end:%Y-%m-%d %H:%M} UTC and has not been renewed")


def _authority(authority: bytes, now: datetime) -> Iterator[CheckResult]:
    if not authority:
        return  # the tool that provides the certificate may keep its authority elsewhere
    try:
        yield from _age("PSW024", "the authority of the serving certificate", chain_of(authority)[0], now)
    except CertificateInvalid as error:
        yield finding("PSW024", f"ca.crt beside the serving certificate: {error}")


def _used(context: Context, chain: list[Certificate]) -> Iterator[CheckResult]:
    fullname = context.installed.fullname
    try:
        webhook = _registered(context)
    except Forbidden:
        kind = f"{MUTATING_WEBHOOK_CONFIGURATIONS.plural}.admissionregistration.k8s.io"
        yield from lacking(_OF_REGISTERED, f"get {kind}/{fullname}")
        return
    if webhook is None or not webhook.is_ours:
        for code in _OF_REGISTERED:
            yield unknown(code, f"the API server calls no webhook of MutatingWebhookConfiguration {fullname} (PSW010)")
        return
    for hook in webhook.webhooks:
        client = hook.client_config
        bundle = b64decode(client.ca_bundle)
        if not bundle and webhook.certificates_mode == "provided":
            yield note("PSW015", f"{hook.name} has no caBundle: the API server's system must trust the certificate")
        elif not bundle:
            yield finding("PSW015", f"{hook.name} has no caBundle")
        else:
            # PSW021 covers expiry. This check is only about trust.
            leaf = chain[0]
            at = min(max(context.now, leaf.not_valid_before_utc), leaf.not_valid_after_utc)
            yield from _trust(hook.name, is_trusted(chain, certificates_in(bundle)[0], at))
    clients = {_called(hook.client_config): hook.client_config for hook in webhook.webhooks}
    for name, client in clients.items():
        if not covers(chain[0], name):
            yield finding("PSW022", f"the API server calls {name}, and the serving certificate is not for that name")
        if client.url:
            yield from _served(client, chain[0])


def _registered(context: Context) -> WebhookConfiguration | None:
    """Return the MutatingWebhookConfiguration of the release, None if it does not exist; Forbidden if that is unknown.

    The release may have been found without it: the right to list is missing, or it has lost its webhooks.
    """
    if context.installed.webhook is not None:
        return context.installed.webhook
    content = context.reader.get(MUTATING_WEBHOOK_CONFIGURATIONS, context.installed.fullname)
    return None if content is None else decode_webhook_configuration(content)


def _trust(name: str, trusted: bool | None) -> Iterator[CheckResult]:
    if trusted is None:
        yield unknown("PSW015", f"the keys in the chain behind the caBundle of {name} cannot be verified from here")
    elif not trusted:
        yield finding("PSW015", f"the caBundle of {name} does not trust the serving certificate")


def _called(client: ClientConfig) -> str:
    if client.service is not None:
        return f"{client.service.name}.{client.service.namespace}.svc"
    return client.host


def _served(client: ClientConfig, stored: Certificate) -> Iterator[CheckResult]:
    url = client.url
    try:
        served = ssl.get_server_certificate(client.address, timeout=HANDSHAKE_SECONDS)
    except ssl.SSLError as error:
        yield unknown("PSW023", f"the TLS handshake with {url} failed: {error.reason or error}")
        return
    except (OSError, ValueError):
        yield unknown("PSW023", f"{url} is not reached from here")
        return
    if chain_of(served.encode())[0] != stored:
        yield finding("PSW023", f"{url} serves another certificate than the Secret holds")


CERTIFICATE = Check(("PSW015", "PSW020", "PSW021", "PSW022", "PSW023", "PSW024"), _look_at_certificate)


OPERATIONS: Mapping[str, tuple[str, frozenset[str]]] = {
    "pods.pullsecrets.webhook": ("pods", frozenset({"CREATE"})),
    "serviceaccounts.pullsecrets.webhook": ("serviceaccounts", frozenset({"CREATE", "UPDATE"})),
}
"""The operations and resources that each of our webhooks must be called for."""

_CONDITION = "a-reference-is-missing"


def _look_at_registration(context: Context) -> Iterator[CheckResult]:
    installed, registered = context.installed, _registered(context)
    if registered is None:
        yield from _unregistered(f"there is no MutatingWebhookConfiguration {installed.fullname}")
        return
    webhooks = {hook.name: hook for hook in registered.webhooks}
    for name in OPERATIONS:
        if name not in webhooks:
            yield from _unregistered(f"MutatingWebhookConfiguration {installed.fullname} has no webhook {name}")
            continue
        webhook = webhooks[name]
        yield from _rules(webhook)
        yield from _selectors(webhook, installed.configuration)
        yield from _policies(webhook, registered)
        yield from _conditions(webhook, installed.configuration)


def _unregistered(message: str) -> Iterator[CheckResult]:
    for code in REGISTRATION.codes:
        yield finding(code, message) if code == "PSW010" else unknown(code, f"{message} (PSW010)")


def _rules(webhook: Webhook) -> Iterator[CheckResult]:
    resource, required = OPERATIONS[webhook.name]
    calls = {(name, operation) for rule in webhook.rules for name in rule.resources for operation in rule.operations}
    missing = sorted(operation for operation in required if (resource, operation) not in calls)
    if missing:
        yield finding("PSW011", f"{webhook.name} is not called for {' and '.join(missing)} of {resource}")
    others = sorted(
        f"{operation} of {name}" for name, operation in calls - {(resource, operation) for operation in required}
    )
    if others:
        yield finding("PSW011", f"{webhook.name} is also called for {' and '.join(others)}")


def _selectors(webhook: Webhook, configuration: Configuration) -> Iterator[CheckResult]:
    opt_in = configuration.opt_in
    excluded = tuple(sorted(configuration.excluded_namespaces))
    of_namespaces = (
        Requirement(opt_in.label, Operator.NOT_IN if opt_in.is_everywhere else Operator.IN, (opt_in.deciding_value,)),
        Requirement(NAME_LABEL, Operator.NOT_IN, excluded),
    )
    of_objects = (Requirement(opt_in.label, Operator.NOT_IN, (OPT_OUT_VALUE,)),)
    yield from _required(webhook, "namespaceSelector", webhook.namespace_selector, of_namespaces)
    yield from _required(webhook, "objectSelector", webhook.object_selector, of_objects)


def _required(
    webhook: Webhook, field: str, selector: LabelSelector, requirements: Iterable[Requirement]
) -> Iterator[CheckResult]:
    present = set(map(_sorted, selector.selector().requirements))
    for requirement in requirements:
        if requirement not in present:
            values = f" ({', '.join(requirement.values)})" if requirement.values else ""
            yield finding(
                "PSW012", f"the {field} of {webhook.name} lacks {requirement.key} {requirement.operator}{values}"
            )


def _sorted(requirement: Requirement) -> Requirement:
    return Requirement(requirement.key, requirement.operator, tuple(sorted(requirement.values)))


def _policies(webhook: Webhook, configuration: WebhookConfiguration) -> Iterator[CheckResult]:
    for field, value, expected in (
        ("sideEffects", webhook.side_effects, "None"),
        ("matchPolicy", webhook.match_policy, "Equivalent"),
    ):
        if value != expected:
            yield finding("PSW013", f"{field} of {webhook.name} is {value or 'not set'}, and should be {expected}")
    installers = configuration.managers_of(webhook.name, "sideEffects")
    for field in ("failurePolicy", "reinvocationPolicy", "timeoutSeconds"):
        managers = configuration.managers_of(webhook.name, field)
        if installers and managers and not managers & installers:
            manager_names = ", ".join(sorted(managers))
            yield finding(
                "PSW013", f"{field} of {webhook.name} has been changed by {manager_names} since it was installed"
            )


def _conditions(webhook: Webhook, configuration: Configuration) -> Iterator[CheckResult]:
    if not webhook.match_conditions:
        yield note("PSW014", f"{webhook.name} has no match condition: the API server calls it for every object")
        return
    of_pods = OPERATIONS[webhook.name][0] == "pods"
    if configuration.excluded_patterns and all(condition.name != EXCLUDED for condition in webhook.match_conditions):
        patterns = ", ".join(configuration.excluded_patterns)
        yield finding("PSW014", f"no match condition of {webhook.name} excludes the namespaces {patterns}")
    due = [entry.name for entry in configuration.pull_secrets if not (of_pods and entry.pods is PodPolicy.NEVER)]
    for condition in webhook.match_conditions:
        if condition.name != _CONDITION:
            continue
        missing = [name for name in due if f'"{name}"' not in condition.expression]
        if missing:
            yield finding("PSW014", f"the match condition of {webhook.name} does not name {', '.join(missing)}")


REGISTRATION = Check(("PSW010", "PSW011", "PSW012", "PSW013", "PSW014"), _look_at_registration)
