"""The admission decision: the bytes of a review in, the bytes of the answer out.

Pure apart from two things it is given: the configuration in force, of which one decision reads one snapshot, and what
is known of a namespace. Only a defect is logged here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import structlog

from webhook.admission.review import AdmissionRequest, GroupVersionKind, RequestHead, parse, render
from webhook.core.gates import Decision, decide
from webhook.core.inject import Subject
from webhook.core.jsonpatch import POD_PATH, SERVICE_ACCOUNT_PATH
from webhook.core.model import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.core.model import Configuration
    from webhook.core.selection import Namespace

log = structlog.get_logger(__name__)

PODS = "pods"
SERVICE_ACCOUNTS = "serviceaccounts"
OTHER = "other"
"""What metrics call a resource or operation that is none of ours: a client cannot invent new time series."""

_KINDS = {PODS: "Pod", SERVICE_ACCOUNTS: "ServiceAccount"}
_PATHS = {PODS: POD_PATH, SERVICE_ACCOUNTS: SERVICE_ACCOUNT_PATH, OTHER: ""}
_OPERATIONS = {PODS: frozenset({"CREATE"}), SERVICE_ACCOUNTS: frozenset({"CREATE", "UPDATE"})}

KNOWN_OPERATIONS = frozenset({"CREATE", "UPDATE", "DELETE", "CONNECT"})


class Answer(msgspec.Struct, frozen=True):
    """The answer to one request: its body, and what logs and metrics say about it."""

    body: bytes
    resource: str
    operation: str
    reason: Reason
    added: tuple[str, ...] = ()
    uid: str = ""
    namespace: str = ""
    name: str = ""
    """Of the object; empty where the API server will generate it."""
    generate_name: str = ""

    @property
    def decision(self) -> str:
        """``patched`` or ``unchanged``."""
        return "patched" if self.added else "unchanged"


class Handler:
    """Answers admission reviews; ``namespace_of(name)`` returns None for a namespace that is not known."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        namespace_of: Callable[[str], Namespace | None],
    ) -> None:
        self._configuration = configuration
        self._namespace_of = namespace_of

    def handle(self, body: bytes) -> Answer:
        """Return the answer to the review in ``body``; BadReview when it is none."""
        request = parse(body)
        try:
            return self._answer(request)
        except Exception:
            # A defect of ours must not keep an object from being admitted, whatever the failure policy.
            log.exception("admission decision failed", uid=request.uid, namespace=request.namespace)
            unchanged = render(request.uid, Reason.INTERNAL_ERROR)
            return Answer(unchanged, OTHER, OTHER, Reason.INTERNAL_ERROR, uid=request.uid)

    def _answer(self, request: RequestHead) -> Answer:
        resource = _resource(request)
        subject = _subject(request, resource)
        decision = Decision(subject) if isinstance(subject, Reason) else self._decide(subject)
        present = isinstance(subject, Subject) and subject.references.present
        return Answer(
            body=render(request.uid, decision.reason, decision.added, _PATHS[resource], present=present),
            resource=resource,
            operation=request.operation if request.operation in KNOWN_OPERATIONS else OTHER,
            reason=decision.reason,
            added=decision.added,
            uid=request.uid,
            namespace=request.namespace or "",
            name=subject.name if isinstance(subject, Subject) else "",
            generate_name=subject.generate_name if isinstance(subject, Subject) else "",
        )

    def _decide(self, subject: Subject) -> Decision:
        configuration = self._configuration()
        known = self._namespace_of(subject.namespace) if configuration.needs_namespace_labels else None
        if known is None or known.labels.get(configuration.opt_in.label) != configuration.opt_in.value:
            # The API server asks about opted-in namespaces only, so what we know of this one is of before it opted in.
            return decide(subject, configuration)
        return decide(subject, configuration, known)


def _resource(request: RequestHead) -> str:
    """Return ``pods`` or ``serviceaccounts`` of the core API, ``other`` for anything else and for subresources."""
    resource = request.resource
    if resource is None or resource.group or resource.version != "v1" or request.sub_resource:
        return OTHER
    return resource.resource if resource.resource in _KINDS else OTHER


def _subject(request: RequestHead, resource: str) -> Subject | Reason:
    """Return what a decision can be made about, or the reason why there is nothing to decide."""
    if not isinstance(request, AdmissionRequest):
        return Reason.OBJECT_UNREADABLE
    if resource == OTHER:
        return Reason.RESOURCE_IGNORED
    if request.operation not in _OPERATIONS[resource]:
        return Reason.OPERATION_IGNORED
    admitted = request.object
    if admitted is None:
        return Reason.OBJECT_ABSENT
    if not _is_kind(request.kind, admitted.kind, _KINDS[resource]):
        return Reason.RESOURCE_IGNORED
    # The namespace is the request's: the object's own may still be empty, or not what the API server will make it.
    namespace = request.namespace
    if not namespace:
        # Pods and ServiceAccounts have one. Without it, no exclusion and no selector can be checked.
        return Reason.OBJECT_UNREADABLE
    if resource == SERVICE_ACCOUNTS:
        return admitted.as_service_account(namespace)
    return admitted.as_pod(namespace) or Reason.OBJECT_UNREADABLE


def _is_kind(requested: GroupVersionKind | None, stated: str | None, kind: str) -> bool:
    """Whether the request and the object agree on a kind of the core API, as far as either states one."""
    if requested is not None and (requested.group or requested.version != "v1" or requested.kind != kind):
        return False
    return not stated or stated == kind
