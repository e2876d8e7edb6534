"""Run ``pullsecrets cleanup``, the chart's pre-delete hook, so that ``helm uninstall`` leaves nothing behind.

The order is: the webhook configuration, so that injection stops; the Lease, so that no controller restores what is
removed; references and copies of every namespace; the state and the certificate. It is safe to repeat, from any point.

A wrong flag must not uninstall another release. So the owner of the objects is identified first. The webhook
configuration names its release and namespace. If it is gone, the copies, the controller's ServiceAccount or the Lease
of an earlier cleanup show that the release was here.
"""

from __future__ import annotations

import random
import signal
import socket
import threading
import uuid
from functools import partial
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog
from msgspec.structs import replace

from webhook.errors import ApiError, Forbidden, NotFound, UsageError
from webhook.files.watched_file import ConfigurationFile
from webhook.kube.connect import connect
from webhook.kube.lease import TERM_SECONDS, OwnerReference, boot_time, decode_lease, delete_lease, seize_lease
from webhook.kube.listing import list_decoder, list_objects
from webhook.kube.objects import decode_secret
from webhook.kube.resources import LEASES, MUTATING_WEBHOOK_CONFIGURATIONS, SECRETS, SERVICE_ACCOUNTS, Collection
from webhook.kube.webhook_configuration import decode_webhook_configuration
from webhook.kube.wire import PartialObjectMetadata
from webhook.report.removals import Removable, RemovalReport
from webhook.rules.ownership import RELEASE_LABEL, RELEASE_NAMESPACE_LABEL, is_a_copy, is_labelled
from webhook.rules.renewing import ISSUED_BY_LABEL
from webhook.rules.state_document import STATE_SUFFIX
from webhook.rules.timing import delay
from webhook.sync.removal import Removal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import TypeVar

    from webhook.kube.client import Client
    from webhook.kube.lease import Lease
    from webhook.kube.resources import Resource
    from webhook.kube.wire import ObjectMeta
    from webhook.rules.configuration import Configuration
    from webhook.rules.ownership import Release

    T = TypeVar("T")

log = structlog.get_logger(__name__)

HELM_SECONDS = 300
"""Seconds for which the Lease stays seized after the work: until Helm has deleted the Deployments, and their Pods are
gone. If Helm does not delete them, because the work has failed or was not an uninstallation, the controller resumes
after that."""

NAMESPACE_TERMINATING = "because it is being terminated"
"""Source: k8s.io/apiserver, pkg/admission/plugin/namespace/lifecycle/admission.go."""

PAUSE_BASE = 0.5
PAUSE_CAP = 5.0

_UNKNOWN_OBJECTS = Removable("Cluster", part="its objects are not known")


class CleanupSettings(msgspec.Struct, frozen=True):
    """The flags of the command line."""

    config: Path
    kubeconfig: Path | None
    context: str | None
    release: Release
    webhook_configuration: str
    timeout: float
    dry_run: bool = False
    ignore_not_found: bool = False
    """True if a release without any object is already removed, and not an error."""
    confirm: Callable[[RemovalReport], bool] | None = None
    """Called once with the objects to remove; False ends the run before any change."""

    @property
    def lease(self) -> str:
        """The Lease of the controller, and the name of its ServiceAccount."""
        return f"{self.webhook_configuration}-sync"

    @property
    def own_secrets(self) -> tuple[str, ...]:
        """The Secrets that sync keeps for itself: its state, the serving certificate and its authority."""
        return tuple(f"{self.webhook_configuration}{suffix}" for suffix in (STATE_SUFFIX, "-tls", "-ca"))


class _CleanupBlocked(Exception):
    """The work cannot continue without the removal of one object."""

    def __init__(self, removable: Removable) -> None:
        self.removable = removable
        super().__init__(str(removable))


def run(settings: CleanupSettings) -> RemovalReport:
    """Remove everything; return what is left and why, or in a dry run the objects to remove.

    Raises:
        UsageError: an operator's input cannot be used; found before any removal.
    """
    configuration = ConfigurationFile(settings.config, settings.release.namespace).load()
    client = connect(settings.kubeconfig, settings.context)
    cleanup = _Cleanup(settings, configuration, client)
    # The writes in progress are finished, and the rest is reported.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: cleanup.stopping.set())
    log.info("cleanup begun", api_server=client.host, secrets=list(configuration.secret_names))
    try:
        return cleanup.run()
    except _CleanupBlocked as blocked:
        return RemovalReport((blocked.removable,))


