"""An executor by itself, on the fake API server, and what people do to the one namespace that it works on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from tests.unit.sync.world import BY_US, CONFIGURATION, OURS, RELEASE, docker_config, put_namespace, secret_path
from webhook.kube.client import Client
from webhook.rules.actions import NamespacePlan
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE
from webhook.rules.plan import plan_namespace
from webhook.sync.caches import Caches
from webhook.sync.contention import Contention
from webhook.sync.executor import Executor
from webhook.sync.source import Content
from webhook.sync.sources import SourceStore
from webhook.sync.writes import WebhookReach, Writes


class Hands:
    """An executor on caches that follow the API server, and a lease that can be lost."""

    def __init__(self, client: Client) -> None:
        self.leads: Callable[[], bool] = lambda: True
        self.wrote: list[str] = []
        self.sources = SourceStore(lambda: None, lambda _: None, lambda *_: None)
        self.caches = Caches(client, RELEASE, self.sources, lambda _: None, lambda *_: None, lambda: None)
        self.failed: list[str] = []
        self.contention = Contention()
        self.reach = WebhookReach()
        self.reach.observe(added=False)  # the fake API server calls no webhook
        writes = Writes(client, RELEASE, self.caches, self.contention, self._may_write, self._wrote, self.reach)
        self.executor = Executor(writes, lambda _namespace, secret, _error: self.failed.append(secret))
        self.sources.configure(CONFIGURATION)
        self.caches.configure(CONFIGURATION)
        until(lambda: not self.caches.unsynced())

    def _may_write(self) -> bool:
        return self.leads()

    def _wrote(self, action: str, result: str) -> None:
        self.wrote.append(action if result == "ok" else f"{action}: {result}")

    def plan(self) -> NamespacePlan:
        namespace = self.caches.namespaces.get("a")
        assert namespace is not None
        _, hashes = self.sources.usable_contents("a", partial(self.caches.copy, "a"))
        return plan_namespace(self.caches.state_of(namespace), CONFIGURATION, hashes)

    def contents(self) -> Mapping[str, Content]:
        contents, _ = self.sources.usable_contents("a", partial(self.caches.copy, "a"))
        return contents

    def act(self, plan: NamespacePlan | None = None) -> None:
        self.executor.carry_out("a", plan or self.plan(), self.contents())

    def stop(self) -> None:
        self.caches.stop()
        for reflector in self.caches._reflectors.values():
            reflector.join(5.0)


def opt_out(api: FakeApiServer, hands: Hands) -> NamespacePlan:
    put_namespace(api, "a", "no")
    until(lambda: hands.plan().deletions)
    return hands.plan()


def put_copy(api: FakeApiServer, **changes: Any) -> None:  # noqa: ANN401
    body = {"type": COPY_TYPE, "data": {COPY_KEY: docker_config("old")}, "metadata": {"labels": OURS}}
    api.put(secret_path("a"), {**body, **changes}, **BY_US)
