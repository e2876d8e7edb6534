"""Keep the certificate valid, trusted and renewed: carry out the steps that :mod:`certs.rotation` returns.

The certificate is in two Secrets and the caBundle, which are watched, and updated from the responses to our own writes.
Each write is conditional on the state that it was decided on. So any number of processes can try together. One
succeeds; the others get a conflict, read again and find that the step is done.
"""

from __future__ import annotations

import random
import threading
import uuid
from base64 import b64decode, b64encode
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import structlog

from certs.bundle import described, expired, parse
from certs.rotation import (
    CertificateState,
    Lifetimes,
    Nothing,
    PublishBundle,
    StoreAuthority,
    StoreLeaf,
    is_published,
    next_step,
)
from certs.validity import validity_of
from webhook.errors import ApiError, CertificateInvalid, Conflict, Fenced, NotFound, Refused
from webhook.kube.events import Notice, Reference
from webhook.kube.objects import (
    AUTHORITY_KEY,
    CERTIFICATE_KEY,
    PRIVATE_KEY_KEY,
    TLS_TYPE,
    SecretObject,
    decode_secret,
)
from webhook.kube.reflector import Reflector
from webhook.kube.resources import MUTATING_WEBHOOK_CONFIGURATIONS, SECRETS, Collection
from webhook.kube.webhook_configuration import WebhookConfiguration, decode_webhook_configuration
from webhook.kube.wire import WrittenMeta
from webhook.rules.ownership import FIELD_MANAGER, MANAGED_BY, MANAGED_BY_LABEL
from webhook.rules.text import counted
from webhook.rules.timing import delay
from webhook.sync.table import ObjectCache, Observed

if TYPE_CHECKING:
    from collections.abc import Callable

    from certs.rotation import Step
    from webhook.kube.client import Client
    from webhook.kube.events import EventRecorder
    from webhook.ops.certificate_metrics import IssuedCertificateMetrics
    from webhook.rules.expiry import Validity
    from webhook.sync.settings import CertificateNames
    from webhook.sync.write_gate import WriteGate

log = structlog.get_logger(__name__)

POLL_SECONDS = 30.0
"""Seconds to sleep at most. Due steps are noticed within this time after a suspension or a jump of the clock."""

RETRY_SECONDS = 1.0
RETRY_CAP = 5.0
REFUSED_CAP = 60.0
"""Seconds after the first failed write, and at most after many; more if a person has to change something first. A
conflict is solved after the first: the object has been read again."""


def _now() -> datetime:
    return datetime.now(UTC)


_W = TypeVar("_W")


