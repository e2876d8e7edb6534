"""Carries out the plan of one namespace: the only place of the loop that writes copies and ServiceAccounts."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import structlog

from webhook.core.dockerconfig import COPY_KEY
from webhook.core.jsonpatch import SERVICE_ACCOUNT_PATH, additions, expect_resource_version, removals
from webhook.core.ownership import FIELD_MANAGER, labels_for
from webhook.core.plan import COPY_TYPE
from webhook.errors import ApiError, Conflict, NotFound
from webhook.kube.resources import SECRETS, SERVICE_ACCOUNTS
from webhook.sync.shapes import decode_secret, decode_service_account, to_copy, to_service_account

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from webhook.core.plan import AddReferences, ApplyCopy, Copy, NamespacePlan, RemoveReferences, ServiceAccount
    from webhook.kube.client import Client
    from webhook.sync.caches import Caches
    from webhook.sync.release import Release
    from webhook.sync.sources import Content

log = structlog.get_logger(__name__)


class Deposed(Exception):
    """The lease is no longer ours: nothing more is written."""


class Executor:
    """Writes what a plan says, and tells the caches what the API server stored.

    ``may_write()`` is asked before every write: a deposed leader writes nothing. ``wrote(action)`` counts.
    """

    def __init__(
        self,
        client: Client,
        release: Release,
        caches: Caches,
        may_write: Callable[[], bool],
        wrote: Callable[[str], None],
    ) -> None:
        self._client = client
        self._release = release
        self._caches = caches
        self._may_write = may_write
        self._wrote = wrote

    def carry_out(self, namespace: str, plan: NamespacePlan, contents: Mapping[str, Content]) -> None:
        """Make every write of a plan that can be made, each after those it depends on.

        Raises:
            Deposed: before the first write that this process may not make any more.
            ApiError: the first failure; what did not depend on it has been done all the same.
        """
        failures: list[ApiError] = []
        without_copy = {
            action.name
            for action in plan.copies
            if not self._try(failures, self._apply_copy, namespace, action, contents)
        }
        for addition in plan.additions:
            names = tuple(name for name in addition.names if name not in without_copy)
            if names:
                self._try(failures, self._add_references, addition, names)
        still_referenced: set[str] = set()
        for removal in plan.removals:
            if not self._try(failures, self._remove_references, removal):
                still_referenced.update(removal.names)
        for deletion in plan.deletions:
            if deletion.copy.name not in still_referenced:
                self._try(failures, self._delete_copy, deletion.copy, "copy deleted")
        if failures:
            # A conflict means that the caches are behind, and the plan with them: worth another look at once.
            raise next((failure for failure in failures if isinstance(failure, Conflict)), failures[0])

    def _try(self, failures: list[ApiError], write: Callable[..., None], *arguments: Any) -> bool:  # noqa: ANN401
        self._ensure_leading()
        try:
            write(*arguments)
        except ApiError as error:
            failures.append(error)
            return False
        return True

    def _ensure_leading(self) -> None:
        if not self._may_write():
            raise Deposed

    def _apply_copy(self, namespace: str, action: ApplyCopy, contents: Mapping[str, Content]) -> None:
        if action.replaces is not None:
            self._delete_copy(action.replaces, "copy replaced")
            self._ensure_leading()
        content = contents[action.name]
        metadata: dict[str, Any] = {
            "namespace": namespace,
            "name": action.name,
            "labels": labels_for(self._release.name, self._release.namespace),
        }
        if action.updates is not None:
            # Exactly the Secret that was seen to be ours; one that took its place meanwhile is a conflict.
            metadata["uid"] = action.updates.uid
            metadata["resourceVersion"] = action.updates.resource_version
        body = {
            "metadata": metadata,
            "type": COPY_TYPE,
            "data": {COPY_KEY: b64encode(content.payload).decode()},
        }
        # Force takes back what others edited in our copy. Never on creation: a foreign Secret of that name that the
        # caches do not know yet must win.
        force = action.updates is not None
        stored = self._client.apply(SECRETS, body, field_manager=FIELD_MANAGER, force=force)
        copy = to_copy(decode_secret(stored), self._release)
        table = self._caches.copies(action.name)
        if table is not None:
            table.upsert(copy)
        self._wrote("copy updated" if force else "copy created")
        log.info("copy applied", namespace=namespace, secret=action.name, content=content.hash)

    def _add_references(self, action: AddReferences, names: tuple[str, ...]) -> None:
        account = action.service_account
        if account.references is None:
            return
        operations = additions(SERVICE_ACCOUNT_PATH, account.references, names)
        stored = self._patch(account, [expect_resource_version(account.resource_version), *operations])
        if stored is not None and not stored.issuperset(names):
            raise _undone(account)
        self._wrote("references added")
        log.info("references added", namespace=account.namespace, service_account=account.name, secrets=list(names))

    def _remove_references(self, action: RemoveReferences) -> None:
        account = action.service_account
        if account.references is None:
            return
        operations = removals(SERVICE_ACCOUNT_PATH, account.references, action.names)
        stored = self._patch(account, [expect_resource_version(account.resource_version), *operations])
        if stored is not None and not stored.isdisjoint(action.names):
            raise _undone(account)
        self._wrote("references removed")
        log.info(
            "references removed",
            namespace=account.namespace,
            service_account=account.name,
            secrets=list(action.names),
        )

    def _patch(self, account: ServiceAccount, operations: list[Any]) -> frozenset[str] | None:
        """Return the names that the stored ServiceAccount references; None when it is gone."""
        namespace, name = account.namespace, account.name
        try:
            answer = self._client.json_patch(SERVICE_ACCOUNTS, name, operations, namespace, field_manager=FIELD_MANAGER)
        except Conflict:
            # Another writer was first. The watch will tell, but a busy list would be changed again by then.
            self._refresh(namespace, name)
            raise
        except NotFound:
            self._caches.service_accounts.discard(namespace, name)
            return None
        stored = to_service_account(decode_service_account(answer))
        self._caches.service_accounts.upsert(stored)
        return frozenset(stored.references.names if stored.references else ())

    def _refresh(self, namespace: str, name: str) -> None:
        try:
            current = decode_service_account(self._client.get(SERVICE_ACCOUNTS, name, namespace))
        except NotFound:
            self._caches.service_accounts.discard(namespace, name)
        else:
            self._caches.service_accounts.upsert(to_service_account(current))

    def _delete_copy(self, copy: Copy, action: str) -> None:
        try:
            self._client.delete(
                SECRETS, copy.name, copy.namespace, uid=copy.uid, resource_version=copy.resource_version
            )
        except NotFound:
            log.debug("copy was gone", namespace=copy.namespace, secret=copy.name)
        else:
            self._wrote(action)
            log.info(action, namespace=copy.namespace, secret=copy.name)
        table = self._caches.copies(copy.name)
        if table is not None:
            table.discard(copy.namespace, copy.name)


def _undone(account: ServiceAccount) -> Conflict:
    """Return the conflict with whoever changes at admission what we write.

    That may be our own webhook: after an opt-out, the API server's namespaceSelector lags by milliseconds, and puts
    back what is being taken away. Were it not noticed, the copy would go and the reference stay.
    """
    return Conflict(
        f"ServiceAccount {account.namespace}/{account.name}: a webhook undid the change of imagePullSecrets"
    )
