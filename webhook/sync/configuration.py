"""Decide when a configuration takes effect: only the current one leads, and a mass removal is held until confirmed.

The kubelet updates a mounted ConfigMap up to two minutes late, on one node later than on another. A replica with the
older file would revert the work of the previous leader. So before it takes the Lease, a replica reads the ConfigMap by
name. If its file differs, it leaves the Lease to others and checks again.

The read comes before the Lease is taken, which fails if another replica has led in between. So no configuration that a
previous leader had in force is newer than the one that was read.

A mass removal that one change would cause is held until the configuration is corrected or confirmed. The rules are in
:mod:`webhook.rules.brake`. A removal that a change causes waits until the change has been judged. That needs the
configuration that was in force before, and the whole lists of namespaces and copies. The leader reads that
configuration from its stored state. Everything else of a new configuration is in force immediately, as it is at
admission.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import structlog

from webhook.errors import ApiError, Forbidden, NotFound
from webhook.files.watched_file import digest_of
from webhook.kube.resources import CONFIG_MAPS
from webhook.kube.wire import decode_config_map
from webhook.rules.brake import PastRemoval, Removals, digest, lost_by_change, recent
from webhook.rules.state_document import CONFIGURATION_KEY, HELD_KEY, encode_accepted, encode_held
from webhook.rules.versions import REVISION_ANNOTATION, Revision, parse_revision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from webhook.files.watched_file import ConfigurationFile
    from webhook.kube.client import Client
    from webhook.rules.actions import NamespacePlan
    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import NamespaceState
    from webhook.rules.state_document import AcceptedConfiguration
    from webhook.sync.caches import Caches

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.1
"""Seconds between two checks for the lists that a judgement needs."""

LIST_WAIT_SECONDS = 10.0
"""Seconds to wait for the lists of all pull secrets. One that may not be listed must delay only itself."""

HELD_SECONDS = 5.0
"""Seconds between two judgements of a held configuration, and two checks for its confirmation."""


class HeldConfiguration(msgspec.Struct, frozen=True):
    """A configuration that is held: its digest, and the removals that it would cause."""

    digest: str
    removals: Removals


class Brake:
    """Judges each new configuration; ``on_held(held)`` receives what is held, and None when it is released.

    ``on_judged()`` is called when removals that waited may be made.
    """

    def __init__(
        self,
        configuration: Configuration,
        caches: Caches,
        on_judged: Callable[[], None],
        on_held: Callable[[HeldConfiguration | None], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC).replace(microsecond=0),
    ) -> None:
        self._caches = caches
        self._on_judged = on_judged
        self._on_held = on_held
        self._clock = clock
        # The thread of the configuration calls configure(), and that of the state load() and judge(). Workers call
        # filter().
        self._lock = threading.Lock()
        self._proposed = configuration
        self._accepted: Configuration | None = None
        self._past: tuple[PastRemoval, ...] = ()
        self._released: frozenset[str] = frozenset()
        self._proposed_at = time.monotonic()
        self._is_loaded = False
        self._has_withheld = False
        self._confirmed = ""
        self.held: HeldConfiguration | None = None

    @property
    def accepted(self) -> Configuration | None:
        """The last configuration in force; None until it has been read."""
        return self._accepted

    @property
    def is_loaded(self) -> bool:
        """True if the stored state has been read since this process began to lead."""
        return self._is_loaded

    def is_settled(self) -> bool:
        """True if the configuration is in force, so that no removal has to be held."""
        return self._is_loaded and self._accepted is self._proposed

    def configure(self, configuration: Configuration) -> None:
        """Set a new configuration, to be judged."""
        with self._lock:
            self._released, self._proposed_at = frozenset(), time.monotonic()
            self._proposed = configuration
            # The same object, so that is_settled() is a comparison of identity, which each plan makes.
            if self._accepted is not None and configuration == self._accepted:
                self._proposed = self._accepted

    def forget(self) -> None:
        """Discard the stored state, because another process may have judged since; it has to be read again."""
        with self._lock:
            self._is_loaded = False
            self._accepted, self._released = None, frozenset()

    def load(self, stored: AcceptedConfiguration | None, confirmed: str) -> None:
        """Take the stored configuration as the one in force, and the digest that a person has confirmed."""
        with self._lock:
            # Each read brings it, because a person confirms while the configuration is held.
            self._confirmed = confirmed
            if self._is_loaded:
                return
            self._is_loaded = True
            if stored is None:
                return
            self._past = stored.past
            self._accepted = self._proposed if stored.configuration == self._proposed else stored.configuration

    def filter(self, state: NamespaceState, plan: NamespacePlan) -> NamespacePlan:
        """Return a plan without the removals that only a configuration change causes, until it is judged."""
        if self.is_settled() or not (plan.removals or plan.deletions):
            return plan
        kept = plan.without_removals_of(
            lost_by_change(self._baseline(), self._proposed, state.namespace) - self._released
        )
        # Noted before the last line looks again: a release after that look queues the namespace.
        if kept is not plan:
            self._has_withheld = True
        # If it was released in the meantime, the namespaces that waited may have been checked again already.
        return plan if self.is_settled() else kept

    def judge(self) -> float | None:
        """Judge the configuration if that is due; return the seconds until the next time, None for never."""
        if not self._is_loaded:
            return None
        if self.is_settled():
            self._set_held(None)
            self._enqueue_withheld()
            return None
        proposed, names = self._proposed, frozenset(self._proposed.secret_names)
        listed = frozenset(name for name in names if self._caches.has_listed(name))
        waits_for_lists = time.monotonic() - self._proposed_at < LIST_WAIT_SECONDS
        if not self._caches.can_judge(proposed) or (
            waits_for_lists and (listed != names or not self._can_judge_accepted())
        ):
            return POLL_SECONDS
        removals, past = self._count_removals(proposed, listed), recent(self._past, self._clock())
        name = digest(proposed)
        if removals.exceeds(past) and self._confirmed != name:
            self._set_held(HeldConfiguration(name, removals))
            return HELD_SECONDS
        # Removals that a person has confirmed do not count against the next change.
        self._release(proposed, listed, removals, () if self._confirmed == name else past)
        return None if listed == names else HELD_SECONDS

    def _release(
        self, proposed: Configuration, listed: frozenset[str], removals: Removals, past: tuple[PastRemoval, ...]
    ) -> None:
        """Allow the removals of the ``listed`` pull secrets. If these are all, the configuration is in force."""
        with self._lock:
            # Another configuration has arrived since the judgement began, and it has to be judged by itself.
            if self._proposed is not proposed:
                return
            if removals.copies and self._confirmed != digest(proposed):
                past = (*past, PastRemoval(self._clock(), removals.copies))
            released_more, self._released, self._past = listed != self._released, listed, past
            # Names that cannot be listed are judged when they can, so only a part is in force until then.
            if listed.issuperset(proposed.secret_names):
                self._accepted = proposed
        self._set_held(None)
        if released_more:
            log.info("configuration released", removes=removals.copies, copies=removals.total)
        self._enqueue_withheld()

    def values(self) -> Mapping[str, bytes | None]:
        """Return the values to store: the configuration in force, and the held one.

        Empty until the stored state has been read, so that it is not overwritten.
        """
        with self._lock:
            held, accepted = self.held, self._accepted
            if not self._is_loaded:
                return {}
        return {
            # None removes a key from the Secret.
            CONFIGURATION_KEY: None if accepted is None else encode_accepted(accepted, self._past),
            HELD_KEY: None if held is None else encode_held(held.digest, held.removals.copies, held.removals.total),
        }

    def _enqueue_withheld(self) -> None:
        """Queue the namespaces again in which removals have waited."""
        if self._has_withheld:
            self._has_withheld = False
            self._on_judged()

    def _can_judge_accepted(self) -> bool:
        return self._accepted is None or self._caches.can_judge(self._accepted)

    def _baseline(self) -> Configuration | None:
        """Return the accepted configuration, if the caches have kept the parts of namespaces that it reads."""
        return self._accepted if self._can_judge_accepted() else None

    def _count_removals(self, proposed: Configuration, listed: frozenset[str]) -> Removals:
        """Count the removals that are not released yet."""
        accepted, lost, total = self._baseline(), 0, 0
        for namespace, names in self._our_copies(listed).items():
            total += len(names)
            cached = self._caches.namespaces.get(namespace)
            # Copies in a namespace that is being deleted go with it, whatever the configuration is.
            if cached is not None and not cached.terminating:
                lost += len((lost_by_change(accepted, proposed, cached) & names) - self._released)
        return Removals(lost, total)

    def _our_copies(self, names: Iterable[str]) -> dict[str, set[str]]:
        """Return the names of the existing copies, by namespace."""
        names_by_namespace: dict[str, set[str]] = {}
        for name in names:
            for namespace in self._caches.namespaces_with_copies(name):
                names_by_namespace.setdefault(namespace, set()).add(name)
        return names_by_namespace

    def _set_held(self, held: HeldConfiguration | None) -> None:
        before, self.held = self.held, held
        if (before is None) != (held is None) or (held and before and held.digest != before.digest):
            self._on_held(held)


UNDECIDED_SECONDS = 30.0
"""Seconds for which an unreadable ConfigMap, or a response that is too old, keeps a replica from leading."""


class ConfigurationCheck:
    """Compares the configuration file with the ConfigMap ``name`` of the release namespace."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        file: ConfigurationFile,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.awaited = ""
        """The cause that keeps this replica from taking the Lease, by the last result of :meth:`may_lead`."""

        self._client = client
        self._namespace = namespace
        self._name = name
        self._file = file
        self._clock = clock
        self._file_revision: Revision | None = None
        self._undecided_since: float | None = None
        self._reported = ""

    def may_lead(self, lease_annotations: Mapping[str, str]) -> bool:
        """Return True if the file agrees with the ConfigMap; ``lease_annotations`` are the annotations of the Lease.

        A ConfigMap that does not exist, lacks the file, or must not be read cannot keep a replica from leading. One
        that cannot be read for another reason does so for :data:`UNDECIDED_SECONDS`.
        """
        self.awaited = self._obstacle(parse_revision(lease_annotations.get(REVISION_ANNOTATION, "")))
        return not self.awaited

    def annotations(self) -> Mapping[str, str]:
        """Return the annotations that the leader writes on its Lease."""
        return {} if self._file_revision is None else {REVISION_ANNOTATION: str(self._file_revision)}

    def file_changed(self) -> None:
        """Note the revision of a changed file, if the ConfigMap can be read and agrees with it."""
        try:
            current = self._read()
        except ApiError as error:
            log.info("configuration revision not read", cause=str(error))
            return
        # Only a revision that agrees with the file is noted: the next leader compares its ConfigMap with it.
        if current is not None and current.digest == self._file.digest:
            self._file_revision = current

    @property
    def _where(self) -> str:
        return f"ConfigMap {self._namespace}/{self._name}"

    def _obstacle(self, lease_revision: Revision | None) -> str:
        """Return the cause that prevents leading; empty if there is none."""
        try:
            current = self._read()
        # Such an answer may last, and without a leader no copy would be written.
        except (Forbidden, NotFound) as error:
            self._report("configuration not compared", str(error))
            return ""
        except ApiError as error:
            return self._undecided(str(error))
        if current is None:
            self._report("configuration not compared", f"{self._where} has no key {self._file.path.name}")
            return ""
        # One API server of several may be behind, and its ConfigMap may be that of the time before the change.
        if current.is_older_than(lease_revision):
            return self._undecided("the API server returned an older version than the previous leader had")
        self._undecided_since = None
        # Contents are compared, because a mounted file has no resourceVersion.
        if current.digest != self._file.digest:
            awaited = f"a configuration file {self._file.path} that agrees with {self._where}"
            self._report("lease left to others", f"this replica waits for {awaited}")
            return f"{awaited}: the kubelet updates it within about two minutes"
        self._file_revision, self._reported = current, ""
        return ""

    def _read(self) -> Revision | None:
        """Return the revision of the ConfigMap; None if it lacks the file."""
        config_map = decode_config_map(self._client.get(CONFIG_MAPS, self._name, self._namespace))
        document = config_map.data.get(self._file.path.name)
        if document is None:
            return None
        return Revision(config_map.metadata.uid, config_map.metadata.resource_version, digest_of(document.encode()))

    def _undecided(self, cause: str) -> str:
        """Return the obstacle if a comparison is impossible, until :data:`UNDECIDED_SECONDS` are over."""
        now = self._clock()
        if self._undecided_since is None or now - self._undecided_since > 2 * UNDECIDED_SECONDS:
            self._undecided_since = now  # not an earlier takeover, which another replica won
        if now - self._undecided_since >= UNDECIDED_SECONDS:
            self._report("configuration not compared", cause)
            return ""
        return f"the current {self._where}: {cause}"

    def _report(self, message: str, cause: str) -> None:
        """Log a message once, until it changes."""
        if self._reported != cause:
            log.warning(message, cause=cause)
        self._reported = cause