class CertificateKeeper:
    """Keeps the certificate valid, trusted and renewed, in a thread of its own, while this process leads."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        names: CertificateNames,
        gate: WriteGate,
        recorder: EventRecorder,
        metrics: IssuedCertificateMetrics,
        lifetimes: Lifetimes | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._names = names
        self._gate = gate
        self._reporter = _Reporter(recorder, metrics, namespace)
        self._metrics = metrics
        self._lifetimes = lifetimes or Lifetimes()
        self._clock = clock
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._published: tuple[bytes, datetime] | None = None
        self._store = CertificateStore(client, namespace, names, self._wake.set)
        self._thread = threading.Thread(target=self._run, name="certificates", daemon=True)

    def start(self) -> None:
        """Start to watch; writing waits for leadership."""
        self._store.start()
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Finish the write in progress, and end."""
        self._stopping.set()
        self._wake.set()
        self._store.stop()
        self._thread.join(timeout)

    def set_leading(self, leading: bool) -> None:
        """Check immediately whether a step is due. The election calls this."""
        if leading:
            self._wake.set()

    def _run(self) -> None:
        pause, failures = 0.0, 0
        while not self._stopping.is_set():
            self._wake.wait(pause)
            self._wake.clear()
            try:
                pause = self._reconcile()
                failures = 0
            except (Conflict, NotFound, Fenced) as error:
                # Another replica was faster, which is usual at a first installation, or leads now: the state is read
                # again, and no failure is counted.
                pause = RETRY_SECONDS
                log.info("certificate not written", cause=str(error), retry_in=pause)
            except ApiError as error:
                failures += 1
                pause = max(_delay(failures, error), error.retry_after or 0.0)
                self._reporter.not_written(error, pause)
            except Exception:
                # A thread that ends would let the certificate expire.
                pause = POLL_SECONDS
                log.exception("certificates failed", retry_in=pause)

    def _reconcile(self) -> float:
        """Take the steps that are due; return the seconds until the next check."""
        # Before the first read an existing authority would seem to be absent, and would be replaced.
        if not self._store.has_synced:
            return RETRY_SECONDS
        while not self._stopping.is_set():
            now = self._clock()
            snapshot = self._store.snapshot()
            state = self._state(snapshot, now)
            # Metrics are of each replica, and Events of the leader alone. It writes nothing here, so no turn is taken.
            self._reporter.report_state(state, now, sends_events=self._gate.leads())
            step = next_step(state, now, self._lifetimes)
            if isinstance(step, Nothing):
                return min(max(0.0, (step.until - now).total_seconds()), POLL_SECONDS)
            if not self._gate.may_write():
                return POLL_SECONDS
            # One step at a time: the next one is decided on the state after this write, so a crash in between leaves a
            # valid state.
            self._store.write(step, snapshot)
            self._report_written(step)
        return 0.0

    def _state(self, snapshot: Snapshot, now: datetime) -> CertificateState:
        state = snapshot.state(self._names.sans)
        return replace(state, published_since=self._published_since(state, now))

    def _published_since(self, state: CertificateState, now: datetime) -> datetime | None:
        """Remember when the present authority was first seen in every caBundle."""
        # In memory only: after a restart the settling time begins again, which is late but never too early.
        if not is_published(state):
            self._published = None
        elif self._published is None or self._published[0] != state.authority:
            self._published = (state.authority, now)
        return None if self._published is None else self._published[1]

    def _report_written(self, step: Step) -> None:
        match step:
            case StoreAuthority(cause=cause):
                self._metrics.wrote("authority")
                log.info("authority issued", secret=self._names.authority_secret, cause=cause)
            case StoreLeaf(cause=cause):
                self._metrics.wrote("certificate")
                log.info("serving certificate issued", secret=self._names.leaf_secret, cause=cause)
            case PublishBundle(unparsable=unparsable):
                self._metrics.wrote("bundle")
                log.info("ca bundle written", webhook=self._names.webhook_configuration)
                self._reporter.left_out(unparsable)
            case Nothing():
                return


def _delay(failures: int, error: ApiError) -> float:
    cap = REFUSED_CAP if error.is_lasting else RETRY_CAP
    return delay(failures, random.random(), base=RETRY_SECONDS, cap=cap)  # noqa: S311 (jitter)


class _Reporter:
    """Reports, by logs, Events and metrics, the problems that only people can correct."""

    def __init__(self, recorder: EventRecorder, metrics: IssuedCertificateMetrics, namespace: str) -> None:
        self._recorder = recorder
        self._metrics = metrics
        self._regarding = Reference("v1", "Namespace", namespace, namespace)
        self._reported: frozenset[str] = frozenset()

    def report_state(self, state: CertificateState, now: datetime, *, sends_events: bool) -> None:
        """Report the current state, and, if ``sends_events`` is set, the foreign authorities that have expired."""
        self._metrics.holds(_validity(state.leaf), _validity(state.authority))
        bundle = parse(b"\n".join(state.ca_bundles))
        expired_foreign = expired(bundle.foreign, now)
        self._metrics.publishes(
            own=len(bundle.ours), foreign=len(bundle.foreign) - len(expired_foreign), expired=len(expired_foreign)
        )
        if not sends_events:
            return
        authorities = frozenset(map(described, expired_foreign))
        for name in sorted(authorities - self._reported):
            log.warning("foreign authority expired", authority=name)
            self._record_event(
                "ForeignAuthorityExpired",
                f"the caBundle holds {name}, which has expired: remove it, because it is not used",
            )
        self._reported = authorities

    def left_out(self, blocks: int) -> None:
        """Report that a part of the bundle could not be read."""
        if not blocks:
            return
        self._metrics.left_out(blocks)
        log.warning("ca bundle unreadable", left_out=blocks)
        held = counted(
            blocks, "entry that is not a certificate: it has", "entries that are not certificates: they have"
        )
        self._record_event("BundleUnreadable", f"the caBundle held {held} been left out")

    def not_written(self, error: ApiError, retry_in: float) -> None:
        """Report that a write failed."""
        self._metrics.failed()
        log.warning("certificate not written", cause=str(error), retry_in=retry_in)
        if isinstance(error, Refused):
            self._record_event("CertificateDenied", f"the API server refuses a write of the certificate: {error}")

    def _record_event(self, reason: str, message: str) -> None:
        self._recorder.record(Notice(self._regarding, reason, message))


