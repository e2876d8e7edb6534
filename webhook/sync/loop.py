"""The sync loop: a namespace whose name comes out of the queue is made as the configuration wants it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from webhook.core.plan import EMPTY, plan_namespace
from webhook.errors import ApiError, Conflict
from webhook.observe.sync_metrics import SyncState
from webhook.sync.caches import Caches
from webhook.sync.executor import Deposed, Executor
from webhook.sync.notices import Notices
from webhook.sync.queue import WorkQueue
from webhook.sync.sources import SourceBook

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.core.model import Configuration
    from webhook.core.plan import NamespacePlan
    from webhook.kube.client import Client
    from webhook.kube.events import EventRecorder
    from webhook.observe.sync_metrics import SyncMetrics
    from webhook.sync.release import Release

log = structlog.get_logger(__name__)

FULL_PASS_SECONDS = 600.0
"""How often every namespace is looked at without a cause: it costs no request where all is well."""

CONFLICT_ATTEMPTS = 5
"""Plans made anew at once when another writer was first; beyond that the name backs off like after any failure."""


class SyncLoop:
    """Keeps every selected namespace as the configuration wants it, while ``may_write()``.

    On a process that stands by, the caches are filled and the queue gathers names all the same: so a takeover begins
    with the first write, not with a list of the whole cluster.
    """

    def __init__(
        self,
        client: Client,
        release: Release,
        configuration: Configuration,
        recorder: EventRecorder,
        metrics: SyncMetrics,
        may_write: Callable[[], bool],
    ) -> None:
        self._configuration = configuration
        self._metrics = metrics
        self._notices = Notices(recorder, release)
        self.queue = WorkQueue()
        self.sources = SourceBook(self.look_at_everything, self._notices.source_changed, self._notices.clashed)
        self.caches = Caches(
            client,
            release,
            self.sources,
            self.queue.add,
            self.look_at_everything,
            lambda collection, cause: metrics.watch_restarted(collection.resource.plural, cause),
        )
        metrics.follow_queue(self.queue.__len__, self.queue.oldest_wait)
        metrics.follow_state(self._state)
        self._executor = Executor(client, release, self.caches, may_write, metrics.wrote)
        self._leading = threading.Event()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, workers: int) -> None:
        """Begin to watch, and have ``workers`` threads wait for leadership."""
        self.sources.configure(self._configuration)
        self.caches.configure(self._configuration)
        for number in range(workers):
            self._start_thread(self._work, f"worker {number}")
        self._start_thread(self._pass_regularly, "full pass")

    def stop(self, timeout: float) -> None:
        """Let the workers finish the write they are at, and end, for at most ``timeout`` seconds."""
        self._stopping.set()
        self._leading.set()
        self.queue.close()
        for thread in self._threads:
            thread.join(timeout)
        self.caches.stop()

    def reconfigure(self, configuration: Configuration) -> None:
        """Take a new configuration into force."""
        forgotten = set(self._configuration.secret_names) - set(configuration.secret_names)
        if forgotten:
            # With the name the right to the copies is gone too: only a person can put this right.
            log.warning(
                "pull secrets forgotten: list them under retired to have their copies removed", names=sorted(forgotten)
            )
        self._configuration = configuration
        self.sources.configure(configuration)
        self.caches.configure(configuration)
        self.look_at_everything()

    def lead(self, leading: bool) -> None:
        """Begin to write, or stop: told by the election."""
        if leading:
            self._leading.set()
            self.look_at_everything()
        else:
            self._leading.clear()

    def look_at_everything(self) -> None:
        """Put every namespace into the queue."""
        self.queue.add_all(self.caches.namespaces.names())

    def _state(self) -> SyncState:
        problems = self.sources.problems()
        names = [entry.name for entry in self._configuration.pull_secrets]
        return SyncState(
            sources={source.name: source.problem is None for source in self.sources.sources()},
            pull_secrets={name: name not in problems for name in names},
            conflicts=self._notices.conflicts(names),
            watches_down=len(self.caches.disconnected()),
        )

    def _start_thread(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _pass_regularly(self) -> None:
        while not self._stopping.wait(FULL_PASS_SECONDS):
            self.look_at_everything()

    def _work(self) -> None:
        while True:
            self._leading.wait()
            name = self.queue.get()
            if name is None or self._stopping.is_set():
                return
            try:
                self._handle(name)
            finally:
                self.queue.done(name)

    def _handle(self, name: str) -> None:
        try:
            with self._metrics.reconciling():
                self._reconcile(name)
        except Deposed:
            # Whoever leads now has the name in its own queue; should that be us again, it must not be lost here.
            self.queue.retry(name)
            return
        except ApiError as error:
            self._notices.failed(name, error)
            seconds = self.queue.retry(name, error.retry_after or 0.0)
            log.warning("namespace failed", namespace=name, cause=str(error), retry_in=round(seconds, 2))
            return
        except Exception:
            seconds = self.queue.retry(name)
            log.exception("namespace failed", namespace=name, retry_in=round(seconds, 2))
            return
        self.queue.forget(name)

    def _reconcile(self, name: str) -> None:
        for attempt in range(1, CONFLICT_ATTEMPTS + 1):
            contents = self.sources.contents()
            plan = self._plan(name, {secret: content.hash for secret, content in contents.items()})
            if plan.is_empty:
                return
            try:
                self._executor.carry_out(name, plan, contents)
            except Conflict:
                if attempt == CONFLICT_ATTEMPTS:
                    raise
            else:
                return

    def _plan(self, name: str, hashes: dict[str, str | None]) -> NamespacePlan:
        namespace = self.caches.namespaces.get(name)
        if namespace is None or not self.caches.has_synced:
            self._notices.found(name, ())
            return EMPTY
        configuration = self.caches.known_part(self._configuration)
        plan = plan_namespace(self.caches.state_of(namespace), configuration, hashes)
        self._notices.found(name, plan.findings)
        return plan
