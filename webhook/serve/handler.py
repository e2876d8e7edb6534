"""Decide on an admission review: the bytes of a review in, the bytes of the answer out.

This module is pure except for two inputs: the configuration in force, read once for each decision, and the known labels
of a namespace. It logs only defects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import structlog

from webhook.rules.configuration import Reason
from webhook.rules.gates import Decision, decide
from webhook.rules.objects import Subject
from webhook.rules.patch import POD_PATH, SERVICE_ACCOUNT_PATH
from webhook.serve.review import HEAVY_BODY, AdmissionRequest, GroupVersionKind, RequestHead, parse, render

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import Namespace

log = structlog.get_logger(__name__)

PODS = "pods"
SERVICE_ACCOUNTS = "serviceaccounts"
OTHER = "other"
"""The value in metrics for foreign resources and operations, so that clients cannot create new time series."""

_KINDS = {PODS: "Pod", SERVICE_ACCOUNTS: "ServiceAccount"}
_PATHS = {PODS: POD_PATH, SERVICE_ACCOUNTS: SERVICE_ACCOUNT_PATH, OTHER: ""}
_OPERATIONS = {PODS: frozenset({"CREATE"}), SERVICE_ACCOUNTS: frozenset({"CREATE", "UPDATE"})}

KNOWN_OPERATIONS = frozenset({"CREATE", "UPDATE", "DELETE", "CONNECT"})


class ReviewReply(msgspec.Struct, frozen=True):
    """The answer to one request: its body and its data for logs and metrics."""

    body: bytes
    resource: str
    operation: str
    reason: Reason
    added: tuple[str, ...] = ()
    uid: str = ""
    namespace: str = ""
    name: str = ""
    """Name of the object; empty when the API server will generate it."""
    generate_name: str = ""

    @property
    def decision(self) -> str:
        """Return ``patched`` or ``unchanged``."""
        return "patched" if self.added else "unchanged"


class Handler:
    """Answers admission reviews. ``namespace_of(name)`` returns None for an unknown namespace.

    ``parse_heavy`` does the same as review.parse for bodies above HEAVY_BODY.
    """

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        namespace_of: Callable[[str], Namespace | None],
        parse_heavy: Callable[[bytes], RequestHead] = parse,
    ) -> None:
        self._configuration = configuration
        self._namespace_of = namespace_of
        self._parse_heavy = parse_heavy

    def handle(self, body: bytes) -> ReviewReply:
        """Return the answer to the review in ``body``. Raises BadReview when it is not a review."""
        request = parse(body) if len(body) <= HEAVY_BODY else self._parse_heavy(body)
        try:
            return self._answer(request)
        except Exception:
            # A defect here must not keep an object from being admitted, whatever the failure policy is.
            log.exception("admission decision failed", uid=request.uid, namespace=request.namespace)
            unchanged = render(request.uid, Reason.INTERNAL_ERROR)
            return ReviewReply(unchanged, OTHER, OTHER, Reason.INTERNAL_ERROR, uid=request.uid)

    def _answer(self, request: RequestHead) -> ReviewReply:
        resource = _resource(request)
        subject = _subject(request, resource)
        decision = Decision(subject) if isinstance(subject, Reason) else self._decide(subject)
        # A JSON Patch that appends to an absent list fails to apply, so the patch has to know whether the list is
        # present.
        present = isinstance(subject, Subject) and subject.references.present
        return ReviewReply(
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
        cached = self._namespace_of(subject.namespace) if configuration.needs_namespace_labels else None
        if cached is None or not configuration.opt_in.selects(cached.labels):
            # The API server calls only for opted-in namespaces, so the known labels are from before the namespace opted
            # in.
            return decide(subject, configuration)
        return decide(subject, configuration, cached)


def _resource(request: RequestHead) -> str:
    """Return ``pods`` or ``serviceaccounts`` of the core API, and ``other`` for all else including subresources."""
    resource = request.resource
    if resource is None or resource.group or resource.version != "v1" or request.sub_resource:
        return OTHER
    return resource.resource if resource.resource in _KINDS else OTHER


def _subject(request: RequestHead, resource: str) -> Subject | Reason:
    """Return the subject of a decision, or the reason why there is nothing to decide."""
    if not isinstance(request, AdmissionRequest):
        return Reason.OBJECT_UNREADABLE
    # A wrong rule in a MutatingWebhookConfiguration sends other resources here. They are allowed unchanged, because an
    # injector must not block them.
    if resource == OTHER:
        return Reason.RESOURCE_IGNORED
    # A Pod's imagePullSecrets cannot change after its creation, so an UPDATE of a Pod has nothing to add.
    if request.operation not in _OPERATIONS[resource]:
        return Reason.OPERATION_IGNORED
    admitted = request.object
    if admitted is None:
        return Reason.OBJECT_ABSENT
    if not _is_kind(request.kind, admitted.kind, _KINDS[resource]):
        return Reason.RESOURCE_IGNORED
    # The namespace comes from the request, because the object's own may be empty or be changed by the API server.
    namespace = request.namespace
    if not namespace:
        # Pods and ServiceAccounts always have one. Without it, exclusions and selectors cannot be checked.
        return Reason.OBJECT_UNREADABLE
    if resource == SERVICE_ACCOUNTS:
        return admitted.as_service_account(namespace)
    return admitted.as_pod(namespace) or Reason.OBJECT_UNREADABLE


def _is_kind(requested: GroupVersionKind | None, stated: str | None, kind: str) -> bool:
    """Return whether the request and the object agree on a kind of the core API, as far as either states one."""
    if requested is not None and (requested.group or requested.version != "v1" or requested.kind != kind):
        return False
    return not stated or stated == kind
