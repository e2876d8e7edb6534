"""Answers of the API server that are not 2xx, as our exceptions.

Source of the shape: metav1.Status; of what each code means: k8s.io/apimachinery/pkg/api/errors/errors.go.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from webhook.errors import (
    ApiError,
    ApiUnavailable,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    Throttled,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

MESSAGE_LIMIT = 400
"""Characters of the server's own message that are kept: policies and quotas explain themselves in less."""

RETRY_AFTER_LIMIT = 30.0
"""Seconds: whoever asks for more is asked again all the same, lest one strange header blind this process for a day."""

_WHO_REFUSED = re.compile(
    r'admission webhook "[^"]*" denied the request'
    r"|ValidatingAdmissionPolicy '[^']*' with binding '[^']*' denied request"
    r'|failed calling webhook "[^"]*"'
)

_NEVER_QUOTED = frozenset({401, 403, 404, 409, 429})
"""The codes whose message the API server writes itself, of names alone: rights, quotas, conflicts."""


class StatusDetails(msgspec.Struct, frozen=True):
    """The part of ``metav1.StatusDetails`` that is read."""

    retry_after: float = msgspec.field(default=0.0, name="retryAfterSeconds")


class Status(msgspec.Struct, frozen=True):
    """The part of ``metav1.Status`` that is read."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None


_decode = msgspec.json.Decoder(Status, strict=False).decode


def decode_status(data: bytes | msgspec.Raw) -> Status:
    """Return the Status in a body; an empty one where a proxy answered with HTML or nothing."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Status()


def error_from_response(method: str, path: str, code: int, headers: Mapping[str, str], data: bytes) -> ApiError:
    """Return the exception for an answer that is not 2xx."""
    status = decode_status(data)
    retry_after = _seconds(headers.get("Retry-After"))
    return error_from_status(method, path, status, code, retry_after)


def error_from_status(method: str, path: str, status: Status, code: int, retry_after: float | None = None) -> ApiError:
    """Return the exception for a Status, be it the body of an answer or an ERROR event of a watch."""
    if retry_after is None and status.details is not None and status.details.retry_after > 0:
        retry_after = status.details.retry_after
    message = f"{method} {path}: {code} {status.reason}".rstrip()
    told = _tellable(method, path, code, status.message)
    if told:
        message = f"{message}: {told[:MESSAGE_LIMIT]}"
    if retry_after is not None:
        retry_after = min(retry_after, RETRY_AFTER_LIMIT)
    kind = _kind(code, has_retry_after=retry_after is not None)
    return kind(message, status=code, reason=status.reason, retry_after=retry_after)


def _tellable(method: str, path: str, code: int, message: str) -> str:
    """Return what may be shown of a message: about the write of a Secret, nothing that may quote what was sent."""
    if method in ("GET", "WATCH") or "/secrets" not in path:
        return message
    # What a webhook or a policy has to say follows its name, and may be the very object that it refused.
    refuser = _WHO_REFUSED.search(message)
    if refuser is not None:
        return refuser.group(0)
    return message if code in _NEVER_QUOTED else ""


def _kind(code: int, *, has_retry_after: bool) -> type[ApiError]:
    match code:
        case 401 | 403:
            return Forbidden
        case 404:
            return NotFound
        case 409:
            return Conflict
        case 410:
            return Gone
        case 400 | 413 | 422:
            return Invalid
        case 429:
            return Throttled
        case _ if code >= 500:  # noqa: PLR2004
            return Throttled if has_retry_after else ApiUnavailable
        case _:
            return ApiError


def _seconds(value: str | None) -> float | None:
    # The HTTP date form is legal, but the API server and its proxies send seconds.
    return float(value) if value is not None and value.isascii() and value.isdigit() else None
