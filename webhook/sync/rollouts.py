"""Keep the rollout of each pull secret that has one, and choose the content of each copy by its stage.

The rules are in :mod:`webhook.rules.rollout`. The leader stores the states with the last good contents, so that a
restart and another leader go on where the previous one was. Until the stored state has been read, it is unknown which
content a namespace must have. So copies stay as they are until then.
"""

from __future__ import annotations

import secrets
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec
import structlog
from msgspec import structs
from msgspec.structs import replace

from webhook.report.rollout import refused_sentence
from webhook.rules import rollout as rules
from webhook.rules.dockerconfig import content_hash
from webhook.rules.rollout import Progress, Rollout, Stage
from webhook.rules.state_document import ROLLOUTS_KEY, StoredRollout, decode_rollouts, encode_rollouts
from webhook.sync.rollout_tests import RolloutTests
from webhook.sync.source import Content

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from webhook.rules.configuration import Configuration, PullSecret
    from webhook.rules.state_document import LastGood, StateDocument
    from webhook.sync.rollout_tests import PodCheck, Prove

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.5
"""Seconds between two looks at a rollout that is under way."""

IDLE_SECONDS = 5.0
"""The same while the only thing to wait for is the end of an overlap."""

PROGRESS_SECONDS = 1.0
"""Seconds between two times that the number of reached copies is stored."""

STORE_SECONDS = 5.0
"""Seconds by which the stored soak may be behind. After a restart it takes that much longer."""


UNSTORED_SECONDS = 2.0
"""Seconds after which a Pod holds a rollout although that could not be stored."""

MOST_UNWATCHED = 5
"""Names of namespaces that are kept whose Pods must not be read."""


class RolloutHost(Protocol):
    """The controller, as far as rollouts depend on it."""

    @property
    def is_leading(self) -> bool:
        """True if this process has begun to write."""

    def rollout_progress(self, name: str, rollout: Rollout) -> Progress:
        """Return the copies of a pull secret that have the proposed content."""

    def rollout_moved(self, name: str, before: Rollout | None, after: Rollout) -> None:
        """React to another stage, or to another content of it."""

    def rollouts_to_store(self) -> None:
        """Request that the states are stored soon."""


class _SuspectPod(msgspec.Struct):
    """A Pod that is going to hold the rollout of a content, since a time of the monotonic clock."""

    content: str
    pod: str
    at: float
    is_stored: bool = False


class Turns(NamedTuple):
    """The part of a rollout in which namespaces take turns: before its content is rolled out, or while it is."""

    content: str = ""
    is_rolling_out: bool = False


