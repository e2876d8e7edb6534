"""Turn a response of the API server that is not 2xx into an exception that names the cause of the failure.

A response counts only as far as it proves something. A Status (metav1.Status) comes from the API server. Anything else
(the page of a load balancer, a login page, a redirect, an empty body) means that the API server was not reached,
whatever its code.

A webhook or policy that denies a request chooses the code itself. Its 429 or 503 proves nothing about the API server.
The API server puts its own words before the message of a webhook. These words distinguish the two.

Sources: k8s.io/apimachinery/pkg/api/errors/errors.go (the meaning of each code);
k8s.io/apiserver/pkg/admission/plugin/webhook/errors/statuserror.go, pkg/util/webhook/error.go and
pkg/admission/plugin/policy (the words of webhooks and policies); pkg/server/filters/priority-and-fairness.go (429).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from webhook.errors import (
    AdmissionFailed,
    ApiError,
    ApiUnavailable,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    Refused,
    Throttled,
)
from webhook.rules.decoding import NOT_DECODED

if TYPE_CHECKING:
    from collections.abc import Mapping

MESSAGE_LIMIT = 400
"""Characters of the server's own message that are kept; messages of policies and quotas are shorter."""

RETRY_AFTER_LIMIT = 30.0
"""Seconds to wait at most, so that one strange header does not stop this process for a day."""

JSON_PATCH = "application/json-patch+json"

_ADMISSION = re.compile(
    r'admission webhook "[^"]*" (?:denied the request|does not support dry run|attempted to modify the object)'
    r'|failed calling webhook "[^"]*"'
    r"|ValidatingAdmissionPolicy '[^']*'(?: with binding '[^']*')? denied request"
    r"|\bpolicy (?:'[^']*' with binding '[^']*'|\"[^\"]*\") denied request"
)
"""The API server's words for a webhook or policy that denied a request or could not be called."""

_TOO_MANY_REQUESTS = b"Too many requests, please try again later."
"""The body of the API server's own 429, which is plain text. With priority and fairness there are headers too."""

_PRIORITY_LEVEL = "X-Kubernetes-Pf-Prioritylevel-Uid"

_NEVER_QUOTED = frozenset({401, 403, 404, 409, 429})
"""Codes whose message the API server writes itself, from names alone: rights, quotas, conflicts."""

_CONTENT_TYPE_LIMIT = 40


class StatusDetails(msgspec.Struct, frozen=True):
    """The part of ``metav1.StatusDetails`` that is read; ``kind`` is the plural of the resource."""

    name: str = ""
    kind: str = ""
    retry_after: float = msgspec.field(default=0.0, name="retryAfterSeconds")
    causes: list[msgspec.Raw] | None = None


class Status(msgspec.Struct, frozen=True):
    """The part of ``metav1.Status`` that is read."""

    kind: str = ""
    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None

    @property
    def is_status(self) -> bool:
        """True if this was a Status, and so came from an API server."""
        return self.kind == "Status"


_decode = msgspec.json.Decoder(Status, strict=False).decode


class RequestedObject(msgspec.Struct, frozen=True):
    """The object that a path is about: resource, name, namespace, subresource; each is empty if the path has none."""

    plural: str
    name: str
    namespace: str
    subresource: str

    @classmethod
    def of_path(cls, path: str) -> RequestedObject:
        """Return the object of a path of the API."""
        parts = [unquote(part) for part in path.strip("/").split("/")]
        # A path begins with /api/<version> or with /apis/<group>/<version>.
        rest = parts[2 if parts[0] == "api" else 3 :]
        namespace = rest[1] if rest[:1] == ["namespaces"] and len(rest) > 2 else ""  # noqa: PLR2004
        plural, name, subresource, *_ = [*(rest[2:] if namespace else rest), "", "", ""]
        return cls(plural, name, namespace, subresource)

    def is_proven_absent(self, status: Status) -> bool:
        """True if a Status proves that this object does not exist: it names the object, or its namespace."""
        if status.reason != "NotFound":
            return False
        details = status.details or StatusDetails()
        if not details.name:
            # The API server names no object if the resource as a whole is not served.
            return not self.name or status.message.endswith(f' "{self.name}" not found')
        # The objects of a namespace that does not exist do not exist either.
        return (details.kind, details.name) in ((self.plural, self.name), ("namespaces", self.namespace))


def decode_status(data: bytes | msgspec.Raw) -> Status:
    """Return the Status in a body; an empty one if the body is something else."""
    try:
        return _decode(data)
    except NOT_DECODED:
        return Status()