def _validity(certificate_pem: bytes) -> Validity | None:
    try:
        return validity_of(certificate_pem)
    except CertificateInvalid:
        return None


_ABSENT = SecretObject(WrittenMeta())


class Snapshot(msgspec.Struct, frozen=True):
    """All three objects at the time of a decision. A step is written only if they are unchanged."""

    authority: Observed[SecretObject]
    leaf: Observed[SecretObject]
    configuration: Observed[WebhookConfiguration]

    def state(self, names: tuple[str, ...]) -> CertificateState:
        """Return the state for decisions; ``names`` are the DNS names of the certificate."""
        authority, leaf = self.authority.value or _ABSENT, self.leaf.value or _ABSENT
        configuration = self.configuration.value
        webhooks = configuration.webhooks if configuration is not None else ()
        return CertificateState(
            names=names,
            authority=authority.content(CERTIFICATE_KEY),
            authority_key=authority.content(PRIVATE_KEY_KEY),
            leaf=leaf.content(CERTIFICATE_KEY),
            leaf_key=leaf.content(PRIVATE_KEY_KEY),
            leaf_authority=leaf.content(AUTHORITY_KEY),
            ca_bundles=tuple(b64decode(webhook.client_config.ca_bundle) for webhook in webhooks),
        )


class CertificateStore:
    """Tracks the present state, and carries out steps. Only one thread may use it, besides its own watches."""

    def __init__(self, client: Client, namespace: str, names: CertificateNames, wake: Callable[[], None]) -> None:
        self._client = client
        self._namespace = namespace
        self._names = names
        self._authority: ObjectCache[SecretObject] = ObjectCache(wake)
        self._leaf: ObjectCache[SecretObject] = ObjectCache(wake)
        self._configuration: ObjectCache[WebhookConfiguration] = ObjectCache(wake)
        self._reflectors = self._make_reflectors()

    def _make_reflectors(self) -> list[Reflector[Any, Any]]:
        # RBAC by resourceNames allows a list or watch only with a field selector of that name.
        secrets = ((self._names.authority_secret, self._authority), (self._names.leaf_secret, self._leaf))
        watched: list[Reflector[Any, Any]] = [
            Reflector(self._client, Collection(SECRETS, self._namespace, name), SecretObject, _unchanged, cache)
            for name, cache in secrets
        ]
        configuration = Collection(MUTATING_WEBHOOK_CONFIGURATIONS, name=self._names.webhook_configuration)
        return [
            *watched,
            Reflector(self._client, configuration, WebhookConfiguration, _unchanged, self._configuration),
        ]

    def start(self) -> None:
        """Start to watch."""
        for reflector in self._reflectors:
            reflector.start()

    def stop(self) -> None:
        """End the watches."""
        for reflector in self._reflectors:
            reflector.stop()

    @property
    def has_synced(self) -> bool:
        """True if everything has been read once."""
        return all(reflector.has_synced for reflector in self._reflectors)

    def snapshot(self) -> Snapshot:
        """Return the current objects, as last observed."""
        return Snapshot(self._authority.observed, self._leaf.observed, self._configuration.observed)

    def write(self, step: Step, decided_on: Snapshot) -> None:
        """Carry out one step.

        Raises:
            Conflict: the state is no longer that of ``decided_on``, because another process was faster.
            ApiError: one of its other subclasses; the step was not written.
        """
        match step:
            case StoreAuthority(authority):
                content = {CERTIFICATE_KEY: authority.certificate_pem, PRIVATE_KEY_KEY: authority.private_key_pem}
                self._store(self._names.authority_secret, self._authority, decided_on.authority, content)
            case StoreLeaf(leaf):
                # One write, so that a replica never loads a certificate with the key of another one.
                content = {
                    CERTIFICATE_KEY: leaf.certificate_pem,
                    PRIVATE_KEY_KEY: leaf.private_key_pem,
                    AUTHORITY_KEY: leaf.authority_pem,
                }
                self._store(self._names.leaf_secret, self._leaf, decided_on.leaf, content)
            case PublishBundle(pem):
                self._publish(pem, decided_on.configuration)
            case Nothing():
                return

    def _store(
        self, name: str, cache: ObjectCache[SecretObject], before: Observed[SecretObject], content: dict[str, bytes]
    ) -> None:
        data = {key: b64encode(value).decode() for key, value in content.items()}
        present = before.value
        try:
            # The type of a Secret is immutable, so an update could never turn it into a TLS Secret.
            if present is not None and is_replaceable_only(present):
                self._delete(name, present)
                present = None
            stored = self._create(name, data) if present is None else self._update(name, present, data)
        except NotFound:
            # The object is gone, and a watch that missed its deletion will not report it later.
            cache.store_response(None, before)
            raise
        except Conflict:
            cache.store_response(self._read(name), before)
            raise
        cache.store_response(decode_secret(stored), before)

    def _read(self, name: str) -> SecretObject | None:
        try:
            return decode_secret(self._client.get(SECRETS, name, self._namespace))
        except NotFound:
            return None

    def _delete(self, name: str, present: SecretObject) -> None:
        metadata = present.metadata
        try:
            self._client.delete(
                SECRETS, name, self._namespace, uid=metadata.uid, resource_version=metadata.resource_version
            )
        except Refused as error:
            raise NotReplaceable(name, self._namespace, present, error) from None

    def _create(self, name: str, data: dict[str, str]) -> bytes:
        # Server-side apply is the only creation that RBAC can limit to a name. There is no force, and the field manager
        # is unique. So a Secret that was created in the meantime is a conflict.
        creator = f"{FIELD_MANAGER}-{uuid.uuid4()}"
        metadata = {"labels": {MANAGED_BY_LABEL: MANAGED_BY}, "namespace": self._namespace, "name": name}
        body = {"metadata": metadata, "type": TLS_TYPE, "data": data}
        return self._client.apply(SECRETS, body, field_manager=creator, force=False)

    def _update(self, name: str, present: SecretObject, data: dict[str, str]) -> bytes:
        metadata = {
            "labels": {MANAGED_BY_LABEL: MANAGED_BY},
            # The precondition of optimistic concurrency: a Secret that another replica has written in between gives a
            # conflict.
            "resourceVersion": present.metadata.resource_version,
        }
        patch = {"metadata": metadata, "data": data}
        return self._client.merge_patch(SECRETS, name, patch, self._namespace, field_manager=FIELD_MANAGER)

    def _publish(self, pem: bytes, before: Observed[WebhookConfiguration]) -> None:
        present = before.value
        if present is None:
            return
        bundle = b64encode(pem).decode()
        operations: list[dict[str, str]] = [
            # The test fails with 422 if a webhook was added or removed in between, so that no position below is a wrong
            # one.
            {"op": "test", "path": "/metadata/resourceVersion", "value": present.metadata.resource_version}
        ]
        # An ``add`` also replaces a value that is there (RFC 6902, section 4.1).
        operations += [
            {"op": "add", "path": f"/webhooks/{position}/clientConfig/caBundle", "value": bundle}
            for position in range(len(present.webhooks))
        ]
        name = self._names.webhook_configuration
        try:
            stored = self._client.json_patch(
                MUTATING_WEBHOOK_CONFIGURATIONS, name, operations, field_manager=FIELD_MANAGER
            )
        except NotFound:
            self._configuration.store_response(None, before)
            raise
        self._configuration.store_response(decode_webhook_configuration(stored), before)


class NotReplaceable(Refused):
    """A Secret with the name of a certificate that no update can correct, and that must not be deleted."""

    def __init__(self, name: str, namespace: str, present: SecretObject, error: Refused) -> None:
        problem = "is immutable" if present.immutable else f'has the type "{present.type}" in place of {TLS_TYPE}'
        super().__init__(
            f'Secret "{name}" {problem}, and it must not be deleted by sync: kubectl delete secret {name} '
            f"-n {namespace} ({error})",
            status=error.status,
        )


def is_replaceable_only(secret: SecretObject) -> bool:
    """Return True if no update can correct it: the API server refuses to change a type or an immutable Secret."""
    return secret.immutable is True or secret.type != TLS_TYPE


def _unchanged(obj: _W) -> _W:
    return obj
