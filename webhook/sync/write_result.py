"""Classify the result of a write in one word, for metrics, the status and operators."""

from __future__ import annotations

from enum import StrEnum

from webhook.errors import ApiError, ApiUnavailable, Conflict, Invalid, NotFound, Refused, Throttled


class Undone(Conflict):
    """The write was accepted, and a webhook reverted it in the same request."""


class Result(StrEnum):
    """The result of a write."""

    OK = "ok"
    CONFLICT = "conflict"
    UNDONE = "undone"
    DENIED = "denied"
    INVALID = "invalid"
    NOT_FOUND = "not-found"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    ERROR = "error"


_RESULTS = (
    (Undone, Result.UNDONE),
    (Conflict, Result.CONFLICT),
    (Invalid, Result.INVALID),
    (Refused, Result.DENIED),
    (NotFound, Result.NOT_FOUND),
    (Throttled, Result.THROTTLED),
    (ApiUnavailable, Result.UNAVAILABLE),
)


def result_of(error: ApiError) -> Result:
    """Return the result of a write that raised ``error``."""
    return next((result for kind, result in _RESULTS if isinstance(error, kind)), Result.ERROR)