class Rollouts:
    """The rollouts of one process; every method may be called from any thread."""

    def __init__(
        self,
        prove: Prove | None = None,
        check_pods: PodCheck | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC).replace(microsecond=0),
        monotonic: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._new_id = new_id
        # SourceStore calls this class under its own lock. So no callback to other parts is made under this one.
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._entries: dict[str, PullSecret] = {}
        # Replaced and never changed in place, because readers iterate over it without the lock.
        self._states: Mapping[str, Rollout] = {}
        self._contents: dict[str, dict[str, LastGood]] = {}
        self._usable: dict[str, bool] = {}
        self._progress: dict[str, Progress] = {}
        self._first: dict[str, Rollout] = {}
        self._handled: dict[str, Rollout] = {}
        self._suspect_pods: dict[str, _SuspectPod] = {}
        self._indexes: tuple[dict[str, Any], ...] = (
            self._contents,
            self._usable,
            self._progress,
            self._first,
            self._handled,
            self._suspect_pods,
        )
        self._tests = RolloutTests(prove, check_pods, monotonic, self._wake.set)
        self._is_loaded = False
        self._looked_at = self._stored_at = monotonic()
        self._is_stored = True

    @property
    def names(self) -> frozenset[str]:
        """The pull secrets that have a rollout."""
        return frozenset(self._entries)

    @property
    def is_loaded(self) -> bool:
        """True if the stored state has been read since this process began to lead."""
        return self._is_loaded

    def configure(self, configuration: Configuration) -> None:
        """Set the pull secrets of a new configuration. Other sources of one are no rotation: it begins again."""
        with self._lock:
            entries = {entry.name: entry for entry in configuration.pull_secrets if entry.rollout is not None}
            kept = {
                name
                for name, entry in entries.items()
                if name in self._entries and self._entries[name].sources == entry.sources
            }
            self._entries = entries
            self._states = {name: state for name, state in self._states.items() if name in kept}
            for index in self._indexes:
                for name in set(index) - kept:
                    index.pop(name)
            self._tests.keep(kept)
        self._wake.set()

    def forget(self) -> None:
        """Discard all states, because another process may have changed them since."""
        with self._lock:
            self._is_loaded = False
            self._states = {}
            for index in self._indexes:
                index.clear()
            self._tests.keep(frozenset())

    def load(self, stored: StateDocument) -> None:
        """Take the stored states over, once for each time that this process begins to lead.

        A last good content without a state is the base: it was stored before the pull secret had a rollout.
        """
        with self._lock:
            if self._is_loaded:
                return
            # A soak does not count the seconds before this process led.
            self._is_loaded, self._looked_at = True, self._monotonic()
            now = self._clock()
            for name, entry in self._entries.items():
                base, record = stored.last_good.get(name), stored.rollouts.get(name)
                # A state of other sources is not continued: the pull secret begins with its first content.
                if base is not None and base.source_names != entry.sources:
                    continue
                if record is None and base is None:
                    continue
                contents = {} if base is None else {content_hash(base.payload): base}
                state = None if record is None else record.rollout
                # The stored content wins over a state that names another base: only a known content can be returned to.
                if state is None or (contents and state.base not in contents):
                    state = rules.first(next(iter(contents)), self._new_id(), now)
                if record is not None and record.kept is not None:
                    contents[content_hash(record.kept.payload)] = record.kept
                # Without that content, the completed rollout cannot be aborted any more.
                if state.previous not in contents:
                    state = structs.replace(state, previous="")
                self._states = {**self._states, name: state}
                self._first[name], self._contents[name] = state, contents
                if record is not None:
                    # A source that cannot be used ends the looks, but the copies that have the new content keep it.
                    self._progress[name] = record.progress
                # The refused Pod is stored already, so the hold follows with the next look.
                if state.needs_pods and state.pod:
                    self._suspect_pods[name] = _SuspectPod(state.proposed, state.pod, self._monotonic(), is_stored=True)
        self._wake.set()

    def observe(self, name: str, content: LastGood | None, requests: Iterable[str] = ()) -> LastGood | None:
        """Note the content that the sources of a pull secret give, None if they give none; return the base.

        None is returned while that is not known. ``requests`` are the requests of people on these sources.
        """
        with self._lock:
            self._usable[name] = content is not None
            if not self._is_loaded or name not in self._entries:
                return None
            if content is None:
                state = self._states.get(name)
                return None if state is None else self._contents[name].get(state.base)
            now, identity = self._clock(), content_hash(content.payload)
            contents, before = self._contents.setdefault(name, {}), self._states.get(name)
            contents[identity] = (
                content if before is None or identity != before.base else contents.get(identity, content)
            )
            if before is None:
                after = rules.first(identity, self._new_id(), now)
            else:
                after = rules.propose(before, identity, self._new_id(), now)
            # Compared with the id after the change: a request about an earlier content must not promote this one.
            for text in requests:
                if (verb := rules.decode_request(text, after.id)) is not None:
                    after = rules.request(after, verb, self._new_id(), now)
            self._set(name, after)
            return contents.get(after.base)

    def choose(self, name: str, namespace: str, current: Content) -> Content | None:
        """Return the content for the copy in a namespace; None if the copy must stay as it is.

        ``current`` is the content that the sources give. The base carries its versions, too: they name the sources that
        this process knew when it chose.
        """
        with self._lock:
            state, entry = self._states.get(name), self._entries.get(name)
            if state is None or entry is None or entry.rollout is None:
                return None
            target = state.target(in_canary=entry.rollout.is_canary(namespace))
            if target == current.hash:
                return current
            base = self._contents[name].get(target)
            return None if base is None else Content(base.payload, target, versions=current.versions)

    def expected(self, name: str) -> frozenset[str]:
        """Return the hashes that a copy may have while its namespace is up to date."""
        state = self._states.get(name)
        return frozenset() if state is None else frozenset(state.target(in_canary=canary) for canary in (True, False))

    def state(self, name: str) -> Rollout | None:
        """Return the state of a pull secret; None if it has no rollout, or if that is not known yet."""
        return self._states.get(name)

    def progress(self, name: str) -> Progress:
        """Return the copies that were last observed."""
        return self._progress.get(name, Progress())

    def turns(self, name: str, namespace: str) -> tuple[Turns, int]:
        """Return the turns of a rollout whose copies change at a limited rate, and the rate; 0 for no limit."""
        state, entry = self._states.get(name), self._entries.get(name)
        if state is None or entry is None or entry.rollout is None or not state.is_rationed:
            return Turns(), 0
        turns = Turns(state.proposed, is_rolling_out=state.stage is Stage.ROLLING_OUT)
        # The canary gets the content without a limit, because the soak counts only when all of it has the content.
        return turns, 0 if entry.rollout.is_canary(namespace) else entry.rollout.max_per_second

    def to_store(self) -> tuple[Mapping[str, LastGood], Mapping[str, bytes | None]]:
        """Return the bases by pull secret, and the value with the states, both of one moment.

        Both are empty until the stored state has been read, so that it is not overwritten.
        """
        with self._lock:
            if not self._is_loaded:
                return {}, {}
            bases, stored = {}, {}
            for name, state in self._states.items():
                contents = self._contents[name]
                if (base := contents.get(state.base)) is not None:
                    bases[name] = base
                is_spreading = state.stage is Stage.ROLLING_OUT
                stored[name] = StoredRollout(
                    structs.replace(state, elapsed=state.elapsed // STORE_SECONDS * STORE_SECONDS),
                    self._progress.get(name, Progress()),
                    contents.get(state.proposed if is_spreading else state.previous),
                )
        return bases, {ROLLOUTS_KEY: encode_rollouts(stored)}

    def confirm(self, value: bytes | None) -> None:
        """Note that this value of :meth:`to_store` is stored."""
        with self._lock:
            if not self._suspect_pods:
                return
            # Read from the stored value, because the state may have changed since it was passed to the store.
            stored = decode_rollouts(value)
            for name, noted in self._suspect_pods.items():
                record = stored.get(name)
                noted.is_stored |= record is not None and (record.rollout.proposed, record.rollout.pod) == (
                    noted.content,
                    noted.pod,
                )
        self._wake.set()

    def run(self, stopping: threading.Event, surroundings: RolloutHost) -> None:
        """Advance the rollouts until ``stopping`` is set, and :meth:`wake` is called once more."""
        while not stopping.is_set():
            self._wake.wait(self._pause())
            self._wake.clear()
            if not stopping.is_set() and self._is_loaded and surroundings.is_leading:
                self.advance(surroundings)

    def wake(self) -> None:
        """Look soon."""
        self._wake.set()

    def advance(self, surroundings: RolloutHost) -> None:
        """Advance each rollout by the seconds since the last call."""
        now = self._monotonic()
        seconds, self._looked_at = now - self._looked_at, now
        for name in list(self._states):
            self._advance(name, seconds, surroundings)
        if not self._is_stored and now - self._stored_at >= PROGRESS_SECONDS:
            self._store(surroundings)

    def _store(self, surroundings: RolloutHost) -> None:
        self._is_stored, self._stored_at = True, self._monotonic()
        surroundings.rollouts_to_store()

    def _pause(self) -> float | None:
        states = self._states.items()
        if not self._is_stored or any(state.is_under_way or name not in self._handled for name, state in states):
            return TICK_SECONDS
        return IDLE_SECONDS if any(state.previous for _, state in states) else None

    def _advance(self, name: str, seconds: float, surroundings: RolloutHost) -> None:
        self._announce(name, surroundings)
        before = self._states.get(name)
        # Without a content of the sources there is nothing to roll out. An overlap goes on.
        if before is None or not (self._usable.get(name) or before.stage is Stage.COMPLETE):
            return
        # Without the lock, because it looks at all namespaces.
        progress = surroundings.rollout_progress(name, before)
        with self._lock:
            state, entry = self._states.get(name), self._entries.get(name)
            if state is None or entry is None or entry.rollout is None or state.proposed != before.proposed:
                return  # it changed meanwhile: the next look is about the new content
            # With other sources, the rollout has begun again meanwhile, perhaps also without a proposed content.
            if name not in self._handled:
                return
            after, progress = self._tested(entry, state, progress)
            self._is_stored &= self._progress.get(name) == progress
            self._progress[name] = progress
            # One step at a time: what was observed is about the stage before. The next look follows immediately.
            if after.stage is state.stage:
                after = rules.advance(after, seconds, progress, entry.rollout, self._clock())
            self._set(name, after)
            # Noted under the same lock as the state, so that no change is passed on twice.
            handled, self._handled[name] = self._handled[name], after
        if _is_another(handled, after):
            surroundings.rollout_moved(name, handled, after)
        if _is_to_be_stored(handled, after):
            self._store(surroundings)

    def _tested(self, entry: PullSecret, state: Rollout, progress: Progress) -> tuple[Rollout, Progress]:
        """Return the state after the tests of its content that have ended, and what is known of the Pods."""
        base, proposed = (self._contents[entry.name].get(identity) for identity in (state.base, state.proposed))
        self._tests.start(entry, state, base, proposed)
        if (proof := self._tests.proof(entry.name, state)) is not None:
            state = rules.prove(state, proof.outcome, proof.detail, self._clock())
        if entry.rollout is None or not entry.rollout.watch_pods or not state.needs_pods:
            return state, progress
        # The note is being stored. A look that does not show the Pod any more does not take it back.
        if state.pod:
            return self._held_by_pod(entry.name, state), progress
        if (result := self._tests.pods(entry.name, state)) is None:
            return state, replace(progress, is_blind=True)
        if result.refused:
            first = result.refused[0]
            state = rules.suspect_pod(state, refused_sentence(result.refused), f"{first.namespace}/{first.pod}")
            state = self._held_by_pod(entry.name, state)
        unwatched = result.forbidden[:MOST_UNWATCHED]
        return state, replace(progress, watched=result.watched, unwatched=unwatched, is_blind=result.is_partial)

    def _held_by_pod(self, name: str, state: Rollout) -> Rollout:
        """Hold a rollout because of a Pod, when that is stored; it does not wait long for a store that fails."""
        noted, now = self._suspect_pods.get(name), self._monotonic()
        if noted is None or (noted.content, noted.pod) != (state.proposed, state.pod):
            noted = self._suspect_pods[name] = _SuspectPod(state.proposed, state.pod, now)
        if not noted.is_stored and now - noted.at < UNSTORED_SECONDS:
            return state
        del self._suspect_pods[name]
        return rules.refuse_pods(state, state.detail, self._clock(), state.pod)

    def _announce(self, name: str, surroundings: RolloutHost) -> None:
        """Report the first known stage of a pull secret, once."""
        with self._lock:
            state = self._states.get(name)
            if state is None or name in self._handled:
                return
            self._handled[name] = state = self._first.get(name, state)
        surroundings.rollout_moved(name, None, state)
        self._store(surroundings)

    def _set(self, name: str, state: Rollout) -> None:
        if self._states.get(name) is state:
            return
        self._first.setdefault(name, state)
        self._states = {**self._states, name: state}
        # Other contents are credentials that no copy gets any more, so they are not kept.
        needed = {state.base, state.proposed, state.previous}
        self._contents[name] = {identity: kept for identity, kept in self._contents[name].items() if identity in needed}
        self._wake.set()


def _is_another(before: Rollout, after: Rollout) -> bool:
    """Return whether people, or other copies, are concerned by a change."""
    return (before.stage, before.reason, before.base, before.proposed, before.previous, before.canary) != (
        after.stage,
        after.reason,
        after.base,
        after.proposed,
        after.previous,
        after.canary,
    )


def _is_to_be_stored(before: Rollout, after: Rollout) -> bool:
    return structs.replace(before, elapsed=before.elapsed // STORE_SECONDS) != structs.replace(
        after, elapsed=after.elapsed // STORE_SECONDS
    )
