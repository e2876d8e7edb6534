"""Assemble, start and stop the process of ``pullsecrets serve``, and log its decisions."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import threading
import time
from typing import TYPE_CHECKING

import msgspec
import structlog
import uvloop

from certs.files import CertificateFiles
from certs.reload import ServingCertificate
from webhook.errors import UsageError
from webhook.files.watched_file import ConfigurationFile
from webhook.http.counters import PortCounters
from webhook.http.limits import raise_file_limit
from webhook.ops.app import ops_app
from webhook.ops.background import bind
from webhook.ops.health import Health
from webhook.ops.listener import Listener
from webhook.ops.metrics import AdmissionMetrics
from webhook.ops.waiting import Waiting
from webhook.rules.scope import scope_of
from webhook.rules.timing import TokenBucket
from webhook.serve import malloc as memory
from webhook.serve.certificate import CertificateLoader
from webhook.serve.decoder import DecoderProcess
from webhook.serve.endpoint import AdmissionApp, AdmissionListener, ClientAuth, MutateEndpoint
from webhook.serve.handler import Handler
from webhook.serve.namespaces import ClusterWatches, NamespaceCache, WatchState

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from certs.files import WatchedFiles
    from webhook.errors import CertificateInvalid
    from webhook.rules.configuration import Configuration
    from webhook.rules.scope import CacheScope
    from webhook.serve.handler import ReviewReply

LINES_PER_SECOND = 5
LINES_BURST = 20
"""For patches at info. A line costs a third of a review; suppressed ones are counted, and metrics count all patches."""


class DecisionLog:
    """Logs decisions. Create it after logging is configured, because it reads the log level only once."""

    __slots__ = ("_bucket", "_log", "_logs_all", "_logs_patches", "_suppressed")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = structlog.get_logger(__name__)
        self._logs_all = self._log.is_enabled_for(logging.DEBUG)
        self._logs_patches = self._log.is_enabled_for(logging.INFO)
        self._bucket = TokenBucket(LINES_PER_SECOND, LINES_BURST, clock)
        self._suppressed = 0

    def answered(self, answer: ReviewReply) -> None:
        """Log one answer, if its level and the rate limit allow it."""
        if answer.added and self._logs_patches:
            if self._bucket.take():
                self._log.info(
                    "references added", names=answer.added, suppressed=self._suppressed, **_log_fields(answer)
                )
                self._suppressed = 0
                return
            # With debug logging each decision has a line of its own, so none is left out.
            self._suppressed += not self._logs_all
        if self._logs_all:
            self._log.debug("admission decided", names=answer.added, **_log_fields(answer))


LONGEST_NAME = 253
"""Characters of a name in the log. The API server allows no more, but other clients may send longer names."""


def _generated_name(generate_name: str) -> str:
    """Return ``web-7d5c9c7b9f-*`` for a name that the API server will generate; a real name cannot contain a star."""
    return f"{generate_name}*" if generate_name else ""


def _log_fields(answer: ReviewReply) -> dict[str, str]:
    return {
        "uid": answer.uid,
        "namespace": answer.namespace[:LONGEST_NAME],
        "resource": answer.resource,
        "object": answer.name[:LONGEST_NAME] or _generated_name(answer.generate_name[:LONGEST_NAME]),
        "operation": answer.operation,
        "reason": answer.reason.value,
    }


log = structlog.get_logger(__name__)


class CertificateSecret(msgspec.Struct, frozen=True):
    """The Secret that contains the serving certificate; it is watched by name."""

    namespace: str
    name: str


CertificateSource = CertificateFiles | CertificateSecret


class ServeOptions(msgspec.Struct, frozen=True):
    """The flags of ``serve``."""

    config: Path
    kubeconfig: Path | None
    namespace: str
    bind_address: str
    secure_port: int
    metrics_port: int
    certificate: CertificateSource
    drain_seconds: float
    tls_min_version: ssl.TLSVersion
    callers: ClientAuth | None
    """None accepts all clients; then only the network decides who reaches the port."""
    allowed_hosts: tuple[str, ...] = ()
    """Additional host names of the plain-HTTP port, besides those of the cluster."""


def run(options: ServeOptions) -> None:
    """Serve until a signal ends it. Raises UsageError when it cannot start."""
    # First, because the listeners derive their numbers of connections from the limit.
    raise_file_limit()
    # Before any thread exists: M_ARENA_MAX has no effect on heaps that a thread already has.
    memory.configure()
    # Before the ports, so that a process with an unusable configuration never accepts a connection.
    file = ConfigurationFile(options.config, options.namespace)
    process = _Process(options, file.load())
    admission, ops = process.listeners()
    stop = threading.Event()
    process.load_certificate(stop)
    process.watch_namespaces_if_needed()
    process.report_waiting(stop)
    # Last of the threads, because its callbacks use the watches and the metrics without a lock.
    threading.Thread(
        target=file.watch,
        args=(process.on_configuration, process.on_invalid_configuration, stop),
        name="configuration",
        daemon=True,
    ).start()
    # Objects made so far stay. Without the freeze, a full collection would scan all of them while reviews wait.
    memory.trim()
    gc.freeze()
    log.info("serving", secure_port=admission.port, metrics_port=ops.port)
    try:
        uvloop.run(serve_until_signalled(admission, ops, process.begin_drain, options.drain_seconds))
    finally:
        # It wakes the threads that poll. They are daemons, so the process does not wait for their end.
        stop.set()
        process.watches.stop()


class _Observers:
    """Reports each request to the metrics and the log."""

    __slots__ = ("_count", "_write", "refused")

    def __init__(self, metrics: AdmissionMetrics, decisions: DecisionLog) -> None:
        self._count = metrics.answered
        self._write = decisions.answered
        self.refused = metrics.refused

    def answered(self, answer: ReviewReply, seconds: float) -> None:
        self._count(answer, seconds)
        self._write(answer)


class _Process:
    """The parts of one process, and their reactions to events while it runs."""

    def __init__(self, options: ServeOptions, configuration: Configuration) -> None:
        self._options = options
        self._configuration = configuration
        self._health = Health()
        self._shutdown_check = self._health.check("shutdown")
        self._shutdown_check.passes()
        self._serving_certificate = ServingCertificate(
            options.tls_min_version, verifies_clients=options.callers is not None
        )
        self._namespaces = NamespaceCache()
        self._namespace_scope: CacheScope | None = None
        # A configuration is replaced by one assignment, and each decision reads it once. So a decision never mixes two.
        handler = Handler(lambda: self._configuration, self._namespaces.get, DecoderProcess().parse)
        counters = PortCounters()
        self._metrics = AdmissionMetrics(counters)
        self._metrics.configuration_accepted()
        self._endpoint = MutateEndpoint(handler.handle, _Observers(self._metrics, DecisionLog()), counters)
        self.watches = ClusterWatches(options.kubeconfig)
        self._namespace_watch: WatchState | None = None
        self._configuration_problem = ""

    def listeners(self) -> tuple[AdmissionListener, Listener]:
        """Return the servers of both ports, with bound sockets."""
        address = self._options.bind_address
        secure = bind(address, self._options.secure_port, "--secure-port")
        plain = bind(address, self._options.metrics_port, "--metrics-port")
        # The context is complete before the first certificate is loaded, so that the port can already listen: see
        # certs/reload.py.
        context, callers = self._serving_certificate.context, self._options.callers
        admission = AdmissionListener(AdmissionApp(self._endpoint), secure, context, callers=callers)
        ops = ops_app(self._health, self._metrics.registry, allowed_hosts=self._options.allowed_hosts)
        return admission, Listener(ops, plain, self._metrics.port_counters)

    def load_certificate(self, stop: threading.Event) -> None:
        """Load the certificate and each later one."""
        loader = CertificateLoader(self._serving_certificate, self._health.check("certificate"), self._metrics)
        callers = self._options.callers
        if callers is not None:
            _watch_files(callers.authorities, loader.load_client_authorities, loader.report_refused_authorities, stop)
        source = self._options.certificate
        if isinstance(source, CertificateSecret):
            self.watches.watch_certificate(source.namespace, source.name, loader)
            secret = f"{source.namespace}/{source.name}"
            threading.Thread(
                target=loader.wait_for, args=(secret, stop), name="certificate awaited", daemon=True
            ).start()
        else:
            _watch_files(source, loader.load, loader.report_refused, stop)

    def watch_namespaces_if_needed(self) -> None:
        """Watch namespaces if the configuration depends on their labels. Raises UsageError as for the watch.

        At the start, the process is not ready before it has listed them. If a later configuration needs them, it stays
        ready. Otherwise all replicas would become unready, because they read the same document.
        """
        if self._configuration.needs_namespace_labels:
            state = self._watch_state()
            state.require()
            self._watch_namespaces(state, scope_of(self._configuration))

    def _watch_state(self) -> WatchState:
        # A new state for each watch, because callbacks of the watch that ends still write to the old one.
        state = WatchState(self._health.check("namespaces"))
        self._namespace_watch = state
        self._metrics.follow_staleness(lambda: state.stale_seconds)
        return state

    def _watch_namespaces(self, state: WatchState, scope: CacheScope) -> None:
        self.watches.watch_namespaces(self._namespaces, state, scope)
        self._namespace_scope = scope

    def on_configuration(self, configuration: Configuration) -> None:
        """Put another configuration into force."""
        # Labels that the new configuration needs are read first; its decisions must not rest on labels that were not
        # kept.
        self._extend_namespaces(configuration)
        self._configuration = configuration
        self._configuration_problem = ""
        self._metrics.configuration_accepted()
        log.info("configuration in force", pull_secrets=[entry.name for entry in configuration.pull_secrets])

    def _extend_namespaces(self, configuration: Configuration) -> None:
        scope, before = scope_of(configuration), self._namespace_scope
        if not configuration.needs_namespace_labels or (before is not None and before.covers(scope)):
            return
        state = self._watch_state()
        # A replica that becomes unready because of a new configuration would do so together with all others.
        state.tolerate()
        try:
            self._watch_namespaces(state, scope)
        # The scope stays unset, so the next configuration that needs namespaces tries again.
        except UsageError as error:
            state.lost(str(error))

    def on_invalid_configuration(self, error: UsageError) -> None:
        """Keep the configuration in force, and report the problem of the new one."""
        log.warning("configuration refused", cause=str(error))
        self._configuration_problem = str(error)
        self._metrics.configuration_refused()

    def report_waiting(self, stop: threading.Event) -> None:
        """Start to report missing inputs; the certificate has its own report."""
        waiting, check = Waiting(), self._health.check
        waiting.follow("namespaces", self._awaited_namespaces)
        waiting.follow("rights", self.watches.rights.sentences, check("rights"))
        waiting.follow("configuration", self._refused_configuration, check("configuration"))
        threading.Thread(target=waiting.watch, args=(stop,), name="waiting", daemon=True).start()

    def _awaited_namespaces(self) -> list[str]:
        return [] if self._namespace_watch is None else self._namespace_watch.awaited

    def _refused_configuration(self) -> list[str]:
        problem = self._configuration_problem
        return [f"a valid configuration: {problem}"] if problem else []

    def begin_drain(self) -> None:
        """Become unready, and make each client reconnect to another replica after its next answer."""
        # Readiness ends first, so that new connections go to other replicas while this one still answers.
        self._shutdown_check.fails("draining")
        self._endpoint.draining = True


def _watch_files(
    files: WatchedFiles,
    load: Callable[..., None],
    on_invalid: Callable[[CertificateInvalid], None],
    stop: threading.Event,
) -> None:
    """Load ``files`` now, and again after each change. Raises CertificateInvalid when they are unusable now."""
    files.load(load)
    name = " ".join(path.name for path in files.paths)
    threading.Thread(target=files.watch, args=(load, on_invalid, stop), name=name, daemon=True).start()


async def serve_until_signalled(
    admission: Listener, ops: Listener, begin_drain: Callable[[], None], drain_seconds: float
) -> None:
    """Serve on both ports until SIGTERM or SIGINT.

    SIGTERM calls ``begin_drain``, and requests are still served for ``drain_seconds``, because the API server may keep
    connections to a replica that has left the Service. A second SIGTERM, or SIGINT at any time, ends the drain
    immediately.
    """
    draining, immediately = asyncio.Event(), asyncio.Event()

    def terminate() -> None:
        (immediately if draining.is_set() else draining).set()

    def interrupt() -> None:
        draining.set()
        immediately.set()

    loop = asyncio.get_running_loop()
    # On the event loop and not with signal.signal(): a Python handler would run between any two instructions of a
    # review.
    loop.add_signal_handler(signal.SIGTERM, terminate)
    loop.add_signal_handler(signal.SIGINT, interrupt)
    # If one port fails, the group cancels the other one, and the process ends with the error.
    async with asyncio.TaskGroup() as listeners:
        serving = listeners.create_task(admission.listen())
        listeners.create_task(ops.listen())
        await draining.wait()
        begin_drain()
        log.info("draining", seconds=drain_seconds)
        await _wait(immediately, drain_seconds)
        # The metrics port stays until the reviews have ended, so that the kubelet's probes and a last scrape still get
        # an answer.
        admission.should_exit, admission.force_exit = True, immediately.is_set()
        await serving
        ops.should_exit = True
    log.info("stopped")


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
