"""Elect a leader with a Lease, so that at most one process writes at a time; or seize the Lease.

The holder renews its Lease. The other candidates observe the renewals with their own clock, and take over if there is
no renewal for the whole lease duration. Clocks of different machines are not compared. A holder that could not renew
within the renew deadline stops leading before another process may start. :meth:`LeaseElection.is_leading` reads the
clock each time. So a process that was suspended for longer than its term notices that when it resumes.

The cleanup job seizes the Lease to be the only writer: candidates respect the holder until the Lease expires. The
seized Lease is not renewed.

Source: k8s.io/client-go/tools/leaderelection/leaderelection.go; its durations are the defaults here.
"""

from __future__ import annotations

import random
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import structlog

from webhook.errors import ApiError, Conflict, Forbidden, NotFound
from webhook.kube.resources import LEASES
from webhook.kube.wire import ObjectMeta, decoder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from webhook.kube.client import Client

log = structlog.get_logger(__name__)


RELEASE_ATTEMPTS = 5
"""Attempts to release the Lease while other processes change it; each reads it again first."""


def boot_time() -> float:
    """Return seconds of a clock that never jumps and, on systems that have one, keeps running during suspension."""
    # CLOCK_MONOTONIC of Linux stops during suspension, so a resumed process would believe in a term that is over.
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class Timing(msgspec.Struct, frozen=True):
    """The durations of an election in seconds; duration > renew deadline > retry period."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0


DEFAULT_TIMING = Timing()


class LeaseSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The part of ``coordination.k8s.io/v1`` LeaseSpec that an election needs."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(msgspec.Struct, frozen=True):
    """A ``coordination.k8s.io/v1`` Lease."""

    metadata: ObjectMeta
    spec: LeaseSpec


decode_lease: Callable[[bytes], Lease] = decoder(Lease)


def timestamp() -> str:
    """Return the current time as a ``metav1.MicroTime``, for people to read; no decision depends on it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Candidacy(Protocol):
    """Decides whether this process may take the Lease, and which annotations it writes."""

    def may_lead(self, lease_annotations: Mapping[str, str]) -> bool:
        """Return whether to take the Lease; ``lease_annotations`` are its annotations. Not called for renewals."""

    def annotations(self) -> Mapping[str, str]:
        """Return the annotations that a leader writes with each renewal."""


