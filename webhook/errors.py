"""Define the exceptions of this project.

::

    PullSecretsError
    ├── UsageError               a request that cannot be done; the command line prints it and exits 2
    │   ├── ClusterSilent        a cluster that did not answer a command
    │   └── ConfigurationInvalid a document with all its problems
    ├── SourceInvalid            a source Secret that must not be copied
    ├── CredentialsNotIssued     a renewing source did not issue a credential
    ├── CertificateInvalid       a certificate, key or bundle that must not be served or trusted
    └── ApiError                 the API server did not do what was requested
        ├── ApiUnavailable       no answer, or one that does not come from the API server or is not about the request
        │   └── Interrupted      cancelled by this process while it waited for the answer
        │       └── Fenced       not sent, because this process does not lead any more
        ├── ResponseTooLarge     more bytes than the caller has room for
        ├── Throttled            429 of the API server itself: priority and fairness, or too many requests in flight
        ├── NotFound             404, proven by a Status that names the object or its namespace
        ├── Conflict             409, and 422 of a JSON Patch whose ``test`` failed
        ├── Gone                 410: the resourceVersion is no longer stored
        └── Refused              the API server understood the request and refuses it
            ├── Forbidden        401 and 403: a right, a quota, a namespace that is being deleted
            ├── Invalid          400, 413 and any other 422
            └── AdmissionFailed  a webhook or policy denied the request or could not be called, with any code

:mod:`webhook.kube.status` maps each answer to one of these; no other module does.

A message is one sentence with the object and the remedy. It never contains the content of a Secret, a token or a
request body. Exceptions of third-party packages are caught in the one module that imports the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class PullSecretsError(Exception):
    """The root of all exceptions that this project raises deliberately."""


class UsageError(PullSecretsError):
    """A request that cannot be done: a wrong flag value, a missing file, a port in use."""


class ClusterSilent(UsageError):
    """A cluster that did not answer a command; it may answer the next request."""


class Problem(NamedTuple):
    """A problem in a document: its path, such as ``pullSecrets[1].sources[0].secretName``, and a sentence."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigurationInvalid(UsageError):
    """A configuration document that must not come into force, with all its problems."""

    def __init__(self, origin: str, problems: Sequence[Problem]) -> None:
        self.origin = origin
        self.problems = tuple(problems)
        self.look = ""
        """The command that shows the document, if it is in a cluster."""
        count = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"
        self.lines = (f"{origin}: the configuration has {count}:", *(f"  {problem}" for problem in self.problems))
        super().__init__("\n".join(self.lines))


class ConfigurationAbsent(UsageError):
    """A release without its ConfigMap, so that its configuration is unknown."""


class SourceInvalid(PullSecretsError):
    """A source Secret that must not be copied. ``reason`` is a stable id; the message never contains its content."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class CredentialsNotIssued(PullSecretsError):
    """The credential of a renewing source was not renewed. ``reason`` is a stable id; the message has no credential.

    ``deleted`` is True if the Secret of the previous credential was deleted in the attempt.
    """

    def __init__(self, reason: str, message: str, *, deleted: bool = False) -> None:
        self.reason = reason
        self.deleted = deleted
        super().__init__(message)


class CertificateInvalid(PullSecretsError):
    """A certificate, key or bundle that must not be served or trusted."""


class ApiError(PullSecretsError):
    """The API server did not fulfil a request; ``status`` is the HTTP status, or 0 without an answer."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        retry_after: float | None = None,
        denied_by: str = "",
    ) -> None:
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        self.denied_by = denied_by
        """The API server's text that names the webhook or policy; empty without one."""
        self.plural = self.name = ""
        """Resource and name of the object of the request, if a Status of the API server names it."""
        super().__init__(message)

    def add_context(self, text: str) -> None:
        """Put a text with the purpose of the request in front of the message."""
        self.args = (f"{text}: {self}",)

    @property
    def is_general(self) -> bool:
        """Return whether the answer is about the API server in general, and not about the object of the request.

        Only such an answer may delay other namespaces. InternalError is not general: the API server returns it
        when the patch of a tenant's mutating webhook does not apply. A request without an answer (status 0) is not
        general either: :mod:`webhook.kube.connectivity` finds the reason.
        """
        return False

    @property
    def is_lasting(self) -> bool:
        """Return whether the next attempt will fail in the same way unless a person changes something."""
        return False


class ApiUnavailable(ApiError):
    """No answer (refused, timed out, reset, TLS), or an inconclusive one: a proxy's page, or a 5xx."""

    @property
    def is_general(self) -> bool:
        return self.status != 0 and self.reason != "InternalError"


class Interrupted(ApiUnavailable):
    """This process has cancelled its request, because the answer took too long while others waited."""


class Fenced(Interrupted):
    """This process has not sent its write, because it does not lead any more."""


class ResponseTooLarge(ApiError):
    """The answer has more bytes than the caller can store: request fewer objects."""


class Throttled(ApiError):
    """The API server itself has too many requests (429); ``retry_after`` in seconds."""

    @property
    def is_general(self) -> bool:
        return True


class NotFound(ApiError):
    """The object, or its namespace, does not exist: the API server's Status names it (404)."""


class Conflict(ApiError):
    """Another writer was first (409), or the ``test`` of a JSON Patch failed (422)."""


class Gone(ApiError):
    """The requested resourceVersion is no longer kept (410): list again."""


class Refused(ApiError):
    """The API server understood the request and refuses it."""

    @property
    def is_lasting(self) -> bool:
        # A webhook that cannot be called or is overloaded may recover a moment later.
        return self.status < 500 and self.status != 429  # noqa: PLR2004


class Forbidden(Refused):
    """The credentials are not accepted (401), or a right or a quota is missing (403)."""


class Invalid(Refused):
    """The API server refuses the object as it is (400, 413, 422)."""


class AdmissionFailed(Refused):
    """An admission webhook or policy denied the request or could not be called.

    It concerns only one namespace, with any status: 403, 422, 429, 500 or 503.
    """
