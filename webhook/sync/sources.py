"""Read the sources, and build the content of the copies from them.

A new leader reads each source before its first write. Each copy names the versions of the sources that it was made
from. If a copy was made from a newer version than the one that is known here, this process is behind, or etcd was
restored, or a person edited the copy. One read shows which.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog

from webhook.errors import Conflict, NotFound, SourceInvalid
from webhook.kube.objects import decode_secret
from webhook.kube.resources import SECRETS
from webhook.rules.credential import SourceReason
from webhook.rules.namespace_tokens import hash_for_copies
from webhook.rules.state_document import LastGood
from webhook.rules.versions import Confirmation, SourceVersion, decode_sources, is_older, newer_sources
from webhook.sync.rollouts import Rollouts
from webhook.sync.source import Content, Source, absent_source, content_of, read_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from webhook.kube.client import Client
    from webhook.rules.configuration import Configuration, PullSecret
    from webhook.rules.dockerconfig import Clash
    from webhook.rules.objects import Copy
    from webhook.rules.state_document import StateDocument

log = structlog.get_logger(__name__)


class Judge(Protocol):
    """Decides whether the credentials of a source may be copied."""

    def judge(self, source: Source) -> Source:
        """Return the source, perhaps with a problem in place of its credentials. This may take long."""

    def remember(self, source: Source, judged: Source) -> None:
        """Remember a judgement that is in force. Called under a lock, so it must be quick."""


class SourceStore:
    """The current sources, and the content made of them.

    ``on_content_change()`` is called when a content changes, ``on_source_change(source)`` when a source does.
    ``on_clash(secret, clashes)`` is called when the registries that are named more than once change.
    ``on_refusal(secret, problem)`` is called when sources that are valid by themselves make no copy together.

    A ``judge`` may take long, so versions of one source can be judged at the same time. Only the judgement of the
    version that arrived last counts: an older version never replaces a newer one, even if its judgement is later.

    States arrive from watches and from reads by name, in any order. A read that was overtaken by a watch has no effect,
    and neither has a late event of a watch.

    For a pull secret that has a rollout, the ``rollouts`` choose between the content of the sources and the previous
    one. Its last good content is the one that the rollout can return to.

    Fail static: while any source of a pull secret is absent or invalid, there is no content. Copies that are missing or
    older than the last good content are made of that: see :mod:`webhook.sync.state_keeper`. Others stay as they are.
    """

    def __init__(
        self,
        on_content_change: Callable[[], None],
        on_source_change: Callable[[Source], None],
        on_clash: Callable[[str, Sequence[Clash]], None],
        on_refusal: Callable[[str, SourceInvalid], None] = lambda *_: None,
        judge: Judge | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC).replace(microsecond=0),
        rollouts: Rollouts | None = None,
    ) -> None:
        self.rollouts = rollouts or Rollouts()
        self._on_content_change = on_content_change
        self._on_source_change = on_source_change
        self._on_clash = on_clash
        self._on_refusal = on_refusal
        self._judge = judge
        self._clock = clock
        self._lock = threading.Lock()
        self._arrived: dict[str, Source] = {}
        self._arrivals: Counter[str] = Counter()
        self._confirmed: dict[str, Confirmation] = {}
        self._sources: dict[str, Source] = {}
        self._pull_secrets: tuple[PullSecret, ...] = ()
        self._issued_names: frozenset[str] = frozenset()
        # Replaced as a whole, because plans read it without the lock.
        self._current = _Contents()
        self._last_good: dict[str, LastGood] = {}

    def configure(self, configuration: Configuration) -> None:
        """Set the pull secrets of a new configuration."""
        with self._lock:
            self._pull_secrets = configuration.copied
            # Before the build below, which passes the contents to the rollouts.
            self.rollouts.configure(configuration)
            self._issued_names = configuration.issued_names
            self._last_good = {
                entry.name: stored
                for entry in configuration.pull_secrets
                if (stored := self._last_good.get(entry.name)) is not None and stored.source_names == entry.sources
            }
            # A source that is not watched any more becomes stale. If it is named again later, it must be read again
            # first.
            self._sources = {name: self._sources[name] for name in configuration.source_names if name in self._sources}
            self._arrived = {name: self._arrived[name] for name in configuration.source_names if name in self._arrived}
            before, self._current = self._current, self._build()
        self._report_changes(before)
        self._on_content_change()

    def observe(self, source: Source, event_version: str = "") -> None:
        """Set a new state of a source; ``on_source_change`` is called if it differs from the previous state.

        ``event_version`` is the resourceVersion of the watch event that brought it. An event that is older than the
        known state is ignored: a read has returned a later state. A list has no event, and always counts.
        """
        with self._lock:
            previous = self._arrived.get(source.name)
            # A watch may be behind a read, and its event would bring back a credential that has been replaced.
            if previous is not None and is_older(event_version, previous.resource_version):
                return
            self._store_arrival(source)
        self._judge_and_build(source)

    def absent(self, name: str) -> Source:
        """Return the state of a source whose Secret does not exist."""
        return absent_source(name, renews=self.renews(name))

    def renews(self, name: str) -> bool:
        """Return True if sync itself renews the credential of a source."""
        return name in self._issued_names

    def arrivals(self, name: str) -> int:
        """Return how many states of a source have arrived, for :meth:`observe_read`."""
        with self._lock:
            return self._arrivals[name]

    def observe_read(self, source: Source, arrivals_before: int, newer: str = "") -> bool:
        """Set the state that a read returned; False if a later one has arrived.

        The read began after ``arrivals_before`` arrivals.

        A state that arrived during the read counts as later, unless it is an older version of the same Secret.
        ``newer`` is the resourceVersion that a copy names. The read confirms that it does not exist, or returns it.
        """
        with self._lock:
            previous = self._arrived.get(source.name)
            is_same = previous is not None and previous.version == source.version
            if not is_same:
                if (
                    previous is not None
                    # Arrivals are counted, because an absent Secret has no version to compare.
                    and self._arrivals[source.name] != arrivals_before
                    and not _is_older(previous, source)
                ):
                    return False
                self._store_arrival(source)
            if newer:
                self._confirmed[source.name] = Confirmation(source.version, newer)
        self._judge_and_build(source)
        return True

    def _store_arrival(self, source: Source) -> None:
        self._arrived[source.name] = source
        self._arrivals[source.name] += 1

    def unconfirmed(self, copy: Copy, content: Content) -> Sequence[SourceVersion]:
        """Return the newer versions of the sources that a copy with another content was made from.

        These sources must be read before the content is written over the copy. A read that has already confirmed the
        version of the content is not repeated.
        """
        # The same content is not written, so its versions need no proof.
        if not copy.sources or copy.content_hash == content.hash:
            return ()
        newer = newer_sources(decode_sources(copy.sources), content.versions)
        return [version for version in newer if not self._is_confirmed(version, content)]

    def _is_confirmed(self, newer: SourceVersion, content: Content) -> bool:
        confirmation = self._confirmed.get(newer.name)
        return confirmation is not None and any(
            confirmation.covers(version, newer.resource_version) for version in content.versions
        )

    def rejudge(self, source: Source) -> None:
        """Judge a refused version again, unless another version has arrived since."""
        with self._lock:
            if not self._is_latest(source):
                return
        self._judge_and_build(source)

    def _judge_and_build(self, source: Source) -> None:
        # Without the lock: a login takes seconds, and plans read the contents meanwhile.
        judged = source if self._judge is None else self._judge.judge(source)
        with self._lock:
            if not self._is_latest(source):
                return
            if all(source.name not in entry.sources for entry in self._pull_secrets):
                del self._arrived[source.name]
                return  # the last event of a watch that is being stopped
            if self._judge is not None:
                self._judge.remember(source, judged)
            previous = self._sources.get(source.name)
            self._sources[source.name] = judged
            before, self._current = self._current, self._build()
        # Without the lock: the callbacks queue all namespaces, and other sources arrive meanwhile.
        self._report_changes(before)
        if previous is None or _reported_state(previous) != _reported_state(judged):
            self._on_source_change(judged)
        if before.hashes != self._current.hashes:
            self._on_content_change()

    def _is_latest(self, source: Source) -> bool:
        latest = self._arrived.get(source.name)
        return latest is not None and latest.version == source.version

    def forget_rollouts(self) -> None:
        """Discard what is known of rollouts, because another process may have changed it since."""
        with self._lock:
            self.rollouts.forget()
            # The stored state brings it again: it is the content that a rollout can return to.
            for name in self.rollouts.names:
                self._last_good.pop(name, None)

    def restore(self, stored: StateDocument) -> None:
        """Restore the contents that another process has stored, unless this one has later versions of the sources."""
        with self._lock:
            was_loaded = self.rollouts.is_loaded
            self.rollouts.load(stored)
            for entry in self._pull_secrets:
                content, own_content = stored.last_good.get(entry.name), self._last_good.get(entry.name)
                if content is None or content.source_names != entry.sources or entry.rollout is not None:
                    continue
                if own_content is None or content.is_later(own_content):
                    self._last_good[entry.name] = content
                # The stored time counts: the content was seen before a restart, or by another leader.
                elif content.is_same(own_content):
                    self._last_good[entry.name] = replace(own_content, time=content.time)
            before, self._current = self._current, self._build()
        # Copies of rollouts stay as they are until the state is loaded, so their namespaces are due now.
        if before.last_good != self._current.last_good or (self.rollouts.names and not was_loaded):
            self._on_content_change()

    def to_store(self) -> tuple[Mapping[str, LastGood], Mapping[str, bytes | None]]:
        """Return the last good content of each pull secret that ever had one, and the value with the rollouts."""
        with self._lock:
            bases, values = self.rollouts.to_store()
            self._last_good |= bases  # a rollout that completed has another one
            return dict(self._last_good), values

    def report_again(self) -> None:
        """Report the problems of the sources and of their contents again."""
        for source in self.sources():
            if source.problem is not None or (source.credentials is not None and source.credentials.remark):
                self._on_source_change(source)
        self._report_changes(_Contents())

    def hashes(self) -> Mapping[str, str | frozenset[str]]:
        """Return by pull secret the hash of its content; several while its rollout has one for some namespaces only."""
        built, staged = self._current, self.rollouts.names
        if not staged:
            return built.hashes
        expected = {name: self.rollouts.expected(name) for name in staged}
        # An empty set means that the state of the rollout is not known yet.
        return {name: expected.get(name) or content_hash for name, content_hash in built.hashes.items()}

    def since(self, name: str) -> datetime | None:
        """Return when the last good content of a pull secret was first seen; None if it never had one."""
        kept = self._last_good.get(name)
        return None if kept is None else kept.time

    def last_good_hashes(self) -> Mapping[str, str]:
        """Return the hash of the last content of each pull secret that has none now, if it has the same sources."""
        return {name: content.hash for name, content in self._current.last_good.items()}

    def usable_contents(
        self, namespace: str, copy: Callable[[str], Copy | None]
    ) -> tuple[Mapping[str, Content], Mapping[str, str]]:
        """Return the contents for the copies in one namespace, and their hashes.

        This is the only place that decides which content a copy in a namespace gets. ``copy(name)`` returns the
        existing copy. While a source cannot be used, only some copies are made of the last good content: see
        :meth:`LastGood.is_due`.
        """
        built, staged = self._current, self.rollouts.names
        # The usual case, for each plan of each namespace, needs no look at the copies.
        if not built.last_good and not staged:
            return built.contents, built.hashes
        contents = {name: content for name, content in built.last_good.items() if built.is_due(name, copy(name))}
        for name, content in built.contents.items():
            chosen = self.rollouts.choose(name, namespace, content) if name in staged else content
            if chosen is not None:
                contents[name] = chosen
        return contents, {name: content.hash for name, content in contents.items()}

    def is_waiting(self, name: str, copy: Copy | None) -> bool:
        """Return True if this copy is not written until the sources of its pull secret can be used again."""
        built = self._current
        return name in built.problems and not (name in built.last_good and built.is_due(name, copy))

    def problems(self) -> Mapping[str, SourceInvalid]:
        """Return by pull secret why it has no content."""
        return self._current.problems

    def has_read(self, names: Iterable[str]) -> bool:
        """Return True if each of these sources has been read, including absent ones."""
        return all(name in self._sources for name in names)

    def source(self, name: str) -> Source | None:
        """Return the state of a source; None before its first list."""
        return self._sources.get(name)

    def missing(self) -> list[str]:
        """Return the names of the sources that do not exist."""
        return [
            source.name
            for source in self.sources()
            if source.problem is not None and source.problem.reason in (SourceReason.ABSENT, SourceReason.NOT_ISSUED)
        ]

    def sources(self) -> Sequence[Source]:
        """Return every source that has been read."""
        return tuple(self._sources.values())

    def _report_changes(self, before: _Contents) -> None:
        for name, content in self._current.contents.items():
            if content.clashes and (name not in before.contents or before.contents[name].clashes != content.clashes):
                self._on_clash(name, content.clashes)
        for name, refusal in self._current.refusals.items():
            if str(refusal) != str(before.refusals.get(name)):
                self._on_refusal(name, refusal)

    def _build(self) -> _Contents:
        built = _Contents()
        for entry in self._pull_secrets:
            # Neither a content nor a problem: its copies are not planned until all of its sources have been read.
            if not self.has_read(entry.sources):
                continue
            sources = [self._sources[name] for name in entry.sources]
            problem = next((source.problem for source in sources if source.problem is not None), None)
            if problem is not None:
                built.problems[entry.name] = problem
                self._stage(entry, None, ())
                continue
            try:
                content = content_of(entry, sources)
            except SourceInvalid as error:
                built.problems[entry.name] = built.refusals[entry.name] = error
                self._stage(entry, None, ())
            else:
                built.contents[entry.name] = content
                built.hashes[entry.name] = content.hash
                if entry.rollout is None:
                    self._store_last_good(entry, content)
                else:
                    self._stage(entry, content, [source.request for source in sources if source.request])
        # After the loop above, in which a rollout sets its base as the last good content.
        for entry in self._pull_secrets:
            if entry.name in built.problems and (stored := self._last_good.get(entry.name)) is not None:
                basis = hash_for_copies(entry, stored.payload)
                built.last_good[entry.name] = Content(stored.payload, basis, (), stored.sources, entry.tokens)
                built.stored[entry.name] = stored
        return built

    def _stage(self, entry: PullSecret, content: Content | None, requests: Sequence[str]) -> None:
        """Pass the content of a pull secret with a rollout on, and keep the one that it can return to."""
        if entry.rollout is None:
            return
        proposed = None if content is None else LastGood(content.payload, content.versions, self._clock())
        base = self.rollouts.observe(entry.name, proposed, requests)
        if base is not None:
            self._last_good[entry.name] = base

    def _store_last_good(self, entry: PullSecret, content: Content) -> None:
        if not entry.sources:
            return  # it has only tokens, which are not stored
        previous, current = self._last_good.get(entry.name), LastGood(content.payload, content.versions, self._clock())
        since = previous.time if previous is not None and previous.is_same(current) else current.time
        self._last_good[entry.name] = replace(current, time=since)


class _Contents(msgspec.Struct, frozen=True):
    """The result of the sources, by pull secret: its content, or why it has none.

    ``refusals`` concern several sources together.
    """

    contents: dict[str, Content] = msgspec.field(default_factory=dict)
    hashes: dict[str, str] = msgspec.field(default_factory=dict)
    last_good: dict[str, Content] = msgspec.field(default_factory=dict)
    stored: dict[str, LastGood] = msgspec.field(default_factory=dict)
    """The same as ``last_good``, with the versions of its sources."""
    problems: dict[str, SourceInvalid] = msgspec.field(default_factory=dict)
    refusals: dict[str, SourceInvalid] = msgspec.field(default_factory=dict)

    def is_due(self, name: str, copy: Copy | None) -> bool:
        """Return True if a copy must have the last good content of a pull secret that has one."""
        return self.stored[name].is_due(copy, self.last_good[name].hash)


def _is_older(source: Source, other: Source) -> bool:
    """Return whether a state is an older version of the same Secret."""
    return source.uid == other.uid and is_older(source.resource_version, other.resource_version)


def _reported_state(source: Source) -> tuple[str, str]:
    return (source.resource_version, str(source.problem) if source.problem else "")


class SourceReads:
    """Reads sources in the release's ``namespace``, and passes them to the store."""

    def __init__(self, client: Client, namespace: str, sources: SourceStore) -> None:
        self._client = client
        self._namespace = namespace
        self._sources = sources

    def read(self, name: str, newer: str = "") -> bool:
        """Read the current state of a source; False if a watch has delivered a later one in the meantime.

        Raises:
            ApiError: there was no answer, and the known state is unchanged.
        """
        # Counted before the request: a state that a watch delivers meanwhile is newer than the response.
        arrivals_before = self._sources.arrivals(name)
        try:
            source = read_source(decode_secret(self._client.get(SECRETS, name, self._namespace)))
        except NotFound:
            source = self._sources.absent(name)
        return self._sources.observe_read(source, arrivals_before, newer)

    def verify(self, copy: Copy, content: Content) -> None:
        """Return if a copy may be overwritten with a content.

        Raises:
            Conflict: the copy was made from newer sources. They have been read, so plan again.
            ApiError: a source could not be read, so the copy must not be written.
        """
        newer = self._sources.unconfirmed(copy, content)
        for source in newer:
            log.info("source read again", source=source.name, namespace=copy.namespace, newer=source.resource_version)
            self.read(source.name, source.resource_version)
        # One conflict after all reads, so that the next plan knows each of them.
        if newer:
            names = ", ".join(source.name for source in newer)
            raise Conflict(f"Secret {copy.namespace}/{copy.name} was made from newer versions of its sources: {names}")