class _Cleanup:
    def __init__(self, settings: CleanupSettings, configuration: Configuration, client: Client) -> None:
        self.stopping = threading.Event()
        self._settings = settings
        self._configuration = configuration
        self._client = client
        # This clock continues while the machine sleeps, as the term of the seized Lease does for the replicas.
        self._deadline = boot_time() + settings.timeout

    def run(self) -> RemovalReport:
        registration = Removable(MUTATING_WEBHOOK_CONFIGURATIONS.kind, self._settings.webhook_configuration)
        removal = Removal(self._client, self._settings.release, self._configuration, self._has_time, self._wait)
        is_known = self._retry(lambda: verify(self._client, self._settings, self._configuration), registration)
        if not is_known:
            return self._without_release(removal)
        if self._settings.dry_run or self._settings.confirm is not None:
            planned = RemovalReport(self._retry(partial(self._planned, removal), _UNKNOWN_OBJECTS), is_planned=True)
            if self._settings.dry_run:
                return planned
            if self._settings.confirm is not None and not self._settings.confirm(planned):
                raise UsageError(
                    "it was not confirmed, so nothing was changed: run it again and answer y, or give --yes"
                )
        # Injection stops first. Otherwise a Pod could get a reference to a copy that is deleted a moment later.
        self._retry(self._stop_injection, registration)
        # The controller would restore what is removed, so it loses its Lease before the first removal.
        lease = self._stop_controller()
        remaining = removal.run()
        log.info("references and copies removed", left=len(remaining), **_log_fields(removal.done))
        for waiting in removal.waiting():
            log.warning("left to the owner of a finalizer", what=str(waiting))
        # Helm stops then, and the controller that resumes needs its state and its certificate.
        if remaining:
            return RemovalReport(remaining)
        if blocked := self._delete_own_secrets():
            return RemovalReport(tuple(blocked))
        # Last, because the Lease keeps the controller from restoring what is removed.
        if lease is not None:
            removable = Removable(LEASES.kind, self._settings.lease, self._settings.release.namespace)
            self._retry(partial(delete_lease, self._client, lease), removable)
        return RemovalReport()

    def _without_release(self, removal: Removal) -> RemovalReport:
        """Return an empty result if that is wanted, and no object looks like one of the release.

        Raises:
            UsageError: the release was not found.
        """
        # Objects that look like ours may mean that a flag is wrong. --ignore-not-found must not hide that.
        references = self._retry(removal.preview, _UNKNOWN_OBJECTS)
        if references or not self._settings.ignore_not_found:
            raise UsageError(_unknown_release(self._settings, references))
        release = self._settings.release
        log.info("no object of this release was found", release=release.name, namespace=release.namespace)
        return RemovalReport(is_planned=self._settings.dry_run)

    def _planned(self, removal: Removal) -> list[Removable]:
        """Return each object that a run would remove, in its order."""
        settings, namespace = self._settings, self._settings.release.namespace
        account = self._controller_account()
        lease_part = f"seized until ServiceAccount {settings.lease} is deleted" if account else ""
        return [
            *self._existing(MUTATING_WEBHOOK_CONFIGURATIONS, settings.webhook_configuration),
            *self._existing(LEASES, settings.lease, namespace, lease_part),
            *removal.preview(),
            *(Removable(SECRETS.kind, name, namespace) for name in self._own_secrets if self._read_own_secret(name)),
        ]

    def _existing(self, resource: Resource, name: str, namespace: str = "", part: str = "") -> list[Removable]:
        try:
            self._client.get(resource, name, namespace or None)
        except NotFound:
            return []
        return [Removable(resource.kind, name, namespace, part)]

    def _stop_injection(self) -> None:
        name = self._settings.webhook_configuration
        try:
            # Without conditions: verify() has read whose it is, and each version of it has to go.
            self._client.delete_unseen(MUTATING_WEBHOOK_CONFIGURATIONS, name)
        except NotFound:
            log.info("webhook configuration was gone", webhook_configuration=name)
        else:
            log.info("webhook configuration deleted", webhook_configuration=name)

    def _stop_controller(self) -> Lease | None:
        """Seize the Lease and wait until no replica leads. Return it if nothing else will delete it."""
        name = self._settings.lease
        namespace = self._settings.release.namespace
        removable = Removable(LEASES.kind, name, namespace, "until it is seized, sync would restore what is removed")
        owner = self._retry(self._controller_account, removable)
        seconds = round(self._settings.timeout) + HELM_SECONDS
        holder = f"{CLEANUP_HOLDER_PREFIX}{socket.gethostname()}_{uuid.uuid4()}"
        seized = self._retry(lambda: _seize(self._client, namespace, name, holder, seconds, owner), removable)
        if seized is None:
            log.info("no lease to take: the namespace is gone or going", namespace=namespace)
            # A replica may believe that it leads until its term ends, although the Lease is gone.
            self._wait(TERM_SECONDS)
            return None
        lease, term = seized
        log.info("lease taken", lease=name, seconds=seconds, waiting=term)
        self._wait(term)
        return lease if owner is None else None

    def _controller_account(self) -> OwnerReference | None:
        """Return the ServiceAccount of the controller; when it is deleted, the Lease is deleted too."""
        collection = Collection(SERVICE_ACCOUNTS, self._settings.release.namespace, self._settings.lease)
        uids, _ = list_objects(
            self._client, collection, list_decoder(PartialObjectMetadata), lambda obj: obj.metadata.uid
        )
        kind = SERVICE_ACCOUNTS
        return OwnerReference(kind.api_version, kind.kind, self._settings.lease, uids[0]) if uids else None

    @property
    def _own_secrets(self) -> tuple[str, ...]:
        """The Secrets that sync keeps for itself, and those of the credentials that it issues."""
        return (*self._settings.own_secrets, *sorted(self._configuration.issued_names))

    def _delete_own_secrets(self) -> list[Removable]:
        """Delete each Secret that sync has created; return those that cannot be deleted."""
        blocked = []
        for name in self._own_secrets:
            removable = Removable(SECRETS.kind, name, self._settings.release.namespace)
            try:
                self._retry(partial(self._delete_own_secret, name), removable)
            except _CleanupBlocked as error:
                # The Secrets do not depend on each other, so the others are deleted nevertheless.
                blocked.append(error.removable)
        return blocked

    def _delete_own_secret(self, name: str) -> None:
        namespace = self._settings.release.namespace
        # Read for each attempt, so that the one after a conflict deletes the new version.
        metadata = self._read_own_secret(name)
        if metadata is None:
            return
        try:
            self._client.delete(SECRETS, name, namespace, uid=metadata.uid, resource_version=metadata.resource_version)
        except NotFound:
            return
        log.info("secret deleted", namespace=namespace, secret=name)

    def _read_own_secret(self, name: str) -> ObjectMeta | None:
        """Return a Secret that sync has created; None if it does not exist or is not ours."""
        namespace = self._settings.release.namespace
        try:
            metadata = decode_secret(self._client.get(SECRETS, name, namespace)).metadata
        except NotFound:
            return None
        except Forbidden:
            # The chart grants the right to it exactly if sync keeps it.
            log.info(
                "secret left alone: there is no right to it, so somebody else keeps it",
                namespace=namespace,
                secret=name,
            )
            return None
        labels = metadata.labels or {}
        if not is_a_copy(labels) and labels.get(ISSUED_BY_LABEL) != self._settings.release.name:
            log.info("secret left alone: sync has not made it", namespace=namespace, secret=name)
            return None
        return metadata

    def _retry(self, operation: Callable[[], T], removable: Removable) -> T:
        """Retry until it is done; raise _CleanupBlocked if it is refused or no time is left."""
        failures = 0
        while True:
            try:
                return operation()
            except ApiError as error:
                # A denial stays a denial, so it is reported immediately instead of after the whole timeout.
                if error.is_lasting or not self._has_time():
                    raise _CleanupBlocked(replace(removable, cause=str(error))) from None
                failures += 1
                log.info("tried again soon", what=str(removable), cause=str(error))
                pause = delay(failures, random.random(), base=PAUSE_BASE, cap=PAUSE_CAP)  # noqa: S311
                self._wait(max(pause, error.retry_after or 0.0))

    def _has_time(self) -> bool:
        return boot_time() < self._deadline and not self.stopping.is_set()

    def _wait(self, seconds: float) -> None:
        self.stopping.wait(max(0.0, min(seconds, self._deadline - boot_time())))


