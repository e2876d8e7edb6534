"""Steady creates of Pods through the API server, each answer of which is looked at."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from types import TracebackType
from typing import Protocol, Self

from tests.cluster.supervise import wait_until
from tests.integration.site.playground import COPY, names, pod

WEBHOOK = "pods.pullsecrets.webhook"
THEIRS = "theirs"
# With a list of its own: a Pod without one gets its ServiceAccount's before any webhook is asked. Nobody schedules it.
POD = {
    **pod("", imagePullSecrets=[{"name": THEIRS}], schedulerName="nobody"),
    "metadata": {"generateName": "steady-"},
}

_THREADS = 4


class ApiServer(Protocol):
    """An API server, as far as it takes to create Pods and to count what it made of them."""

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection with credentials that it accepts."""

    def metrics(self) -> str:
        """Return its own metrics, in the Prometheus text format."""


class SteadyCreates:
    """Creates Pods while its ``with`` block lasts, as many a second as told, and keeps count of what came back.

    By dry run, or with ``stored`` for good: then they stay, and never run.
    """

    def __init__(self, server: ApiServer, namespace: str, per_second: float = 160, *, stored: bool = False) -> None:
        self._connect = server.connect
        self._path = f"/api/v1/namespaces/{namespace}/pods{'' if stored else '?dryRun=All'}"
        self._body = json.dumps(POD).encode()
        self._seconds_between = _THREADS / per_second
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._create_until_the_end) for _ in range(_THREADS)]
        self.patched = 0
        self.failures: list[str] = []
        self.started = self.ended = 0.0

    @property
    def per_second(self) -> float:
        """Creates a second, once the block is over."""
        return self.patched / (self.ended - self.started)

    def _create_until_the_end(self) -> None:
        connection = self._connect()
        due = time.monotonic()
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._seconds_between, time.monotonic() - 1)
            failure = self._create(connection)
            with self._lock:
                if failure:
                    self.failures.append(failure)
                else:
                    self.patched += 1
        connection.close()

    def _create(self, connection: http.client.HTTPConnection) -> str | None:
        """Create one Pod; return what is wrong with the answer, if anything."""
        connection.request("POST", self._path, self._body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read()
        if response.status != http.HTTPStatus.CREATED:
            return f"{response.status} {body[:200]!r}"
        found = names(json.loads(body)["spec"])
        return None if found[:2] == [THEIRS, COPY] else f"imagePullSecrets {found}"

    def go_on_until(self, patched: int, timeout_seconds: float = 60) -> None:
        """Wait until so many have come back as they should, or one has not."""
        wait_until(lambda: bool(self.failures) or self.patched >= patched, timeout_seconds)

    def go_on(self, more: int) -> None:
        """Wait until so many more have come back as they should, or one has not, which ``failures`` tells."""
        enough = self.patched + more
        self.go_on_until(enough)
        assert self.failures or self.patched >= enough, f"{self.patched} Pods, not {enough}"

    def __enter__(self) -> Self:
        self.started = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self.ended = time.monotonic()


def failed_open(server: ApiServer) -> int:
    """Return how many calls of the webhook for Pods the API server has given up and let pass."""
    return _count(server, "apiserver_admission_webhook_fail_open_count")


def rejected(server: ApiServer) -> int:
    """Return how many requests the API server has refused because of the webhook for Pods."""
    return _count(server, "apiserver_admission_webhook_rejection_count")


def calls(server: ApiServer) -> int:
    """Return how many calls of the webhook for Pods the API server has counted."""
    return _count(server, "apiserver_admission_webhook_request_total")


def _count(server: ApiServer, metric: str) -> int:
    lines = re.findall(
        rf'^{metric}\{{[^}}]*name="{re.escape(WEBHOOK)}"[^}}]*\}} (\S+)$', server.metrics(), re.MULTILINE
    )
    return sum(int(float(value)) for value in lines)
