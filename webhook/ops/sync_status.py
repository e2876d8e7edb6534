"""Define the state of the controller at one moment: one value for the metrics and ``/status``, so that both agree.

Its JSON has the field names in camelCase, and is described in docs/status.md. It contains names, reasons and numbers.
It contains no content of a Secret, and no hash of it, which could confirm a guess.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec evaluates the annotations

import msgspec

from webhook.rules.copy_status import CopyState  # noqa: TC001 - msgspec evaluates the annotations
from webhook.rules.rollout import Stage  # noqa: TC001 - msgspec evaluates the annotations

MOST_EXPIRIES = 100
"""Credentials of one source with a time of expiry in the status and the metrics, the earliest first."""


class LeaderStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The election: the leader, and whether it is this process."""

    leading: bool
    lease: str = ""
    """Name of the Lease; empty without an election."""
    identity: str = ""
    holder: str = ""
    """The last known holder; empty if there was none, and if the Lease was never read."""
    taking_over: bool = False
    """True if this process may lead and does not write yet, because it reads its sources and lists first."""
    problem: str = ""
    """Why this process cannot know the holder now."""


class WatchStatus(msgspec.Struct, frozen=True, rename="camel"):
    """One watch: its collection, whether all of it has been read once, and whether it is open now."""

    of: str
    synced: bool
    connected: bool


class QueueStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The work queue, in names of namespaces and seconds."""

    waiting: int
    working: int
    backing_off: int
    added: int
    retried: int
    unfinished_seconds: float
    longest_seconds: float


class UnreconciledStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The namespace that has been waiting longest for a check, or for a write that succeeds."""

    namespace: str
    seconds: float


class ExpiryStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The known time of expiry of one credential."""

    registry: str
    expires_at: datetime
    origin: str
    """The annotation or the field of the entry that names the time."""
    issued_at: datetime | None = None

    @property
    def lifetime_seconds(self) -> float | None:
        """The time from issue to expiry; None if the time of issue is unknown."""
        return None if self.issued_at is None else (self.expires_at - self.issued_at).total_seconds()


class SourceStatus(msgspec.Struct, frozen=True, rename="camel"):
    """A source; ``valid`` is None before it has been read. ``reason`` and ``message`` explain why it is invalid."""

    name: str
    valid: bool | None
    reason: str = ""
    message: str = ""
    registries: int = 0
    registry_names: tuple[str, ...] = ()
    """The first few of these."""
    created: str = ""
    """The time when the Secret was created; empty if it does not exist."""
    refused_by: tuple[str, ...] = ()
    """The registries that refuse its credential, if it is tested."""
    left_out: int = 0
    """Number of its entries that no reader can use."""
    remark: str = ""
    """Problems of these, and remarks about others."""
    renews: bool = False
    """True if it renews itself."""
    next_renewal: str = ""
    """The time of its next renewal."""
    renewal_failures: int = 0
    """Failed attempts to renew it, since the last success."""
    renewal_reason: str = ""
    """The reason id of the last failure."""
    renewal_message: str = ""
    """The same as a sentence."""
    expires_at: datetime | None = None
    """The earliest known time of expiry of its credentials."""
    expiry_reason: str = ""
    """The reason id if it is near or past."""
    expiries: tuple[ExpiryStatus, ...] = ()
    """The known times of expiry by registry; the first :data:`MOST_EXPIRIES`."""
    expiry_problem: str = ""
    """The times of expiry that cannot be used."""


class StaleCopy(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One copy that is not current."""

    namespace: str
    state: CopyState
    reason: str = ""


class RolloutStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The rotation of a pull secret that has a rollout."""

    stage: Stage
    since: datetime
    """The time when the stage began."""
    reason: str = ""
    """The reason id while it is held."""
    message: str = ""
    """A sentence about the stage."""
    canary_namespaces: int = 0
    canary_reached: int = 0
    """Canary namespaces that have the new content."""
    canary_watched: int = 0
    """Those whose Pods are watched."""
    canary_unwatched: tuple[str, ...] = ()
    """Those whose Pods are to be watched, and whose right to list Pods is missing; the first few."""
    copies: int = 0
    copies_reached: int = 0
    """Copies that have the new content."""
    unused_since: datetime | None = None
    """The time when the last copy with the previous content was replaced."""


class TokensStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The tokens in the copies of a pull secret with tokens of each namespace."""

    earliest_expiry: datetime | None
    """None if there is no copy."""
    overdue: int
    """Copies whose token has less than a quarter of its lifetime left: it should have been renewed at half."""


class PullSecretStatus(msgspec.Struct, frozen=True, rename="camel"):
    """A pull secret, configured or retired, and the numbers of its copies by state."""

    name: str
    retired: bool
    ready: bool
    problem: str
    """The reason id if there is no content."""
    sources: tuple[str, ...]
    selected_namespaces: int
    """Number of namespaces that should have a copy."""
    copies: dict[CopyState, int]
    not_current: tuple[StaleCopy, ...]
    """The first few of each state."""
    last_good: bool = False
    """True if there is a last good content that copies keep or get, while there is a problem."""
    content_since: str = ""
    """The time when the last good content was first seen; empty if there never was one."""
    rotation_seconds: float | None = None
    """Seconds that the last rotation took to reach every copy; None if this process has not observed all of it."""
    rollout: RolloutStatus | None = None
    """None if it has no rollout, or if this process does not lead."""
    tokens: TokensStatus | None = None
    """None if its copies have no tokens of their namespaces."""
    tenant_owned: bool = False
    """True if the Secret belongs to each namespace, so that there are no copies."""


class StoppedOwner(msgspec.Struct, frozen=True, rename="camel"):
    """A controller of Pods at which healing has stopped."""

    namespace: str
    owner: str
    """Kind and name."""


class HealingStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The state of healing on the leader."""

    per_minute: int
    """The limit."""
    used: int
    """Evictions of the last minute that count for it."""
    evicted: int
    """Pods that this process has evicted."""
    pods: dict[str, int]
    """Number of pending Pods by reason id; ``healing-due`` are those to be evicted."""
    stalled_seconds: float = 0.0
    """Time for which Pods are due and none was evicted; 0 if none is due."""
    message: str = ""
    """The cause if nothing can be evicted; empty without one."""
    stopped_owners: int = 0
    """Number of the controllers at which healing has stopped."""
    stopped: tuple[StoppedOwner, ...] = ()
    """Some of them."""


class FailingStatus(msgspec.Struct, frozen=True, rename="camel"):
    """A namespace in which the last write of some kind has failed."""

    namespace: str
    reason: str


class ContendedStatus(msgspec.Struct, frozen=True, rename="camel"):
    """An object that is reverted repeatedly, so that it is written only every so many seconds."""

    kind: str
    namespace: str
    name: str
    pause_seconds: float


class SyncStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The complete state. Lists that grow with the cluster are cut, and their numbers are beside them."""

    version: str
    release: str
    release_namespace: str
    leader: LeaderStatus
    pull_secrets: tuple[PullSecretStatus, ...]
    sources: tuple[SourceStatus, ...]
    watches: tuple[WatchStatus, ...]
    queue: QueueStatus
    oldest_unreconciled: UnreconciledStatus | None
    last_full_pass_seconds: float
    failing_namespaces: int
    failing: tuple[FailingStatus, ...]
    contended_objects: dict[str, int]
    contended: tuple[ContendedStatus, ...]
    undone_writes: int
    paused_seconds: float
    held_removals: int
    """Number of copies that a held configuration would remove after its confirmation."""
    held_configuration: str
    """The digest that confirms it."""
    problems: dict[str, int]
    """Number of sources, pull secrets, copies or references by reason id, if a person must act."""

    evictions: HealingStatus | None = None
    """None while healing is off."""

    @property
    def watches_down(self) -> int:
        """Number of watches that are not open now."""
        return sum(not watch.connected for watch in self.watches)
