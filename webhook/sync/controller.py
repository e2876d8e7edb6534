"""Bring each namespace whose name comes out of the queue to the state that the configuration requires."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import structlog

from webhook.errors import ApiError, Conflict, Forbidden, Interrupted
from webhook.kube.resources import NAMESPACES, Collection
from webhook.ops.threads import Threads
from webhook.rules.actions import EMPTY
from webhook.rules.rollout import Stage
from webhook.rules.state_document import StateDocument
from webhook.sync.caches import Caches
from webhook.sync.configuration import Brake
from webhook.sync.contention import Contention
from webhook.sync.credential_watch import ExpiryWatch
from webhook.sync.events import EventReporter
from webhook.sync.executor import Budget, Executor
from webhook.sync.failures import PROBE_SECONDS, FailureGroups
from webhook.sync.healing import Healing
from webhook.sync.issued_secrets import IssuedSecrets
from webhook.sync.issuer import Issuer, NamespaceTokens
from webhook.sync.planner import CopyRate, PlanFilters, Planner
from webhook.sync.pods import CanaryPods, PodImages
from webhook.sync.queue import OUTAGE_RETRY_CAP, RETRY_CAP, Lane, WorkQueue
from webhook.sync.renewal import Renewer
from webhook.sync.rollouts import Rollouts
from webhook.sync.sources import SourceReads, SourceStore
from webhook.sync.state_keeper import StateKeeper
from webhook.sync.status_index import Result, Resync, RolloutReach, Rotations, StatusIndex, result_of
from webhook.sync.writes import LeadershipLost, Unfinished, Writes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from webhook.kube.client import Client
    from webhook.kube.events import EventRecorder
    from webhook.ops.sync_metrics import SyncMetrics
    from webhook.rules.actions import NamespacePlan
    from webhook.rules.configuration import Configuration
    from webhook.rules.ownership import Release
    from webhook.rules.rollout import Progress, Rollout
    from webhook.sync.credential_watch import LoginTester
    from webhook.sync.failures import Attempt
    from webhook.sync.rollout_tests import Prove
    from webhook.sync.source import Source
    from webhook.sync.write_gate import WriteGate

log = structlog.get_logger(__name__)

RESYNC_SECONDS = 600.0
"""Seconds between two checks of every namespace without a cause. A check costs no request if all is in order."""

SOURCE_RETRY_SECONDS = 0.5
"""Seconds between two attempts to read a source, before this process begins to write."""

RENEWAL_SECONDS = 5.0
"""Seconds that a new leader waits for its reopened watches. Without them, a write can at worst get a conflict."""

RENEWAL_POLL_SECONDS = 0.02
"""Seconds between two checks for these watches."""

FAIRNESS_SECONDS = 0.03
"""Seconds between two checks for workers that wait for a write while names wait for a worker."""

CONFLICT_ATTEMPTS = 5
"""Plans that are remade immediately after a conflict. Then the name backs off as after any failure."""


class SyncController:
    """Keeps every selected namespace as configured, while the ``gate`` is open.

    ``prove`` proves the new content of a rotation at its registries.

    The last good contents are kept in the Secret ``state_secret`` of the release namespace, if one is named. The folder
    ``providers`` has the credential providers of sources that renew themselves.

    A standby fills its caches and its queue too. So a takeover begins with a list of the namespaces, and not with a
    list of the whole cluster.
    """

    def __init__(  # noqa: PLR0913 - it connects all parts
        self,
        client: Client,
        release: Release,
        configuration: Configuration,
        recorder: EventRecorder,
        metrics: SyncMetrics,
        gate: WriteGate,
        logins: LoginTester | None = None,
        state_secret: str = "",
        *,
        providers: Path | None = None,
        prove: Prove | None = None,
    ) -> None:
        # Before any part below gets the client, so that each of their writes is fenced.
        client = gate.fenced(client)
        self.configuration = configuration
        self.reporter = EventReporter(recorder, release)
        self.queue = WorkQueue(waited=metrics.waited, worked=metrics.worked)
        self._metrics = metrics
        self.logins = logins
        reporter = self.reporter
        self.sources = SourceStore(
            self._contents_changed,
            self._source_changed,
            reporter.sources_clash,
            reporter.copy_refused,
            logins,
            rollouts=Rollouts(prove, CanaryPods(client, self._in_canary)),
        )
        self.images_of_pods = PodImages(client)
        self.expiry = ExpiryWatch(self.sources.sources, reporter, renews=self.sources.renews)
        if logins is not None:
            logins.on_refused = reporter.login_refused
        self.caches = Caches(
            client,
            release,
            self.sources,
            self.queue.add,
            self.queue.add_later,
            self.enqueue_all,
            self._watch_broke,
            metrics.judged,
        )
        self.healing = Healing(client, self.caches, self.sources, gate, self.reporter, metrics.evicted)
        self.brake: Brake | None = None
        self._state: StateKeeper | None = None
        if state_secret:
            self.brake = Brake(
                configuration, self.caches, self.enqueue_all, partial(self.reporter.removal_held, state_secret)
            )
            self._state = StateKeeper(
                client,
                release,
                state_secret,
                self.sources,
                self.brake,
                gate.may_write,
                self.reporter,
                self._cache_accepted,
                healing=self.healing,
            )
        self._configuring = threading.Lock()
        self.status_index, self.contention, self.resync = (
            StatusIndex(),
            Contention(self.reporter.write_reverted),
            Resync(),
        )
        self.rotations = Rotations()
        self._rollout_reach = RolloutReach(self.caches, self.status_index)
        self._copy_rate = CopyRate(self.sources.rollouts)
        self._planner = Planner(self.caches)
        self._filters = PlanFilters(self.contention, gate.damping, self.brake, self._copy_rate)
        self._source_reads = SourceReads(client, release.namespace, self.sources)
        self._stopping = threading.Event()
        self._started = threading.Event()
        self.renewer = Renewer(
            Issuer(client, release.namespace, providers, self._stopping),
            IssuedSecrets(client, release, gate.may_write),
            self.sources,
            self._source_reads,
            self.reporter,
            metrics.renewed,
        )
        writes = Writes(
            client,
            release,
            self.caches,
            self.contention,
            gate.may_write,
            metrics.wrote,
            verify=self._source_reads.verify,
        )
        self._executor = Executor(writes, self._copy_failed, NamespaceTokens(client, metrics.renewed).complete)
        self._connectivity, self._gate = client.connectivity, gate
        self._leading = threading.Event()
        self._leading_since: float | None = None
        # Held while a term begins to count or ends, so that a takeover cannot undo a loss of the Lease.
        self._term_lock = threading.Lock()
        self._term = 0
        self._failure_groups = FailureGroups(probe=lambda name: self.queue.add_later(name, PROBE_SECONDS))
        self.threads = Threads(self._stopping)

    def start(self, workers: int) -> None:
        """Start to watch, and start ``workers`` threads that wait for leadership."""
        self.queue.set_workers(workers)
        # The sources before the caches: the store discards what the watch of a source delivers before it is configured.
        self.sources.configure(self.configuration)
        self.renewer.configure(self.configuration)
        self.caches.configure(self.configuration)
        self.healing.configure(self.configuration)
        for number in range(workers):
            self.threads.start(self._run_worker, f"worker {number}")
        self.threads.start(self._resync_periodically, "full pass")
        self.threads.start(self._reclaim_workers, "fairness")
        self.threads.start(partial(self.renewer.run, self._stopping), "renewals")
        self.threads.start(partial(self.expiry.run, self._stopping), "expiry")
        if self._state is not None:
            self.threads.start(partial(self._state.run, self._stopping), "state")
        self.threads.start(partial(self.sources.rollouts.run, self._stopping, self), "rollouts")
        self.threads.start(partial(self.healing.run, self._stopping, lambda: self.is_leading), "healing")
        # Last: a process that was elected earlier takes over only now, when its watches exist.
        self._started.set()

    def stop(self, timeout: float) -> None:
        """Let the workers finish their current write, and end, within ``timeout`` seconds."""
        self._stopping.set()
        self._leading.set()
        self.renewer.changed()
        if self._state is not None:
            self._state.changed()
        self.expiry.changed()
        self.sources.rollouts.wake()
        self.healing.wake()
        # The gate first: a worker ends its turn before its next write, and not after its whole plan.
        self._gate.close()
        self.queue.close()
        self.threads.join(timeout)
        self.caches.stop()

    def reconfigure(self, configuration: Configuration) -> None:
        """Put a new configuration into force."""
        # Compared before the change: the caches of a dropped name end with it, and cannot be read afterwards.
        dropped = set(self.configuration.secret_names) - set(configuration.secret_names)
        with_copies = sorted(filter(self.caches.has_copies, dropped))
        if with_copies:
            self.reporter.pull_secrets_forgotten(with_copies)
        with self._configuring:
            if self.brake is not None:
                # First: a worker that plans with the new configuration must already find it unjudged.
                # Otherwise it would make removals that are to be held.
                self.brake.configure(configuration)
            self.configuration = configuration
            self.sources.configure(configuration)
            self.renewer.configure(configuration)
            self._configure_caches()
            self.healing.configure(configuration)
        self._contents_changed()

    def _configure_caches(self) -> None:
        self.caches.configure(self.configuration, self.brake.accepted if self.brake is not None else None)

    def _cache_accepted(self) -> None:
        """Make the caches keep the parts that are needed to compare the configuration in force with the new one."""
        with self._configuring:
            self._configure_caches()

    def set_leading(self, leading: bool) -> None:
        """Start to write, or stop. The election calls this, also before :meth:`start`."""
        self.reporter.set_leading(leading)
        with self._term_lock:
            # A takeover that is still under way compares its term, and ends.
            self._term += 1
            if leading:
                # Not in the election's thread, which has to renew the Lease.
                threading.Thread(target=self._take_over, args=(self._term,), name="takeover", daemon=True).start()
                return
            self._leading.clear()
            self._leading_since = None
            self.renewer.set_leading(False)
            self._lead_state(leading=False)

    def _take_over(self, term: int) -> None:
        """Verify the caches, then begin to write: a watch of a standby may be behind without a sign of it."""
        self._started.wait()
        # Begun first, so that the watches reopen while the sources are read.
        self.caches.renew()
        for name in self.configuration.source_names:
            while not self._read_source(name) and self._term == term:
                if self._stopping.wait(SOURCE_RETRY_SECONDS):
                    return
        with self._term_lock:
            if self._term != term:
                return
            # After the sources, which carry the times of the last issue: with an outdated one it would issue again.
            self.renewer.set_leading(True)
            # After the sources: a rollout must not begin with a content that a standby's watch has missed the end of.
            self._lead_state(leading=True)
        self._await_renewal(term)
        with self._term_lock:
            if self._term != term or self._stopping.is_set():
                return
            # Results of an earlier term of this process: other leaders have written since.
            self.status_index.clear()
            if self.logins is not None:
                self.logins.forget()
            self._failure_groups.clear()
            self.resync.restart()
            self.rotations.forget()
            self._leading_since = time.monotonic()
            self._leading.set()
        # Events are written only by the leader, so this process has not reported the problems that it already knows.
        self.sources.report_again()
        self.expiry.report_again()
        self.enqueue_all()

    def _lead_state(self, *, leading: bool) -> None:
        """Begin or end to keep the stored state; without a Secret for it, nothing was stored."""
        if self._state is not None:
            self._state.set_leading(leading)
            return
        self.sources.forget_rollouts()
        self.healing.set_leading(leading)
        if leading:
            self.healing.load(None)
            self.sources.restore(StateDocument())

    def _await_renewal(self, term: int) -> None:
        """Wait for the list of namespaces, and up to :data:`RENEWAL_SECONDS` for the other watches."""
        begun = time.monotonic()
        while self._term == term and (collections := self.caches.not_renewed()):
            # The list of namespaces has no limit: with an older one, a namespace that opted out could get a copy again.
            if time.monotonic() - begun >= RENEWAL_SECONDS and Collection(NAMESPACES) not in collections:
                log.info("watches not reopened yet", collections=[str(collection) for collection in collections])
                return
            if self._stopping.wait(RENEWAL_POLL_SECONDS):
                return

    def _read_source(self, name: str) -> bool:
        """Read the current state of a source; False if that failed and is worth another attempt."""
        try:
            return self._source_reads.read(name)
        except Forbidden as error:
            # Only a person can grant the right: the takeover must not wait for that.
            log.warning("source not read", source=name, cause=str(error))
            return True
        except ApiError as error:
            log.info("source not read yet", source=name, cause=str(error))
            return False

    @property
    def leading_for(self) -> float | None:
        """Seconds since this process became the leader; None if it is not."""
        # Not by the event, which stop() sets so that the workers of a standby end.
        since = self._leading_since
        return None if since is None else time.monotonic() - since

    def enqueue_all(self) -> None:
        """Queue every namespace; first those that may refuse Pods until they are planned."""
        names = self.caches.namespaces.names()
        # Also those that were deleted while no watch was open, so that their state is forgotten.
        names += self.status_index.namespaces().difference(names)
        # Before they are queued: the pass would wait for a name that a worker has checked already.
        self.resync.begin(names)
        # The API server refuses Pods of a ServiceAccount that enforces its references until the references are there.
        self.queue.add(*filter(self.caches.enforces_references, names), lane=Lane.URGENT)
        self.queue.add_all(names)

    def _source_changed(self, source: Source) -> None:
        self.reporter.source_changed(source)
        self.renewer.changed()
        self.expiry.changed()

    def _contents_changed(self) -> None:
        if self._state is not None:
            self._state.changed()
        # A rotation that is rolled out in stages takes as long as these.
        hashes = {name: digest for name, digest in self.sources.hashes().items() if isinstance(digest, str)}
        self.rotations.follow(hashes, measured=self._leading.is_set() and self.resync.is_complete)
        self.enqueue_all()

    @property
    def is_leading(self) -> bool:
        """True if this process has begun to write."""
        return self._leading_since is not None

    def rollout_progress(self, name: str, rollout: Rollout) -> Progress:
        """Return the copies of a pull secret that its rollout has reached."""
        return self._rollout_reach.progress(self.configuration, name, rollout)

    def _in_canary(self, name: str, content: str) -> list[str]:
        return self._rollout_reach.in_canary(self.configuration, name, content)

    def rollout_moved(self, name: str, before: Rollout | None, after: Rollout) -> None:
        """Queue the namespaces whose content has changed, those of the canary first."""
        entry = next((entry for entry in self.configuration.pull_secrets if entry.name == name), None)
        if entry is not None and entry.rollout is not None:
            self.reporter.rollout_moved(entry, before, after)
            # As changed names: the canary must not wait behind the pass over all namespaces below.
            self.queue.add(*filter(entry.rollout.is_canary, self.caches.namespaces.names()))
            if after.stage is Stage.ROLLING_OUT:
                outdated = self._rollout_reach.outdated(self.configuration, name, after.proposed)
                # Before they are queued: a worker would book a turn in the order of the queue, without the priorities.
                self._copy_rate.book(name, after.proposed, outdated)
                self.queue.add_all(outdated)
        self.enqueue_all()

    def rollouts_to_store(self) -> None:
        """Request that the states of the rollouts are stored."""
        if self._state is not None:
            self._state.changed()

    def _watch_broke(self, collection: Collection, cause: str) -> None:
        self._metrics.watch_restarted(collection.resource.plural, cause)
        self.reporter.watch_broke(collection, cause)

    def _copy_failed(self, namespace: str, secret: str, error: ApiError) -> None:
        self.status_index.copy_failed(namespace, secret, result_of(error))

    def _resync_periodically(self) -> None:
        while not self._stopping.wait(RESYNC_SECONDS):
            self.enqueue_all()

    def _reclaim_workers(self) -> None:
        """Interrupt writes that hang while other namespaces wait for a worker."""
        slept_at = time.monotonic()
        while not self._stopping.wait(FAIRNESS_SECONDS):
            # This thread was woken late, and so are those that write: on a busy machine a slow write need not hang.
            processor_delay = max(0.0, time.monotonic() - slept_at - FAIRNESS_SECONDS)
            for name, thread in self.queue.overdue(processor_delay):
                if self._connectivity.interrupt(thread):
                    self.queue.interrupted(name)
                    log.info("write interrupted", namespace=name, cause="it hangs while other namespaces wait")
            slept_at = time.monotonic()

    def _run_worker(self) -> None:
        while True:
            if not self._leading.is_set():
                self._leading.wait()
            name = self.queue.get()
            if name is None or self._stopping.is_set():
                return
            try:
                with self._gate.turn(self._stopping) as attempt:
                    # The turn may have waited for the end of an outage, which is not the time of a write.
                    self.queue.restart(name)
                    self._handle(name, attempt)
            except BaseException:
                self.queue.retry(name)  # this thread ends, and the name must not be lost with it
                raise
            finally:
                self.queue.done(name)
                self.resync.checked(name)
                if self.rotations.under_way:
                    self.rotations.observe(self.status_index.counts(self.sources.hashes()))

    def _handle(self, name: str, attempt: Attempt) -> None:
        try:
            wrote = self._reconcile(name)
            if wrote:
                attempt.succeeded()
                self.reporter.writes_resumed()
        except LeadershipLost:
            # The current leader has the name in its own queue. If this process leads again, it must not be lost here.
            self.queue.retry(name, own=False)
            return
        except ApiError as error:
            self.reporter.write_refused(name, error)
            self.status_index.namespace_failed(name, result_of(error))
            # A failure with a response is the namespace's own, and so is a write that was interrupted because it hung.
            # Otherwise the API server was away, or this process found a conflict itself.
            own = not error.is_general and (bool(error.status) or isinstance(error, Interrupted))
            seconds = self.queue.retry(name, error.retry_after or 0.0, self._retry_cap(name, error), own=own)
            log.warning("namespace failed", namespace=name, cause=str(error), retry_in=round(seconds, 2))
            if error.is_general:
                attempt.failed()
            elif error.status:
                attempt.succeeded()
                self.reporter.writes_resumed()
            return
        except Exception:
            self.status_index.namespace_failed(name, Result.ERROR)
            seconds = self.queue.retry(name)
            log.exception("namespace failed", namespace=name, retry_in=round(seconds, 2))
            return
        self.reporter.namespace_done(name)
        self.status_index.namespace_done(name)
        # Before done(), which drops the age of a name only if it does not fail any more.
        self.queue.forget(name)
        self._bring_forward(name, wrote=wrote)

    def _retry_cap(self, name: str, error: ApiError) -> float:
        if error.is_general:
            return OUTAGE_RETRY_CAP
        return PROBE_SECONDS if self._failure_groups.failed(name, error) else RETRY_CAP

    def _bring_forward(self, name: str, *, wrote: bool) -> None:
        """After a write, bring forward the names that failed for the same cause."""
        if wrote:
            self.queue.add_all(self._failure_groups.succeeded(name))
        else:
            self._failure_groups.forget(name)

    def _reconcile(self, name: str) -> bool:
        """Bring a namespace up to date; return True if a write was needed."""
        budget = Budget(lambda: self.queue.progress(name), lambda: self.queue.needs_worker(name))
        wrote, conflicts = False, 0
        while True:
            # Before the caches are read: a change from here on may be missing in this plan, and needs another one.
            self.queue.absorb(name)
            # Read again for each plan: after a conflict the caches have newer objects, and a source may have changed as
            # well.
            contents, hashes = self.sources.usable_contents(name, partial(self.caches.copy, name))
            plan = self._plan(name, hashes)
            if plan.is_empty:
                return wrote or conflicts > 0
            if wrote:
                self.queue.add(name)  # somebody else changed something meanwhile: the turn of this name is over
                return True
            try:
                self._executor.carry_out(name, plan, contents, budget)
            except Unfinished:
                self.queue.add(name, lane=Lane.REST)
                return True
            except Conflict:
                conflicts += 1
                if conflicts == CONFLICT_ATTEMPTS:
                    raise
            else:
                wrote = True  # planned once more, immediately: usually nothing is left, and the status is known

    def _plan(self, name: str, hashes: Mapping[str, str | None]) -> NamespacePlan:
        """Return the writes of a namespace for now; record what was found, and when to look again."""
        planned = self._planner.plan(name, self.configuration, hashes)
        if planned is None:
            self.status_index.record(name, ())
            self.reporter.report_findings(name, ())
            self._filters.forget(name)
            return EMPTY
        self.status_index.record(name, planned.copies, {action.name for action in planned.plan.copies})
        self.reporter.report_findings(name, planned.plan.findings)
        filtered = self._filters.filter(planned)
        if filtered.flapping:
            self.reporter.selection_flapping(name)
        if filtered.requeue_after:
            self.queue.add_later(name, filtered.requeue_after)
        return filtered.plan