class LeaseElection:
    """Competes for one Lease, in a thread of its own, until stopped.

    ``on_change(leading)`` is called from that thread when leadership is gained or lost. A ``candidacy`` may leave the
    Lease to others.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        on_change: Callable[[bool], None],
        *,
        timing: Timing = DEFAULT_TIMING,
        clock: Callable[[], float] = boot_time,
        candidacy: Candidacy | None = None,
    ) -> None:
        self.identity = identity
        self._client = client
        self._namespace = namespace
        self._name = name
        self._on_change = on_change
        self._timing = timing
        self._clock = clock
        self._candidacy = candidacy
        self.abstains = False
        """True if this process left the Lease to others although it could have taken it."""

        self._observed: Lease | None = None
        self._observed_at = 0.0
        # Writers read it in their threads without a lock, because an assignment is atomic. Only the election writes it.
        self._leading_until = 0.0
        self._notified = False
        self.problem = ""
        """The cause of the last failure to read or renew the Lease; empty after a success."""
        self.unread = "no answer of the API server yet"
        """Why it is not known what is in the Lease; empty while the last attempt to read or write it has succeeded."""

        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"lease {name}", daemon=True)

    def start(self) -> None:
        """Start to compete."""
        self._thread.start()

    def stop(self) -> None:
        """Stop competing; a held Lease is released, so that another replica takes over immediately."""
        self._stopping.set()
        self._thread.join(self._timing.renew_deadline)

    def is_leading(self) -> bool:
        """True if this process may write now. Check it before every batch of writes."""
        return self._clock() < self._leading_until

    @property
    def holder(self) -> str:
        """The identity that was last seen in the Lease; empty if there was none."""
        return (self._observed.spec.holder_identity or "") if self._observed else ""

    def _run(self) -> None:
        while not self._stopping.is_set():
            started = self._clock()
            try:
                self._try_once()
                self.problem = ""
            except Conflict as error:
                log.info("lease not renewed", lease=self._name, cause=str(error))  # another candidate was first
            except ApiError as error:
                self.problem = str(error)
                # A missing right is reported by webhook.kube.rights, once for all retries.
                level = log.debug if isinstance(error, Forbidden) else log.info
                level("lease not renewed", lease=self._name, cause=str(error))
            except Exception:
                # A dead election thread would leave the cluster without a leader: report and continue.
                log.exception("lease failed", lease=self._name)
            self._notify()
            self._stopping.wait(max(0.0, self._pause() - (self._clock() - started)))
            self._client.connectivity.wait_up(self._stopping, meanwhile=self._notify)
        self._release()
        self._notify()

    def _pause(self) -> float:
        """Return the seconds between two attempts; jitter keeps the candidates from acting in step."""
        period = self._timing.retry_period * random.uniform(0.8, 1.0)  # noqa: S311
        if self.is_leading():
            return period  # early enough to see its own deadline pass
        # Twice as often, and exactly when the Lease expires: each delay adds to the time without a leader.
        remaining = self._remaining(self._clock())
        return min(period / 2, remaining) if remaining > 0 else period / 2

    def _notify(self) -> None:
        leading = self.is_leading()
        if leading == self._notified:
            return
        log.info("leadership gained" if leading else "leadership lost", lease=self._name, identity=self.identity)
        try:
            self._on_change(leading)
        except Exception:
            # For example, a takeover needs a thread, and a process can be at its limit. The next attempt calls again.
            # Otherwise this process would hold the Lease and not write.
            log.exception("change of leadership not handled", lease=self._name)
            return
        self._notified = leading

    def _try_once(self) -> None:
        lease = self._observed
        if lease is not None and self.is_leading() and self._renew(lease):
            return
        # Read before the request: a slow response must not make the Lease look older than it is.
        now = self._clock()
        current = self._read()
        if current is None and self._is_term_of_another(now):
            # The Lease was deleted. Its holder has not noticed yet, and may write until its term ends.
            self._leading_until = 0.0
            return
        self._observe(current)
        lease = self._observed
        if lease is not None and not self._is_free(lease, now):
            # A leader can lose its Lease before its term ends, because the cleanup job seizes it.
            self._leading_until = 0.0
            self.abstains = False
            return
        # A leader keeps the Lease with an older file, because the kubelet updates that within two minutes.
        self.abstains = not self.is_leading() and not self._may_lead(lease)
        if self.abstains:
            self._leading_until = 0.0
            return
        self._write(lease)

    def _may_lead(self, lease: Lease | None) -> bool:
        lease_annotations = lease.metadata.annotations if lease is not None else None
        return self._candidacy is None or self._candidacy.may_lead(lease_annotations or {})

    def _renew(self, lease: Lease) -> bool:
        """Renew in one request, so that it may take as long as the term allows; False if the Lease has changed."""
        try:
            with self._client.connectivity.expecting():
                self._write(lease)
        except (Conflict, NotFound):
            return False
        return True

    def _write(self, lease: Lease | None) -> None:
        # The term counts from before the request. The other candidates count from when they have seen its effect.
        now = self._clock()
        written = self._create(self._spec(None)) if lease is None else self._update(lease, self._spec(lease))
        self._observe(written)
        self.unread = ""
        self._leading_until = now + self._timing.renew_deadline

    def _read(self) -> Lease | None:
        lease = None
        try:
            lease = decode_lease(self._client.get(LEASES, self._name, self._namespace))
        except NotFound:
            pass
        except ApiError as error:
            self.unread = str(error)
            raise
        self.unread = ""
        return lease

    def _observe(self, lease: Lease | None) -> None:
        """Note by our own clock when the record last changed. Expiry counts from there, not from the timestamps."""
        # Only the spec: a label or annotation that somebody edits is not a renewal.
        if lease is None or self._observed is None or lease.spec != self._observed.spec:
            self._observed_at = self._clock()
        self._observed = lease

    def _is_term_of_another(self, now: float) -> bool:
        """Return True if another process was the last known holder and may still believe that it leads."""
        if self._observed is None or self._observed.spec.holder_identity in (None, "", self.identity):
            return False
        return now < self._observed_at + self._timing.duration

    def _is_free(self, lease: Lease, now: float) -> bool:
        if lease.spec.holder_identity in (None, "", self.identity):
            return True
        return self._remaining(now) <= 0

    def _remaining(self, now: float) -> float:
        """Return the seconds until the Lease expires if it is not renewed."""
        # The duration in the Lease counts, because the cleanup job holds it for longer than an election does.
        duration = self._observed.spec.lease_duration_seconds if self._observed else None
        return self._observed_at + (duration or self._timing.duration) - now

    def _spec(self, previous: Lease | None) -> LeaseSpec:
        stamp = timestamp()
        transitions = (previous.spec.lease_transitions or 0) if previous else 0
        acquired: str | None = stamp
        if previous is not None and previous.spec.holder_identity == self.identity:
            acquired = previous.spec.acquire_time
        elif previous is not None:
            transitions += 1
        return LeaseSpec(self.identity, int(self._timing.duration), acquired, stamp, transitions)

    def _create(self, spec: LeaseSpec) -> Lease:
        # Server-side apply, because RBAC can limit it to this name. A field manager of its own and no force: if several
        # candidates saw no Lease, one creates it and the others get a conflict.
        body = self._body({"namespace": self._namespace, "name": self._name}, spec)
        return decode_lease(self._client.apply(LEASES, body, field_manager=self.identity[-128:], force=False))

    def _update(self, lease: Lease, spec: LeaseSpec) -> Lease:
        # Conditional on the version that was read: of two candidates that take an expired Lease, one gets a conflict.
        body = self._body({"resourceVersion": lease.metadata.resource_version}, spec)
        return decode_lease(
            # The API server refuses names of field managers with more than 128 characters. The unique part is the end.
            self._client.merge_patch(LEASES, self._name, body, self._namespace, field_manager=self.identity[-128:])
        )

    def _body(self, metadata: dict[str, Any], spec: LeaseSpec) -> dict[str, Any]:
        lease_annotations = self._candidacy.annotations() if self._candidacy is not None else {}
        annotations = {"annotations": dict(lease_annotations)} if lease_annotations else {}
        return {"metadata": {**metadata, **annotations}, "spec": msgspec.to_builtins(spec)}

    def _release(self) -> None:
        if not self.is_leading():
            return
        # First: another process may write as soon as the release has arrived.
        self._leading_until = 0.0
        try:
            self._release_if_ours()
        except ApiError as error:
            log.info("lease not released", lease=self._name, cause=str(error))

    def _release_if_ours(self) -> None:
        """Release the Lease; after a conflict read it again, and try again while it is ours."""
        lease = self._observed
        for _ in range(RELEASE_ATTEMPTS):
            if lease is None or lease.spec.holder_identity != self.identity:
                log.info("lease not released", lease=self._name, cause="another process has taken or deleted it")
                return
            spec = lease.spec
            try:
                # As client-go does: the API server refuses a duration of 0.
                self._update(lease, LeaseSpec("", 1, spec.acquire_time, spec.renew_time, spec.lease_transitions))
            except Conflict:
                lease = self._read()
            else:
                return
        log.info("lease not released", lease=self._name, cause=f"it changed {RELEASE_ATTEMPTS} times in a row")


ATTEMPTS = 10
"""The leader renews every two seconds: two conflicts in a row are chance, ten are a defect."""

PAUSE_SECONDS = 0.1

TERM_SECONDS = Timing().duration
"""After this time the previous holder has stopped by itself, even if it has not noticed the loss."""


class OwnerReference(msgspec.Struct, frozen=True, rename="camel"):
    """A ``metav1.OwnerReference``: its object is deleted together with the owner."""

    api_version: str
    kind: str
    name: str
    uid: str


def seize_lease(
    client: Client, namespace: str, name: str, holder: str, seconds: int, owner: OwnerReference | None
) -> tuple[Lease, float]:
    """Seize a Lease from its holder, for so many seconds, with ``owner`` as its owner.

    Returns the Lease, and for how many seconds from now on the previous holder may still believe that it leads.

    Raises:
        NotFound: the namespace does not exist.
        Conflict: the Lease changed again at each attempt.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return _seize_once(client, namespace, name, holder, seconds, owner)
        except Conflict:
            time.sleep(PAUSE_SECONDS)
    return _seize_once(client, namespace, name, holder, seconds, owner)


