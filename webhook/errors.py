"""The exceptions of this project, drawn as a tree.

::

    PullSecretsError
    ├── UsageError               what a person asked for cannot be done; the command line prints it and exits 2
    │   └── ConfigurationInvalid one document, every problem in it
    ├── SourceInvalid            a source Secret that must not be copied
    ├── CertificateInvalid       a certificate, key or bundle that must not be served or trusted
    └── ApiError                 the API server did not do what was asked
        ├── ApiUnavailable       no answer: refused, timed out, reset, TLS
        ├── NotFound             404
        ├── Conflict             409, and 422 of a failed JSON Patch ``test``
        ├── Gone                 410: the resourceVersion is compacted away
        ├── Forbidden            401 and 403
        ├── Invalid              400 and any other 422
        └── Throttled            429, and 5xx with ``Retry-After``

A message is one sentence that names the thing and the way out. None carries the content of a Secret, a token or a
request body. Exceptions of third-party packages end in the one module that imports the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class PullSecretsError(Exception):
    """The root of every exception that this project raises on purpose."""


class UsageError(PullSecretsError):
    """What a person asked for cannot be done: a wrong flag value, a missing file, a port in use."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a document: where, as ``pullSecrets[1].sources[0].secretName``, and what, as a sentence."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigurationInvalid(UsageError):
    """A configuration document that must not come into force; carries every problem, not only the first."""

    def __init__(self, origin: str, problems: Sequence[Problem]) -> None:
        self.origin = origin
        self.problems = tuple(problems)
        count = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"{origin}: the configuration has {count}:{lines}")


class SourceInvalid(PullSecretsError):
    """A source Secret that must not be copied; ``reason`` is the stable id, the message never holds its content."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class CertificateInvalid(PullSecretsError):
    """A certificate, key or bundle that must not be served or trusted."""


class ApiError(PullSecretsError):
    """The API server did not do what was asked; ``status`` is the HTTP status, 0 where there was no answer."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after: float | None = None) -> None:
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        super().__init__(message)

    @property
    def is_general(self) -> bool:
        """Whether an answer has nothing to do with what was asked: a proxy's page, or a plea to come back later.

        InternalError, the API server's own word, is not: a webhook that fails for one namespace ends as that.
        """
        return self.status == 429 or (self.status >= 500 and self.reason != "InternalError")  # noqa: PLR2004


class ApiUnavailable(ApiError):
    """No answer from the API server: connection refused, timed out, reset, or TLS failed."""


class NotFound(ApiError):
    """The object does not exist (404)."""


class Conflict(ApiError):
    """Somebody else wrote first (409), or a JSON Patch ``test`` or precondition did not hold (422)."""


class Gone(ApiError):
    """The resourceVersion asked for is no longer kept (410): list again."""


class Forbidden(ApiError):
    """The credentials are not accepted (401) or lack the right (403)."""


class Invalid(ApiError):
    """The API server refuses the object as it is (400, 413, 422)."""


class Throttled(ApiError):
    """The API server asks to come back later (429, or 5xx with ``Retry-After``); ``retry_after`` in seconds."""
