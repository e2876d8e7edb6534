"""A running loop on the fake API server, and the few words that tests of it are written in."""

from __future__ import annotations

from pathlib import Path

from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.fake_apiserver.storage import Object
from tests.unit.polling import until
from tests.unit.sync.queues import is_idle
from tests.unit.sync.world import (
    CONFIGURATION,
    RELEASE,
    copy_in,
    docker_config,
    password_in,
    put_account,
    put_namespace,
    references_in,
    secret_path,
)
from webhook.kube.client import Client
from webhook.kube.events import EventRecorder
from webhook.ops.sync_metrics import SyncMetrics
from webhook.rules.configuration import Configuration
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE
from webhook.sync.controller import SyncController
from webhook.sync.credential_watch import LoginTester
from webhook.sync.rollout_tests import Prove
from webhook.sync.write_gate import WriteGate

WRITES = ("apply", "patch", "delete", "create")


class Running:
    """A loop with all that belongs to it but the election."""

    def __init__(
        self,
        client: Client,
        logins: LoginTester | None = None,
        configuration: Configuration = CONFIGURATION,
        providers: Path | None = None,
        state_secret: str = "",
        prove: Prove | None = None,
    ) -> None:
        self.leads = True
        self.metrics = SyncMetrics()
        self.recorder = EventRecorder(client)
        self.gate = WriteGate(client.connectivity)
        self.gate.set_election(lambda: self.leads)
        self.loop = SyncController(
            client,
            RELEASE,
            configuration,
            self.recorder,
            self.metrics,
            self.gate,
            logins,
            state_secret,
            providers=providers,
            prove=prove,
        )

    def start(self, *, leading: bool = True) -> None:
        self.recorder.start()
        self.loop.start(workers=2)
        self.leads = leading
        self.loop.set_leading(leading)

    def stop(self) -> None:
        self.loop.stop(5.0)
        for reflector in self.loop.caches._reflectors.values():
            reflector.join(5.0)
        self.recorder.stop(5.0)

    def settle(self) -> None:
        """Wait until all is known and nothing is left to be done."""
        until(lambda: not self.loop.caches.unsynced() and is_idle(self.loop.queue))


def opt_in(api: FakeApiServer, name: str = "a") -> None:
    put_account(api, name, "mine")
    put_namespace(api, name)


def is_right(api: FakeApiServer, name: str = "a", password: str = "first") -> bool:  # noqa: S107
    return password_in(copy_in(api, name)) == password and references_in(api, name) == ["mine", "pull"]


def is_clean(api: FakeApiServer, name: str = "a") -> bool:
    return copy_in(api, name) is None and references_in(api, name) == ["mine"]


def events(api: FakeApiServer) -> list[Object]:
    """What Events have been written."""
    return [change.object for change in list(api.storage.history) if change.collection == "api/v1/events"]


def reasons(api: FakeApiServer) -> set[str]:
    """What Events have been written, by their reasons."""
    return {event["reason"] for event in events(api)}


def put_foreign(api: FakeApiServer) -> None:
    api.put(secret_path("a"), {"type": COPY_TYPE, "data": {COPY_KEY: docker_config("theirs")}})


def writes(api: FakeApiServer) -> int:
    return len([request for request in api.seen(*WRITES) if request.target.plural != "events"])