def _seize(
    client: Client, namespace: str, name: str, holder: str, seconds: int, owner: OwnerReference | None
) -> tuple[Lease, float] | None:
    """Seize the Lease as :func:`seize_lease` does; None if there is none and it cannot be created any more."""
    try:
        return seize_lease(client, namespace, name, holder, seconds, owner)
    except NotFound:
        return None
    except Forbidden as error:
        # In such a namespace the API server creates no object. Only the words distinguish that from a missing right.
        if NAMESPACE_TERMINATING in str(error):
            return None
        raise


def _unknown_release(settings: CleanupSettings, references: Sequence[Removable]) -> str:
    release = settings.release
    hint = f" References that it may have made: {'; '.join(map(str, references[:3]))}." if references else ""
    return (
        f"nothing shows that release {release.name} was installed in namespace {release.namespace}: there is no "
        f"MutatingWebhookConfiguration {settings.webhook_configuration}, no Lease {settings.lease} and no copy of it. "
        f"Nothing was changed.{hint} "
        f'Find the release by "helm list --all-namespaces", and give --release, --release-namespace and '
        f"--webhook-configuration"
    )


def _log_fields(done: dict[str, int]) -> dict[str, int]:
    return {action.replace(" ", "_"): count for action, count in done.items()}


INSTANCE_LABEL = "app.kubernetes.io/instance"
CLEANUP_HOLDER_PREFIX = "uninstalling_"
"""Prefix of the holder in a Lease that a cleanup has seized."""


