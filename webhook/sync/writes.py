"""Write copies and references, one by one. Only this module changes Secrets of tenants and ServiceAccounts.

The responses also show whether the API server calls our webhook for these writes.
"""

from __future__ import annotations

import time
import uuid
from base64 import b64encode
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import structlog

from webhook.errors import AdmissionFailed, ApiError, Conflict, Fenced, NotFound
from webhook.kube.lease import timestamp
from webhook.kube.objects import decode_entries, decode_secret, metadata_of_others, to_copy
from webhook.kube.resources import SECRETS, SERVICE_ACCOUNTS
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE
from webhook.rules.managed_fields import HandBackNeed, begin_tracking, hand_back, to_restore
from webhook.rules.ownership import FIELD_MANAGER, copy_labels
from webhook.rules.patch import SERVICE_ACCOUNT_PATH, additions, expect_resource_version, removals
from webhook.rules.references import References
from webhook.rules.versions import SOURCES_ANNOTATION, encode_sources
from webhook.sync.status_index import Result, WriteReverted, result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from webhook.kube.client import Client
    from webhook.rules.actions import AddReferences, ApplyCopy, HandBack, RemoveReferences
    from webhook.rules.copy_metadata import CopyMetadata
    from webhook.rules.objects import Copy, ServiceAccount
    from webhook.rules.ownership import Release
    from webhook.rules.patch import PatchOperation
    from webhook.sync.contention import Contention
    from webhook.sync.source import Content
    from webhook.sync.table import Table

RETRY_SECONDS = 30.0
"""Seconds for which references are added directly, after a write that the webhook was not called for."""


