"""Run the ``sync`` process: it wires all parts together, from start to the release of the Lease."""

from __future__ import annotations

import signal
import socket
import threading
import uuid
from typing import TYPE_CHECKING

import structlog
from msgspec.json import encode
from msgspec.structs import replace

from webhook.errors import ApiError, Forbidden, UsageError
from webhook.files.watched_file import POLL_SECONDS, ConfigurationFile
from webhook.kube.connect import connect
from webhook.kube.connectivity import Connectivity
from webhook.kube.events import EventRecorder, Notice, Reference
from webhook.kube.lease import LeaseElection
from webhook.kube.resources import LEASES
from webhook.kube.rights import MissingRights
from webhook.ops.background import bind, in_background
from webhook.ops.health import Health
from webhook.ops.sync_metrics import SyncMetrics
from webhook.ops.threads import Threads
from webhook.ops.waiting import Waiting
from webhook.registries.login import Registries
from webhook.rules.brake import confirm_command
from webhook.sync.configuration import ConfigurationCheck
from webhook.sync.controller import SyncController
from webhook.sync.credential_watch import LoginTester
from webhook.sync.provider_process import deny_core_dumps
from webhook.sync.rollout_tests import RegistryProof
from webhook.sync.status import EXAMPLES, controller_status, leader_status, page_data
from webhook.sync.write_gate import RateLimit, WriteGate

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.kube.client import Client
    from webhook.ops.listener import Listener
    from webhook.ops.page_data import PageData
    from webhook.ops.sync_status import SyncStatus
    from webhook.rules.configuration import Configuration, PullSecret
    from webhook.rules.state_document import LastGood
    from webhook.sync.certificates import CertificateKeeper
    from webhook.sync.rollout_tests import ProofResult
    from webhook.sync.settings import CertificateNames, SyncSettings

log = structlog.get_logger(__name__)

LEASE_REQUEST_SECONDS = 5.0
"""Seconds that one renewal may take. It is one request, so an API server that takes 5 s for each response keeps its
leader. A renewal that hangs leaves time for another one before the renew deadline of 10 s."""

STOP_SECONDS = 10.0
"""Seconds that the workers may take to finish their current write."""

HEALTH_SECONDS = 0.5
"""Seconds between two checks of the conditions of readiness."""