class CleanupTarget(Protocol):
    """The objects that a cleanup was pointed at."""

    @property
    def release(self) -> Release:
        """The release."""

    @property
    def webhook_configuration(self) -> str:
        """The name of its MutatingWebhookConfiguration."""

    @property
    def lease(self) -> str:
        """The name of its Lease, and of the controller's ServiceAccount."""


def verify(client: Client, target: CleanupTarget, configuration: Configuration) -> bool:
    """Return True if the intended release was installed; False if nothing shows that.

    Raises:
        UsageError: the objects belong to another release, or their owner is unknown.
        ApiError: they could not be read.
    """
    if _has_registration(client, target):
        return True
    others: set[str] = set()
    for name in configuration.secret_names:
        for labels in _labels(client, Collection(SECRETS, name=name)):
            if is_labelled(labels, target.release.name, target.release.namespace):
                return True
            # The name alone is not enough: two releases in different namespaces may have the same name.
            if is_a_copy(labels) and labels.get(RELEASE_LABEL) == target.release.name:
                others.add(labels.get(RELEASE_NAMESPACE_LABEL, ""))
    # A release that has not written a copy yet is known by the ServiceAccount of its controller.
    accounts = _labels(client, Collection(SERVICE_ACCOUNTS, target.release.namespace, target.lease))
    if any(labels.get(INSTANCE_LABEL) == target.release.name for labels in accounts):
        return True
    if others:
        raise UsageError(
            f"the copies of release {target.release.name} were made from namespace {min(others)}, not from "
            f"{target.release.namespace}: nothing was changed; give --release-namespace {min(others)}"
        )
    return _has_lease(client, target)


def _has_registration(client: Client, target: CleanupTarget) -> bool:
    try:
        configuration = decode_webhook_configuration(
            client.get(MUTATING_WEBHOOK_CONFIGURATIONS, target.webhook_configuration)
        )
    except NotFound:
        return False
    # Without a record of Helm or a Service, it can be each namespace that the selector leaves out.
    namespaces = configuration.release_namespaces()[: 1 if configuration.tells_namespace else None]
    if configuration.release != target.release.name or (namespaces and target.release.namespace not in namespaces):
        home = _home(client, target, namespaces)
        owner = f"release {configuration.release or '(unknown)'}{f' in namespace {home}' if home else ''}"
        flags = "check --release, --release-namespace and --webhook-configuration"
        if home and configuration.release == target.release.name:
            flags = f"give --release-namespace {home}"
        raise UsageError(
            f"MutatingWebhookConfiguration {target.webhook_configuration} belongs to {owner}, not to release "
            f"{target.release.name} in namespace {target.release.namespace}: nothing was changed; {flags}"
        )
    return True


def _home(client: Client, target: CleanupTarget, namespaces: Sequence[str]) -> str:
    """Return the one of the possible namespaces of a release that has its Lease; empty if none is known to."""
    for namespace in namespaces:
        try:
            client.get(LEASES, target.lease, namespace)
        # The chart grants cleanup the Lease of its own release namespace only.
        except (NotFound, Forbidden):
            continue
        return namespace
    return ""


def _has_lease(client: Client, target: CleanupTarget) -> bool:
    try:
        lease = decode_lease(client.get(LEASES, target.lease, target.release.namespace))
    except NotFound:
        return False
    # Only a cleanup writes such a holder, and it has verified the release before.
    if (lease.spec.holder_identity or "").startswith(CLEANUP_HOLDER_PREFIX):
        return True
    raise UsageError(
        f"Lease {target.release.namespace}/{target.lease} is not known to belong to release {target.release.name}: "
        f"nothing was changed; check --release, --release-namespace and --webhook-configuration"
    )


def _labels(client: Client, collection: Collection) -> list[dict[str, str]]:
    labels, _ = list_objects(
        client, collection, list_decoder(PartialObjectMetadata), lambda obj: obj.metadata.labels or {}
    )
    return labels