def error_from_response(
    method: str, path: str, code: int, headers: Mapping[str, str], data: bytes, content_type: str = ""
) -> ApiError:
    """Return the exception for a response that is not 2xx; ``content_type`` is that of the request."""
    status = decode_status(data)
    retry_after = _seconds(headers.get("Retry-After"))
    if not status.is_status:
        throttles = code == 429 and (_PRIORITY_LEVEL in headers or data.strip() == _TOO_MANY_REQUESTS)  # noqa: PLR2004
        if throttles:
            return _error(Throttled, f"{method} {path}: {code} too many requests", code, "", retry_after)
        return not_from_api_server(method, path, code, headers, retry_after)
    return error_from_status(method, path, status, code, retry_after, content_type)


def error_from_status(
    method: str, path: str, status: Status, code: int, retry_after: float | None = None, content_type: str = ""
) -> ApiError:
    """Return the exception for a Status: the body of a response, or an ERROR event of a watch."""
    # An ERROR event of a watch has no headers, only this field.
    if retry_after is None and status.details is not None and status.details.retry_after > 0:
        retry_after = status.details.retry_after
    message = f"{method} {path}: {code} {status.reason}".rstrip()
    shown = _showable(method, path, code, status.message)
    if shown:
        message = f"{message}: {shown[:MESSAGE_LIMIT]}"
    # Before the code is judged, because a webhook or policy chooses it freely.
    denied = _ADMISSION.search(status.message)
    kind = AdmissionFailed if denied else _kind(path, status, code, is_json_patch=content_type == JSON_PATCH)
    if kind is ApiUnavailable and code == 404:  # noqa: PLR2004
        message = f"{method} {path}: {code}: the answer is about another object, so it proves nothing about this one"
    error = _error(kind, message, code, status.reason, retry_after, denied.group(0) if denied else "")
    requested = RequestedObject.of_path(path)
    error.plural, error.name = requested.plural, requested.name
    return error


def not_from_api_server(
    method: str, path: str, code: int, headers: Mapping[str, str], retry_after: float | None = None
) -> ApiError:
    """Return the exception for a response that does not come from the API server; its content is not quoted."""
    media_type = headers.get("Content-Type", "").partition(";")[0][:_CONTENT_TYPE_LIMIT]
    # The sender is unknown, and this text is shown in logs, Events and terminals.
    shown = media_type if media_type.isascii() and media_type.isprintable() and media_type else "no content type"
    message = f"{method} {path}: {code} ({shown}): not an answer of the API server, but perhaps of a proxy before it"
    return _error(ApiUnavailable, message, code, "", retry_after)


def _error(
    kind: type[ApiError], message: str, code: int, reason: str, retry_after: float | None, denied_by: str = ""
) -> ApiError:
    if retry_after is not None:
        retry_after = min(retry_after, RETRY_AFTER_LIMIT)
    return kind(message, status=code, reason=reason, retry_after=retry_after, denied_by=denied_by)


def _showable(method: str, path: str, code: int, message: str) -> str:
    """Return the part of a message that may be shown. For the write of a Secret, it never quotes the request."""
    if method in ("GET", "WATCH") or "/secrets" not in path:
        return message
    # The message of a webhook or a policy follows its name, and may quote the very object that it denied.
    denied = _ADMISSION.search(message)
    if denied is not None:
        return denied.group(0)
    return message if code in _NEVER_QUOTED else ""


def _kind(path: str, status: Status, code: int, *, is_json_patch: bool) -> type[ApiError]:
    has_causes = status.details is not None and bool(status.details.causes)
    match code:
        case 401 | 403:
            return Forbidden
        case 404:
            return NotFound if RequestedObject.of_path(path).is_proven_absent(status) else ApiUnavailable
        case 409:
            return Conflict
        case 410:
            return Gone
        case 422 if is_json_patch and not has_causes:
            # A failed test. Errors of the object, or denials by a policy, are listed as causes.
            return Conflict
        case 400 | 413 | 422:
            return Invalid
        case 429:
            # An eviction that a PodDisruptionBudget forbids has a cause, and is about one Pod.
            return Refused if has_causes else Throttled
        case _ if code < 400 or code >= 500:  # noqa: PLR2004
            return ApiUnavailable
        case _:
            return ApiError


def _seconds(value: str | None) -> float | None:
    # The HTTP date form is legal, but the API server and its proxies send seconds.
    return float(value) if value is not None and value.isascii() and value.isdigit() else None
