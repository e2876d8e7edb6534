"""Write the Secrets that keep issued credentials. Only the leader does, and only Secrets that carry its label.

Each write depends on the state that it was decided on. So a process that was suspended in between gets a conflict, and
never replaces a newer credential by an older one.
"""

from __future__ import annotations

import uuid
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import structlog

from webhook.errors import ApiError, Conflict, CredentialsNotIssued, Fenced, NotFound
from webhook.kube.resources import SECRETS
from webhook.report.explain.commands import rename_command
from webhook.rules.credential import SourceReason
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE
from webhook.rules.expiry import EXPIRES_ANNOTATION, ISSUED_ANNOTATION
from webhook.rules.ownership import FIELD_MANAGER
from webhook.rules.renewing import (
    ISSUED_BY_LABEL,
    ISSUED_FOR,
    RENEWED,
    IssueReason,
    format_time,
    settings_digest,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.kube.client import Client
    from webhook.rules.ownership import Release
    from webhook.rules.renewing import IssuedCredential, RenewingSource
    from webhook.sync.source import Source

log = structlog.get_logger(__name__)


class IssuedSecrets:
    """Writes issued credentials into the release's namespace. ``may_write()`` is called before each write."""

    def __init__(self, client: Client, release: Release, may_write: Callable[[], bool]) -> None:
        self._client = client
        self._release = release
        self._may_write = may_write

    def check(self, observed: Source) -> None:
        """Raise CredentialsNotIssued if another object has the name, so that no credential is issued for nothing."""
        if observed.uid and observed.issued.issued_by != self._release.name:
            name, namespace = observed.name, self._release.namespace
            message = (
                f'Secret "{name}" was not issued by release {self._release.name}, and is left alone. Rename it, which '
                f"keeps its content: {rename_command(namespace, name)}"
            )
            raise CredentialsNotIssued(IssueReason.SECRET_FOREIGN, message)

    def store(self, source: RenewingSource, credential: IssuedCredential, observed: Source) -> bytes:
        """Write a credential in place of the one that was ``observed``, and return the stored Secret.

        Raises:
            Conflict: the Secret has changed since, or this process does not lead any more.
            CredentialsNotIssued: the API server refuses the write.
        """
        # Checked after the issue: a provider may have run for a minute, and the Lease may be lost since.
        if not self._may_write():
            raise Conflict("this process does not lead any more")
        try:
            return self._write(source, credential, observed)
        except (Conflict, NotFound, Fenced):
            raise Conflict(f'Secret "{source.secret}" has changed, or this process does not lead any more') from None
        except ApiError as error:
            message = f'the issued credential cannot be stored in Secret "{source.secret}": {error}'
            raise CredentialsNotIssued(IssueReason.SECRET_NOT_WRITTEN, message) from None

    def _write(self, source: RenewingSource, credential: IssuedCredential, observed: Source) -> bytes:
        body = self._body(source, credential, observed)
        if not observed.uid:
            return self._create(body)
        cause = _replacement_cause(observed)
        if not cause:
            # Without them, server-side apply would replace a newer credential, or create a Secret that was deleted
            # meanwhile.
            present = {"uid": observed.uid, "resourceVersion": observed.resource_version}
            whole = body | {"metadata": body["metadata"] | present}
            # With force, because the Secret has our label: another field manager that has edited it must not stop the
            # renewals.
            return self._client.apply(SECRETS, whole, field_manager=FIELD_MANAGER, force=True)
        log.info("issued secret replaced", secret=source.secret, cause=cause)
        self._client.delete(
            SECRETS,
            observed.name,
            self._release.namespace,
            uid=observed.uid,
            resource_version=observed.resource_version,
        )
        try:
            return self._create(body)
        except (Conflict, Fenced):
            raise
        except ApiError as error:
            message = f'Secret "{source.secret}" was deleted to be replaced, and cannot be created again: {error}'
            raise CredentialsNotIssued(IssueReason.SECRET_NOT_WRITTEN, message, deleted=True) from None

    def _create(self, body: dict[str, Any]) -> bytes:
        # As for a copy: RBAC can limit only server-side apply to a name. Without force and with a unique field manager,
        # a Secret that was created in the meantime is a conflict.
        return self._client.apply(SECRETS, body, field_manager=f"{FIELD_MANAGER}-{uuid.uuid4()}", force=False)

    def _body(self, source: RenewingSource, credential: IssuedCredential, observed: Source) -> dict[str, Any]:
        annotations = {
            ISSUED_ANNOTATION: format_time(credential.issued_at),
            EXPIRES_ANNOTATION: format_time(credential.expires_at),
            ISSUED_FOR: settings_digest(source),
        }
        # In the same write as the credential, so that a request counts as fulfilled exactly when it is.
        if observed.issued.renew:
            annotations[RENEWED] = observed.issued.renew
        metadata = {
            "namespace": self._release.namespace,
            "name": source.secret,
            "labels": {ISSUED_BY_LABEL: self._release.name},
            "annotations": annotations,
        }
        return {"metadata": metadata, "type": COPY_TYPE, "data": {COPY_KEY: b64encode(credential.payload).decode()}}


def _replacement_cause(observed: Source) -> str:
    """Return the cause for which no update can change a Secret; empty if one can."""
    # The object itself shows it: a 422 has other causes too, such as annotations that are too large.
    if observed.immutable:
        return "it is immutable"
    is_other_type = observed.problem is not None and observed.problem.reason == SourceReason.TYPE_UNSUPPORTED
    return "it has another type, which cannot be changed" if is_other_type else ""