def run(settings: SyncSettings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        UsageError: an operator's input cannot be used; found before any write.
    """
    file = ConfigurationFile(settings.config, settings.release.namespace)
    configuration = file.load()
    # Before the first credential is read.
    deny_core_dumps()
    metrics = SyncMetrics()
    # First, so that a port in use is an error of the command line, and not of a running process.
    with bind(settings.bind_address, settings.metrics_port, "--metrics-port") as bound:
        connectivity, rights = Connectivity(), MissingRights()
        gate = WriteGate(connectivity, RateLimit(settings.writes_per_second, waited=metrics.paced))
        client = connect(
            settings.kubeconfig,
            observer=metrics.requested,
            on_throttled=gate.rate_limit.throttled,
            connectivity=connectivity,
            rights=rights,
        )
        _probe(client)
        process = _Process(settings, file, configuration, client, metrics, gate, rights)
        with in_background(lambda: process.ops(bound), "ops", listening=bound):
            port = bound.getsockname()[1]
            log.info("started", api_server=client.host, metrics_port=port, workers=settings.workers)
            process.run_until_signalled()
    log.info("stopped")


def _probe(client: Client) -> None:
    """Request the version of the API server, so that a wrong address or an expired credential is reported early."""
    try:
        client.request("GET", "/version")
    except ApiError as error:
        if isinstance(error, Forbidden):
            message = f"the API server at {client.host} refuses the credentials ({error.status}): check --kubeconfig"
            raise UsageError(message) from None
        # An API server that is not up yet is not a mistake: the controller waits for it.
        log.warning("api server not reached", api_server=client.host, cause=str(error))


class _Process:
    def __init__(
        self,
        settings: SyncSettings,
        file: ConfigurationFile,
        configuration: Configuration,
        client: Client,
        metrics: SyncMetrics,
        gate: WriteGate,
        rights: MissingRights,
    ) -> None:
        self._settings = settings
        self._file = file
        self._rights = rights
        self._configuration_problem = ""
        self._metrics = metrics
        self._gate = gate
        self._connectivity = client.connectivity
        self.health = Health()
        self.alive = Health("livez")
        self._stopping = threading.Event()
        self._recorder = EventRecorder(client, pace=gate.rate_limit.wait)
        self._configuration_check: ConfigurationCheck | None = None
        self._election = self._make_election(settings)
        if self._election is not None:
            gate.set_election(self._election.is_leading)
        self._logins = _make_logins() if settings.login_seconds is not None else None
        self._controller = SyncController(
            client,
            settings.release,
            configuration,
            self._recorder,
            metrics,
            gate,
            self._logins,
            settings.state_secret,
            providers=settings.providers,
            prove=self._prove,
        )
        self._threads = Threads(self._stopping)
        for name, threads in (("sync threads", self._controller.threads), ("process threads", self._threads)):
            self.alive.check(name).follows(threads.problem)
        self._client = client
        self._certificates: CertificateKeeper | None = None
        metrics.configuration_accepted()
        metrics.follow_state(lambda: self.status(examples=0))

    def status(self, examples: int = EXAMPLES) -> SyncStatus:
        """Return the status of this process, with up to so many examples in each list that grows with the cluster."""
        leader = leader_status(self._controller, self._settings.lease_name or "", self._election)
        return controller_status(
            self._controller, self._settings.release, leader, self._gate.rate_limit.paused_seconds, examples
        )

    def run_until_signalled(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        # Outages are watched from before the first list, so that the lists pause with everything else.
        self._connectivity.start(self._make_probe())
        self._recorder.start()
        # Before the caches: who leads before they are read need not read them again to take over.
        if self._election is not None:
            self._election.start()
        self._controller.start(self._settings.workers)
        self._threads.start(self._watch_configuration, "configuration")
        if self._logins is not None:
            self._threads.start(lambda: self._test_logins(self._logins), "logins")
        if self._election is None:
            self._set_leading(leading=True)
        if self._settings.certificates is not None:
            self._certificates = self._start_certificates(self._settings.certificates)
        # Python runs signal handlers in the main thread, so this one stays in a loop of short waits.
        self._watch_health(self._make_waiting())
        self._stop()

    def ops(self, bound: socket.socket) -> Listener:
        """Return the server of the plain-HTTP port. Starlette and uvicorn are imported here, on first use."""
        from webhook.ops.app import ops_app  # noqa: PLC0415 - see above
        from webhook.ops.listener import Listener  # noqa: PLC0415 - see above

        page = self._page_data if self._settings.status_page else None
        metrics, hosts = self._metrics, self._settings.allowed_hosts
        app = ops_app(
            self.health, metrics.registry, lambda: encode(self.status()), page, self.alive, allowed_hosts=hosts
        )
        return Listener(app, bound, metrics.port_counters)

    def _page_data(self) -> PageData:
        certificates = self._metrics.certificates
        status, settings = self.status(), self._settings
        return replace(
            page_data(self._controller, status, self.health, self._recorder, certificates),
            cluster=settings.cluster_name,
            confirm_command=confirm_command(
                settings.release.namespace, settings.state_secret, status.held_configuration
            ),
            port=settings.metrics_port if settings.kubeconfig is None else 0,
        )

    def _start_certificates(self, names: CertificateNames) -> CertificateKeeper:
        # Imported late: the controller need not wait for cryptography to be imported.
        from webhook.sync.certificates import CertificateKeeper  # noqa: PLC0415 - see above

        keeper = CertificateKeeper(
            self._gate.fenced(self._client),
            self._settings.release.namespace,
            names,
            self._gate,
            self._recorder,
            self._metrics.certificates,
            self._settings.lifetimes,
        )
        keeper.start()
        return keeper

    def _stop(self) -> None:
        # Writing ends before the Lease is released: two processes never write at the same time.
        self._gate.close()
        self._controller.stop(STOP_SECONDS)
        if self._certificates is not None:
            self._certificates.stop(STOP_SECONDS)
        if self._election is not None:
            self._election.stop()
        self._recorder.stop(STOP_SECONDS)
        self._connectivity.stop()

    def _make_probe(self) -> Callable[[], object]:
        """Return the probe for an API server that does not respond: a read of the Lease, which is needed most."""
        settings = self._settings
        # Without the shared connectivity, which notes the outcome of each probe itself.
        client = connect(settings.kubeconfig, observer=self._metrics.requested, request_timeout=LEASE_REQUEST_SECONDS)

        def probe() -> object:
            client.reconnect()  # an idle connection may be as dead as the others
            if settings.lease_name is None:
                return client.request("GET", "/version")
            return client.get(LEASES, settings.lease_name, settings.release.namespace)

        return probe

    def _make_election(self, settings: SyncSettings) -> LeaseElection | None:
        if settings.lease_name is None:
            return None
        # A client of its own, because only requests about the Lease have such a short timeout.
        client = connect(
            settings.kubeconfig,
            observer=self._metrics.requested,
            connectivity=self._connectivity,
            request_timeout=LEASE_REQUEST_SECONDS,
            rights=self._rights,
        )
        identity, namespace = f"{socket.gethostname()}_{uuid.uuid4()}", settings.release.namespace
        if settings.config_map:
            self._configuration_check = ConfigurationCheck(client, namespace, settings.config_map, self._file)
        return LeaseElection(
            client, namespace, settings.lease_name, identity, self._set_leading, candidacy=self._configuration_check
        )

    def _set_leading(self, leading: bool) -> None:
        # The election calls this between two renewals of the Lease, so it must not wait.
        self._controller.set_leading(leading)
        if self._certificates is not None:
            self._certificates.set_leading(leading)

    def _watch_configuration(self) -> None:
        file, check = self._file, self._configuration_check
        while not self._stopping.wait(POLL_SECONDS):
            before = file.digest
            file.check(self._accept_configuration, self._refuse_configuration)
            # The Lease gets the new revision with its next renewal, so a later leader knows what was in force.
            if check is not None and file.digest != before:
                check.file_changed()

    def _accept_configuration(self, configuration: Configuration) -> None:
        log.info("configuration accepted", pull_secrets=[entry.name for entry in configuration.pull_secrets])
        self._controller.reconfigure(configuration)
        self._configuration_problem = ""
        # Last, so that the metric does not count a configuration that is not in force yet.
        self._metrics.configuration_accepted()

    def _refuse_configuration(self, error: UsageError) -> None:
        log.error("configuration refused", cause=str(error))
        self._metrics.configuration_refused()
        self._configuration_problem = str(error)
        namespace = self._settings.release.namespace
        regarding = Reference("v1", "Namespace", namespace, namespace)
        self._recorder.record(Notice(regarding, "ConfigurationInvalid", f"{error}; the previous one stays in force"))

    def _test_logins(self, logins: LoginTester | None) -> None:
        while logins is not None and not self._stopping.wait(self._settings.login_seconds):
            # Only the leader sends credentials to registries.
            if not self._gate.leads():
                continue
            # A registry can accept a credential later, without a new version of the source.
            for source in logins.held():
                self._controller.sources.rejudge(source)
            logins.test_all(
                self._controller.sources.sources(), lambda: self._gate.leads() and not self._stopping.is_set()
            )

    def _make_waiting(self) -> Waiting:
        """Return the report of the conditions that only a person or another process can fulfil."""
        waiting, check = Waiting(), self.health.check
        waiting.follow("lists", self._controller.caches.unsynced)
        waiting.follow("watches", lambda: map(str, self._controller.caches.not_renewed()))
        waiting.follow("rights", self._rights.sentences, check("rights"))
        waiting.follow("sources", self._missing_sources, check("sources"))
        waiting.follow("lease", self._unusable_lease, check("lease"))
        waiting.follow("configuration", self._awaited_configuration, check("configuration"))
        return waiting

    def _missing_sources(self) -> list[str]:
        namespace = self._settings.release.namespace
        return [f"Secret {namespace}/{name}" for name in self._controller.sources.missing()]

    def _unusable_lease(self) -> list[str]:
        election = self._election
        if election is None or not election.problem:
            return []
        lease = f"{self._settings.release.namespace}/{self._settings.lease_name}"
        return [f"Lease {lease} that can be read and written: {election.problem}"]

    def _awaited_configuration(self) -> list[str]:
        problem, check, election = self._configuration_problem, self._configuration_check, self._election
        awaited = [problem and f"a valid configuration: {problem}"]
        if check is not None and election is not None and election.abstains:
            awaited.append(check.awaited)
        return [cause for cause in awaited if cause]

    def _prove(self, entry: PullSecret, base: LastGood | None, proposed: LastGood) -> ProofResult | None:
        proof = RegistryProof(Registries(), self._controller.images_of_pods, self._stopping.is_set)
        return proof(entry, base, proposed)

    def _watch_health(self, waiting: Waiting) -> None:
        check = self.health.check("caches")
        while not self._stopping.is_set():
            unread = ", ".join(self._controller.caches.unsynced())
            check.note = f"not read yet: {unread}" if unread else ""
            if self._controller.caches.has_synced:
                check.passes()
            else:
                check.fails(check.note)
            waiting.poll()
            self._stopping.wait(HEALTH_SECONDS)


def _make_logins() -> LoginTester:
    registries = Registries()
    return LoginTester(registries.log_in)
