"""How a write ended, in one word: for metrics, the status and whoever has to act."""

from __future__ import annotations

from enum import StrEnum

from webhook.errors import ApiError, ApiUnavailable, Conflict, Invalid, NotFound, Refused, Throttled


class Undone(Conflict):
    """The write was accepted, and a webhook took it back in the same request."""


class Result(StrEnum):
    """How a write ended."""

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
    """Return how a write ended that raised ``error``."""
    return next((result for kind, result in _RESULTS if isinstance(error, kind)), Result.ERROR)
