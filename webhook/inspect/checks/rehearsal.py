"""Create a Pod and a ServiceAccount by dry run.

They take the same way as real ones, through the API server and the webhook.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from webhook.errors import ApiError, Forbidden
from webhook.inspect.checks.processes import clock_skew
from webhook.inspect.checks.result import Check, Context, Outcome, finding, note, unknown
from webhook.kube.objects import to_namespace
from webhook.kube.resources import NAMESPACES, PODS, SERVICE_ACCOUNTS, Collection, Resource
from webhook.kube.wire import PartialObjectMetadata, decoder
from webhook.report.preview.deciding import decide_in
from webhook.rules.configuration import PodPolicy
from webhook.rules.gates import selected_pull_secrets
from webhook.rules.objects import References, Subject
from webhook.rules.subject import AdmittedObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import Namespace

NAME = "pullsecrets-check"
WEBHOOK_FAILED = 500
"""Status code of the API server if a webhook with failurePolicy Fail does not answer."""


class _Created(msgspec.Struct, frozen=True, rename="camel"):
    creation_timestamp: str = ""


class _Stored(msgspec.Struct, frozen=True):
    metadata: _Created


_decode: Callable[[bytes], AdmittedObject] = decoder(AdmittedObject)
_decode_stored: Callable[[bytes], _Stored] = decoder(_Stored)


def _look(context: Context) -> Iterator[Outcome]:
    configuration = context.installed.configuration
    namespace = _selected(context)
    if namespace is None:
        for code in ("PSW070", "PSW071"):
            yield note(code, "no namespace is selected: there is none to try it in")
        return
    account = _account()
    subject = Subject("ServiceAccount", NAME, namespace.name, {}, {}, References())
    yield from _try(context, "PSW071", SERVICE_ACCOUNTS, account, subject, namespace)
    image = _image(configuration, namespace)
    subject = Subject("Pod", NAME, namespace.name, {}, {}, References(), images=(image,))
    yield from _try(context, "PSW070", PODS, _pod(image), subject, namespace)


def _selected(context: Context) -> Namespace | None:
    """Return a selected namespace, with as many pull secrets as possible; None if there is none."""
    best: Namespace | None = None
    most = 0
    for each in context.reader.each(Collection(NAMESPACES), PartialObjectMetadata):
        namespace = to_namespace(each)
        number = len(selected_pull_secrets(context.installed.configuration, namespace))
        if number > most:
            best, most = namespace, number
    return best


def _try(
    context: Context, code: str, resource: Resource, body: dict[str, Any], subject: Subject, namespace: Namespace
) -> Iterator[Outcome]:
    expected = decide_in(namespace, subject, context.installed.configuration).added
    if not expected:
        yield note(code, f"nothing is due to a new {resource.kind} in namespace {namespace.name}")
        return
    try:
        stored = _dry_run(context, resource, namespace.name, body)
    except Forbidden as error:
        yield unknown(code, f"a {resource.kind} may not be created in namespace {namespace.name}: {error}")
        return
    except ApiError as error:
        refused = finding if error.status == WEBHOOK_FAILED else unknown
        yield refused(code, f"a {resource.kind} is refused in namespace {namespace.name}: {error}")
        return
    found = _decode(stored)
    seen = found.as_pod(namespace.name) if resource is PODS else found.as_service_account(namespace.name)
    missing = [name for name in expected if seen is None or name not in seen.references.names]
    if missing:
        yield finding(code, f"a new {resource.kind} in namespace {namespace.name} lacks {', '.join(missing)}")
    yield from clock_skew(_decode_stored(stored).metadata.creation_timestamp, datetime.now(UTC))


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


REHEARSAL = Check(("PSW063", "PSW070", "PSW071"), _look)
