"""Check the rights of the release's identities, the policies that restrict them, and the result of a dry run.

The rights are those of docs/rights.md, as SubjectAccessReviews. A Pod and a ServiceAccount are created by dry run. They
take the same way as real ones, through the API server and the webhook.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from webhook.errors import ApiError, Forbidden, NotFound
from webhook.inspect.checks.processes import clock_skew, user_of
from webhook.inspect.checks.result import Check, CheckResult, Context, finding, note, unknown
from webhook.kube.objects import to_namespace
from webhook.kube.resources import NAMESPACES, PODS, SERVICE_ACCOUNTS, Collection, Resource
from webhook.kube.wire import (
    ObjectMeta,
    PartialObjectMetadata,
    decoder,
)
from webhook.report.preview.deciding import decide_in
from webhook.report.protocol import Severity
from webhook.rules.configuration import PodPolicy
from webhook.rules.gates import selected_pull_secrets
from webhook.rules.objects import Subject
from webhook.rules.references import References
from webhook.rules.renewing import token_account
from webhook.rules.state_document import STATE_SUFFIX
from webhook.rules.subject import AdmittedObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import Namespace

_PREFIX = "/apis/admissionregistration.k8s.io/v1"
POLICIES = Resource(_PREFIX, "ValidatingAdmissionPolicy", "validatingadmissionpolicies")
BINDINGS = Resource(_PREFIX, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings")
GUARDS = ("events", "leases", "secrets", "serviceaccounts")
"""The policies of every installation with guards; each is named after the release and one of these."""

WEBHOOKS_GUARD = "webhooks"
"""The policy of the mode self-managed, in which sync writes the MutatingWebhookConfiguration."""

TOKENS_GUARD = "tokens"
"""The policy about the tokens that sources need."""

EVICTIONS_GUARD = "evictions"
"""The policy about the evictions of healing."""

OPT_IN_GUARD = "opt-in"
"""The policy of ``guard.reserveOptIn``. Its binding may be all that is left of it."""


class _PolicySpec(msgspec.Struct, frozen=True, rename="camel"):
    failure_policy: str = ""


class Policy(msgspec.Struct, frozen=True):
    """A ValidatingAdmissionPolicy."""

    metadata: ObjectMeta
    spec: _PolicySpec


class _BindingSpec(msgspec.Struct, frozen=True, rename="camel"):
    policy_name: str = ""
    validation_actions: tuple[str, ...] = ()


class Binding(msgspec.Struct, frozen=True):
    """A ValidatingAdmissionPolicyBinding."""

    metadata: ObjectMeta
    spec: _BindingSpec


def _look_at_guards(context: Context) -> Iterator[CheckResult]:
    try:
        policies = {policy.metadata.name: policy for policy in context.reader.items(Collection(POLICIES), Policy)}
        bindings = [binding.spec for binding in context.reader.items(Collection(BINDINGS), Binding)]
    except NotFound:
        yield note("PSW080", "this API server has no ValidatingAdmissionPolicies: only RBAC limits the identities")
        return
    required = {f"{context.installed.fullname}-{guard}" for guard in _guards(context, bindings)}
    present = required & policies.keys()
    if not present:
        yield note("PSW080", "no policy guards the identities: guard.enabled is off, or the policies were removed")
        return
    for name in sorted(required - present):
        yield finding("PSW080", f"ValidatingAdmissionPolicy {name} is gone")
    for name in sorted(present):
        if policies[name].spec.failure_policy != "Fail":
            yield finding("PSW080", f"failurePolicy of ValidatingAdmissionPolicy {name} is not Fail")
        if not any(binding.policy_name == name and "Deny" in binding.validation_actions for binding in bindings):
            yield finding("PSW080", f"no binding enforces ValidatingAdmissionPolicy {name}")


def _guards(context: Context, bindings: Iterable[_BindingSpec]) -> Iterator[str]:
    """Yield the names of the policies that the release must have."""
    installed = context.installed
    yield from GUARDS
    if installed.configuration.token_accounts or any(map(token_account, installed.configuration.renewing)):
        yield TOKENS_GUARD
    if installed.configuration.healing.enabled:
        yield EVICTIONS_GUARD
    if installed.webhook is not None and installed.webhook.certificates_mode == "self-managed":
        yield WEBHOOKS_GUARD
    if any(binding.policy_name == f"{installed.fullname}-{OPT_IN_GUARD}" for binding in bindings):
        yield OPT_IN_GUARD


GUARDED = Check(("PSW080",), _look_at_guards)


SUBJECT_ACCESS_REVIEWS = Resource("/apis/authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews")


class _AccessStatus(msgspec.Struct, frozen=True):
    allowed: bool = False


class AccessReview(msgspec.Struct, frozen=True):
    """A SubjectAccessReview or a SelfSubjectAccessReview, with the answer."""

    status: _AccessStatus


decode_access_review: Callable[[bytes], AccessReview] = decoder(AccessReview)


class RequiredRight(msgspec.Struct, frozen=True):
    """A right on one kind of object; an empty ``namespace`` means all, an empty ``name`` any."""

    verbs: tuple[str, ...]
    resource: str
    namespace: str = ""
    name: str = ""
    group: str = ""

    def __str__(self) -> str:
        name = f"/{self.name}" if self.name else ""
        return f"{self.resource}{name}{f' in {self.namespace}' if self.namespace else ''}"


def _sync_rights(context: Context) -> Iterator[RequiredRight]:
    installed = context.installed
    where, fullname = installed.release.namespace, installed.fullname
    yield RequiredRight(("get", "list", "watch"), "namespaces")
    yield RequiredRight(("get", "list", "watch", "patch"), "serviceaccounts")
    yield RequiredRight(("create", "patch"), "events")
    for name in installed.configuration.secret_names:
        yield RequiredRight(("get", "list", "watch", "create", "patch", "delete"), "secrets", name=name)
    for name in installed.configuration.source_names:
        yield RequiredRight(("get", "list", "watch"), "secrets", where, name)
    for source in installed.configuration.renewing:
        yield RequiredRight(("create", "patch", "delete"), "secrets", where, source.secret)
        if (account := token_account(source)) is not None:
            yield RequiredRight(("create",), "serviceaccounts/token", where, account)
    for account in sorted(installed.configuration.token_accounts):
        yield RequiredRight(("create",), "serviceaccounts/token", name=account)
    yield from _rights_to_pods(installed.configuration)
    yield RequiredRight(("get", "create", "patch"), "leases", where, f"{fullname}-sync", "coordination.k8s.io")
    # A replica compares it with its mounted file before it leads: the file may be older.
    yield RequiredRight(("get",), "configmaps", where, fullname)
    yield RequiredRight(("get", "create", "patch"), "secrets", where, f"{fullname}{STATE_SUFFIX}")
    if installed.webhook is not None and installed.webhook.certificates_mode == "self-managed":
        kind = "mutatingwebhookconfigurations"
        yield RequiredRight(
            ("get", "list", "watch", "patch"), kind, name=fullname, group="admissionregistration.k8s.io"
        )
        for suffix in ("tls", "ca"):
            verbs = ("get", "list", "watch", "create", "patch", "delete")
            yield RequiredRight(verbs, "secrets", where, f"{fullname}-{suffix}")


def _rights_to_pods(configuration: Configuration) -> Iterator[RequiredRight]:
    for entry in configuration.pull_secrets:
        if entry.rollout is None:
            continue
        for namespace in entry.rollout.watched_by_name:
            yield RequiredRight(("list",), "pods", namespace)
        if entry.rollout.prove is not None and entry.rollout.prove.images_from_pods:
            yield RequiredRight(("list",), "pods")
    if configuration.healing.enabled:
        yield RequiredRight(("list", "watch"), "pods")
        yield RequiredRight(("create",), "pods/eviction")


def _webhook_rights(context: Context) -> Iterator[RequiredRight]:
    installed = context.installed
    yield RequiredRight(("get", "list", "watch"), "secrets", installed.release.namespace, f"{installed.fullname}-tls")
    if installed.configuration.needs_namespace_labels:
        yield RequiredRight(("get", "list", "watch"), "namespaces")


def _look_at_rights(context: Context) -> Iterator[CheckResult]:
    users = {role: user_of(context, role) for role in ("sync", "webhook")}
    for code, role, rights in (
        ("PSW001", "sync", _sync_rights(context)),
        ("PSW002", "webhook", _webhook_rights(context)),
    ):
        yield from _missing(context, code, users[role], rights)
    everything = RequiredRight(("get", "list", "watch"), "secrets")
    for role in ("sync", "webhook"):
        user = users[role]
        allowed = [verb for verb in everything.verbs if _may(context, user, verb, everything)]
        if allowed:
            yield finding("PSW003", f"{user} has the right to {', '.join(allowed)} every Secret of the cluster")


def _missing(context: Context, code: str, user: str, rights: Iterable[RequiredRight]) -> Iterator[CheckResult]:
    for right in rights:
        missing_verbs = [verb for verb in right.verbs if not _may(context, user, verb, right)]
        if missing_verbs:
            yield finding(code, f"{user} lacks the right to {', '.join(missing_verbs)} {right}")


def _may(context: Context, user: str, verb: str, right: RequiredRight) -> bool:
    _, _, namespace, _ = user.split(":")
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
    attributes = {
        "verb": verb,
        "group": right.group,
        "resource": right.resource,
        "namespace": right.namespace,
        "name": right.name,
    }
    body = {"spec": {"user": user, "groups": groups, "resourceAttributes": attributes}}
    return decode_access_review(context.reader.client.create(SUBJECT_ACCESS_REVIEWS, body)).status.allowed


RIGHTS = Check(("PSW001", "PSW002", "PSW003"), _look_at_rights)


NAME = "pullsecrets-check"
WEBHOOK_FAILED = 500
"""Status code of the API server if a webhook with failurePolicy Fail does not answer."""


_CLOCK = "the clock of the API server was not compared, because"


class _Created(msgspec.Struct, frozen=True, rename="camel"):
    creation_timestamp: str = ""


class _Stored(msgspec.Struct, frozen=True):
    metadata: _Created


_decode_created: Callable[[bytes], AdmittedObject] = decoder(AdmittedObject)
_decode_stored: Callable[[bytes], _Stored] = decoder(_Stored)


def _rehearse(context: Context) -> Iterator[CheckResult]:
    configuration = context.installed.configuration
    namespace = _selected(context)
    if namespace is None:
        for code in ("PSW070", "PSW071"):
            yield note(code, "no namespace is selected, so it was not tried")
        yield note("PSW063", f"{_CLOCK} no namespace is selected for a dry run")
        return
    skews: list[list[CheckResult]] = []
    account = _account()
    subject = Subject("ServiceAccount", NAME, namespace.name, {}, {}, References())
    outcomes = [*_try(context, "PSW071", SERVICE_ACCOUNTS, account, subject, namespace, skews)]
    image = _image(configuration, namespace)
    subject = Subject("Pod", NAME, namespace.name, {}, {}, References(), images=(image,))
    outcomes += _try(context, "PSW070", PODS, _pod(image), subject, namespace, skews)
    yield from outcomes
    if skews:
        yield from skews[0]
    elif all(outcome.severity is Severity.NOTE for outcome in outcomes):
        yield note("PSW063", f"{_CLOCK} there is nothing to try by a dry run (PSW070, PSW071)")
    else:
        yield unknown("PSW063", f"{_CLOCK} no dry run succeeded (PSW070, PSW071)")


def _selected(context: Context) -> Namespace | None:
    """Return a selected namespace, with as many pull secrets as possible; None if there is none."""
    best: Namespace | None = None
    most = 0
    for item in context.reader.items(Collection(NAMESPACES), PartialObjectMetadata):
        namespace = to_namespace(item)
        number = len(selected_pull_secrets(context.installed.configuration, namespace))
        if number > most:
            best, most = namespace, number
    return best


def _try(
    context: Context,
    code: str,
    resource: Resource,
    body: dict[str, Any],
    subject: Subject,
    namespace: Namespace,
    skews: list[list[CheckResult]],
) -> Iterator[CheckResult]:
    """Yield whether a new object gets its references; ``skews`` receives what the answer tells about the clocks."""
    expected = decide_in(namespace, subject, context.installed.configuration).added
    if not expected:
        yield note(code, f"nothing is due to a new {resource.kind} in namespace {namespace.name}")
        return
    try:
        stored = _dry_run(context, resource, namespace.name, body)
    except Forbidden as error:
        yield unknown(code, f"a {resource.kind} cannot be created in namespace {namespace.name}: {error}")
        return
    except ApiError as error:
        refused = finding if error.status == WEBHOOK_FAILED else unknown
        yield refused(code, f"a {resource.kind} is refused in namespace {namespace.name}: {error}")
        return
    skews.append([*clock_skew(_decode_stored(stored).metadata.creation_timestamp, datetime.now(UTC))])
    created = _decode_created(stored)
    created_subject = created.as_pod(namespace.name) if resource is PODS else created.as_service_account(namespace.name)
    missing = [name for name in expected if created_subject is None or name not in created_subject.references.names]
    if missing:
        yield finding(code, f"a new {resource.kind} in namespace {namespace.name} lacks {', '.join(missing)}")


def _dry_run(context: Context, resource: Resource, namespace: str, body: dict[str, Any]) -> bytes:
    full = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
    return context.reader.client.request(
        "POST", resource.path(namespace), query={"dryRun": "All"}, body=full, content_type="application/json"
    )


def _image(configuration: Configuration, namespace: Namespace) -> str:
    """Return an image that matches as many pull secrets as possible."""
    for entry in selected_pull_secrets(configuration, namespace):
        if entry.pods is PodPolicy.WHEN_IMAGE_MATCHES:
            return f"{entry.registries[0].replace('*', 'x')}/{NAME}"
    return NAME


def _account() -> dict[str, Any]:
    return {"metadata": {"name": NAME}}


def _pod(image: str) -> dict[str, Any]:
    """Return a Pod that the restricted Pod security standard and small quotas allow.

    It has its own list; otherwise the API server would copy that of its ServiceAccount.
    """
    container = {
        "name": "check",
        "image": image,
        "resources": {limit: {"cpu": "1m", "memory": "1Mi"} for limit in ("requests", "limits")},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {
        "containers": [container],
        "securityContext": security,
        "automountServiceAccountToken": False,
        "imagePullSecrets": [{"name": NAME}],
    }
    return {"metadata": {"name": NAME}, "spec": spec}


REHEARSED_POD = _pod(NAME)
"""A Pod that fulfils the same standards as those of the chart."""


REHEARSAL = Check(("PSW063", "PSW070", "PSW071"), _rehearse)