def delete_lease(client: Client, lease: Lease) -> None:
    """Delete a Lease for which no process competes any more; one that is gone is not a failure."""
    metadata = lease.metadata
    try:
        client.delete(
            LEASES, metadata.name, metadata.namespace, uid=metadata.uid, resource_version=metadata.resource_version
        )
    except NotFound:
        return


def _seize_once(
    client: Client, namespace: str, name: str, holder: str, seconds: int, owner: OwnerReference | None
) -> tuple[Lease, float]:
    now, manager = timestamp(), holder[-128:]
    owners = {} if owner is None else {"ownerReferences": [msgspec.to_builtins(owner)]}
    try:
        before = decode_lease(client.get(LEASES, name, namespace))
    except NotFound:
        body = _body({"namespace": namespace, "name": name, **owners}, LeaseSpec(holder, seconds, now, now, 0))
        return decode_lease(client.apply(LEASES, body, field_manager=manager, force=False)), 0.0
    # Also if an earlier run of cleanup holds it: that may have ended before the term of the leader did.
    spec = LeaseSpec(holder, seconds, now, now, (before.spec.lease_transitions or 0) + 1)
    body = _body({"resourceVersion": before.metadata.resource_version, **owners}, spec)
    seized = decode_lease(client.merge_patch(LEASES, name, body, namespace, field_manager=manager))
    return seized, TERM_SECONDS if before.spec.holder_identity else 0.0


def _body(metadata: dict[str, Any], spec: LeaseSpec) -> dict[str, Any]:
    return {"metadata": metadata, "spec": msgspec.to_builtins(spec)}