class WebhookReach:
    """Tracks whether our webhook adds the references to a write that changes nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Without a lock, although all workers share it: a race costs one patch that the webhook does not answer.
        self._not_before = 0.0

    @property
    def is_expected(self) -> bool:
        """True if the webhook is believed to be called."""
        return self._clock() >= self._not_before

    def observe(self, *, added: bool) -> None:
        """Note whether the webhook added the expected references."""
        if not added:
            self._not_before = self._clock() + RETRY_SECONDS


log = structlog.get_logger(__name__)


class LeadershipLost(Exception):
    """The Lease is no longer ours: this process writes nothing more."""


class Unfinished(Exception):
    """A write succeeded and more of the same plan is left: plan again and continue."""


class _StoredAccount(NamedTuple):
    """A ServiceAccount from the response to a write, and the response itself."""

    account: ServiceAccount
    response: bytes


KEEP_OWNERSHIP = HandBackNeed(keep=True, from_stand_in=False)
GIVE_UP_OWNERSHIP = HandBackNeed(keep=False, from_stand_in=False)


class WriteCache(Protocol):
    """The caches, which receive the objects that the API server stored."""

    @property
    def service_accounts(self) -> Table[ServiceAccount]:
        """The ServiceAccounts of every namespace."""

    def copies(self, name: str) -> Table[Copy] | None:
        """Return the Secrets that have the name of a copy; None for a name that is not configured."""

    def read_service_account(self, data: bytes) -> ServiceAccount:
        """Return the cached part of a ServiceAccount from a response of the API server."""


class Writes:
    """Makes one write, and passes the stored object to the caches.

    ``may_write()`` is called before each: a deposed leader writes nothing. ``wrote(action, result)`` counts.
    ``verify(copy, content)`` is called before a content is written over a copy, and raises ApiError if the content may
    be older. Each method raises ApiError if the write was not made, LeadershipLost if it must not be made, and
    Unfinished if more is left to write.
    """

    def __init__(
        self,
        client: Client,
        release: Release,
        caches: WriteCache,
        contention: Contention,
        may_write: Callable[[], bool],
        wrote: Callable[[str, Result], None],
        reach: WebhookReach | None = None,
        verify: Callable[[Copy, Content], None] = lambda *_: None,
    ) -> None:
        self._reach = reach or WebhookReach()
        self._client = client
        self._release = release
        self._caches = caches
        self._contention = contention
        self._may_write = may_write
        self._wrote = wrote
        self._verify = verify
        # A creation has no resourceVersion to depend on. With a unique field manager and without force, it is a
        # conflict if another process has created the object first. This also holds for a creation that was delayed by a
        # suspension or on the network, and arrives when another process leads.
        self._creator = f"{FIELD_MANAGER}-{uuid.uuid4()}"

    def apply_copy(self, where: tuple[str, str], action: ApplyCopy, content: Content) -> None:
        """Create or update a copy in the namespace with this name and UID.

        A Secret that no update can correct is deleted first.
        """
        namespace, namespace_uid = where
        updates = action.updates
        if (before := updates or action.replaces) is not None:
            # Before any write: a Secret that is replaced is deleted first, and only its versions show who is behind.
            self._verify(before, content)
        if action.replaces is not None:
            self._delete(action.replaces, "copy replaced")
        if updates is not None and any(action.metadata.dropped(updates.metadata)):
            updates = self._drop_metadata(updates, action.metadata)
        configured, labels = action.metadata, copy_labels(self._release.name, self._release.namespace, namespace_uid)
        metadata: dict[str, Any] = {
            "namespace": namespace,
            "name": action.name,
            "labels": {**dict(configured.labels), **labels} if configured.labels else labels,
        }
        sources = encode_sources(content.versions)
        annotations = {**configured.written_annotations, **content.annotations}
        if sources:
            annotations[SOURCES_ANNOTATION] = sources
        if annotations:
            metadata["annotations"] = annotations
        if updates is not None:
            # Exactly the Secret that was seen to be ours; one that has replaced it in the meantime is a conflict.
            metadata["uid"] = updates.uid
            metadata["resourceVersion"] = updates.resource_version
        body = {
            "metadata": metadata,
            "type": COPY_TYPE,
            "data": {COPY_KEY: b64encode(content.payload).decode()},
        }
        # Force reverts edits of others in our copy. It is never used for creation: a foreign Secret of that name that
        # is not cached yet must win.
        force = updates is not None
        with (
            self._counted_write("copy updated" if force else "copy created"),
            self._refresh_on_conflict(namespace, action.name),
        ):
            manager = FIELD_MANAGER if force else self._creator
            stored = self._client.apply(SECRETS, body, field_manager=manager, force=force)
        copy = to_copy(decode_secret(stored), self._release)
        # The cache learns it from the response: the watch event comes later, and the plan until then would write the
        # copy again.
        table = self._caches.copies(action.name)
        if table is not None:
            table.upsert_response(copy)
        # Recorded after the write, so that a conflict or a denial does not count as a revert.
        self._contention.record_copy(namespace, action.name, f"{content.hash}{configured.stored.digest}")
        log.info("copy applied", namespace=namespace, secret=action.name)

    def _drop_metadata(self, copy: Copy, configured: CopyMetadata) -> Copy:
        """Remove the labels and annotations of a copy that are not configured any more; return the copy as stored.

        Server-side apply would leave them: the manager that has created the copy still owns them. Those that another
        writer owns, too, stay.
        """
        namespace, name = copy.namespace, copy.name
        labels, annotations = configured.dropped(copy.metadata)
        with self._refresh_on_conflict(namespace, name):
            their_labels, their_annotations = metadata_of_others(self._client.get(SECRETS, name, namespace))
            body = {
                "metadata": {
                    "resourceVersion": copy.resource_version,
                    "labels": dict.fromkeys(sorted(labels - their_labels)),
                    "annotations": dict.fromkeys(sorted(annotations - their_annotations)),
                }
            }
            with self._counted_write("copy updated"):
                stored = self._client.merge_patch(SECRETS, name, body, namespace, field_manager=FIELD_MANAGER)
        return to_copy(decode_secret(stored), self._release)

    def delete_copy(self, copy: Copy) -> None:
        """Delete exactly the copy that was seen; one that is already gone is not a failure."""
        self._delete(copy, "copy deleted")
        self._contention.deleted_copy(copy.namespace, copy.name)

    def add_references(self, action: AddReferences, names: tuple[str, ...]) -> None:
        """Add some of the names of an action to its ServiceAccount; one that is gone is not a failure."""
        account = action.service_account
        if account.references is None:
            return
        with self._account_write(account, "references added", names):
            stored = self._add(account, names)
            # Also if they were reverted immediately: that counts as a reversion like any other.
            self._contention.record_references(account.namespace, account.name, names)
            self._restore(account, stored, KEEP_OWNERSHIP)
            if not _names(stored.account).issuperset(names):
                raise _reverted(account)

    def _add(self, account: ServiceAccount, names: tuple[str, ...]) -> _StoredAccount:
        """Have our webhook add the names, so that no manager of ours owns the list. If it does not, add them."""
        if self._reach.is_expected:
            # This patch changes at most managedFields. The API server calls our webhook, and stores the names that it
            # adds.
            stored = self._patch(account, hand_back(account.ownership, KEEP_OWNERSHIP))
            added = _names(stored.account).issuperset(names)
            self._reach.observe(added=added)
            account = stored.account
            if added or account.references is None:
                return stored
            self._check_may_write()  # a separate write
        return self._patch(account, additions(SERVICE_ACCOUNT_PATH, account.references or References(), names))

    def remove_references(self, action: RemoveReferences) -> None:
        """Remove the names of an action from its ServiceAccount; one that is gone is not a failure."""
        account = action.service_account
        if account.references is None:
            return
        with self._account_write(account, "references removed", action.names):
            operations = removals(SERVICE_ACCOUNT_PATH, account.references, action.names)
            placeholder = [] if account.ownership.holds else hand_back(account.ownership, GIVE_UP_OWNERSHIP)
            try:
                stored = self._patch(account, [*operations, *placeholder])
            except AdmissionFailed:
                if not placeholder:
                    raise
                # Without any entry, the guard cannot distinguish our change from that of a mutating policy beside it.
                self._check_may_write()  # a separate write
                stored = self._patch(account, operations)
            self._contention.removed_references(account.namespace, account.name)
            self._restore(account, stored, GIVE_UP_OWNERSHIP)
            if not _names(stored.account).isdisjoint(action.names):
                # Only a part of a very long list is cached, so the rest is removed by the next plan.
                if account.references.truncated:
                    raise Unfinished
                raise _reverted(account)

    def prove_absent(self, namespace: str, name: str) -> None:
        """Verify that no Secret with a copy's name exists in a namespace.

        Raises:
            Conflict: there is one that the caches did not have.
        """
        if self._refresh_copy(namespace, name):
            raise Conflict(f"Secret {namespace}/{name} exists: the references to it may be somebody else's")

    def hand_back(self, action: HandBack) -> None:
        """Leave the list of a ServiceAccount with its owners; one that is gone is not a failure."""
        account = action.service_account
        with self._account_write(account, "ownership handed back", ()):
            self._patch(account, hand_back(account.ownership, action.need))

    def _restore(self, before: ServiceAccount, stored: _StoredAccount, need: HandBackNeed) -> None:
        """Hand back the ownership that our write took, to the previous owners."""
        if not stored.account.ownership.holds:
            return
        owners = before.ownership.owners
        # The owners are those from before the write: the API server has taken the list from them since.
        lost = to_restore(owners, decode_entries(stored.response)) if owners else ()
        with self._account_write(before, "ownership handed back", ()):
            self._patch(stored.account, hand_back(stored.account.ownership, need, lost))

    def _delete(self, copy: Copy, action: str) -> None:
        try:
            with self._counted_write(action), self._refresh_on_conflict(copy.namespace, copy.name):
                self._client.delete(
                    SECRETS, copy.name, copy.namespace, uid=copy.uid, resource_version=copy.resource_version
                )
        except NotFound:
            log.debug("copy was gone", namespace=copy.namespace, secret=copy.name)
        else:
            log.info(action, namespace=copy.namespace, secret=copy.name)
        table = self._caches.copies(copy.name)
        if table is not None:
            table.discard(copy)

    def _check_may_write(self) -> None:
        """Wait for the turn of one write; raise LeadershipLost if this process must not write any more."""
        if not self._may_write():
            raise LeadershipLost

    @contextmanager
    def _counted_write(self, action: str) -> Iterator[None]:
        """Check that this process may write, and count the result."""
        self._check_may_write()
        try:
            yield
        except Fenced:
            raise  # it was not sent, so it has no result
        except ApiError as error:
            self._wrote(action, result_of(error))
            raise
        self._wrote(action, Result.OK)

    @contextmanager
    def _refresh_on_conflict(self, namespace: str, secret: str) -> Iterator[None]:
        """Read a copy again after a conflict.

        Otherwise the next plan would be the same, and get the same conflict, until the watch has caught up.
        """
        try:
            yield
        except Conflict:
            self._refresh_copy(namespace, secret)
            raise

    def _refresh_copy(self, namespace: str, name: str) -> bool:
        """Read a Secret with a copy's name again; return True if it exists."""
        table = self._caches.copies(name)
        if table is None:
            return False
        cached = table.get(namespace, name)
        try:
            current = decode_secret(self._client.get(SECRETS, name, namespace))
        except NotFound:
            table.discard(cached)
            return False
        table.upsert_response(to_copy(current, self._release))
        return True

    @contextmanager
    def _account_write(self, account: ServiceAccount, action: str, names: tuple[str, ...]) -> Iterator[None]:
        log_fields = {"namespace": account.namespace, "service_account": account.name}
        try:
            with self._counted_write(action):
                yield
        except NotFound:
            self._caches.service_accounts.discard(account)
            log.debug("service account was gone", **log_fields)
        else:
            log.info(action, **log_fields, secrets=list(names))

    def _patch(self, account: ServiceAccount, operations: Sequence[PatchOperation]) -> _StoredAccount:
        """Change exactly the ServiceAccount that was seen, and return the stored object."""
        namespace, name = account.namespace, account.name
        conditional = [expect_resource_version(account.resource_version), *operations]
        try:
            response = self._patch_tracked(namespace, name, conditional)
        except Conflict:
            # Another writer was first. The watch will report it, but a busy list would have changed again by then.
            self._refresh_account(account)
            raise
        stored = self._caches.read_service_account(response)
        self._caches.service_accounts.upsert_response(stored)
        return _StoredAccount(stored, response)

    def _patch_tracked(self, namespace: str, name: str, operations: list[Any]) -> bytes:
        """Patch a ServiceAccount; if the guard refuses an untracked one, have the API server track it first."""

        def patch(operations: list[Any]) -> bytes:
            return self._client.json_patch(SERVICE_ACCOUNTS, name, operations, namespace, field_manager=FIELD_MANAGER)

        try:
            return patch(operations)
        except AdmissionFailed:
            # Not tracked from the start: in most clusters no other writer changes the object at the same time.
            if decode_entries(self._client.get(SERVICE_ACCOUNTS, name, namespace)):
                raise
            self._check_may_write()
            return patch([*operations, begin_tracking(f"{timestamp()[:19]}Z")])

    def _refresh_account(self, account: ServiceAccount) -> None:
        try:
            response = self._client.get(SERVICE_ACCOUNTS, account.name, account.namespace)
        except NotFound:
            self._caches.service_accounts.discard(account)
        else:
            self._caches.service_accounts.upsert_response(self._caches.read_service_account(response))


def _names(account: ServiceAccount) -> frozenset[str]:
    return frozenset(account.references.names if account.references else ())


def _reverted(account: ServiceAccount) -> WriteReverted:
    """Return the conflict with the webhook or policy that reverts our write at admission.

    This may be our own webhook: after an opt-out, the API server's namespaceSelector lags by milliseconds, and the
    webhook restores what is being removed. If that were not noticed, the copy would be deleted and the reference would
    stay.
    """
    return WriteReverted(
        f"ServiceAccount {account.namespace}/{account.name}: a webhook undid the change of imagePullSecrets"
    )
