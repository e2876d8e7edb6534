"""A webhook that is full answers 429 with ``Retry-After``: what the real API server makes of that."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.cluster.api import Answer
from tests.cluster.processes import PullSecrets
from tests.integration.site.creates import calls, failed_open
from tests.integration.site.playground import COPY, Playground, eventually, names, pod
from webhook.serve.endpoint import MAX_HELD_BY_LARGE, SMALL_BODY

MIB = 1024 * 1024
THEIRS = "theirs"
PATIENCE_SECONDS, SHORT_SECONDS = 12, 3
"""The API server's ``timeoutSeconds``: longer than a flood, and shorter. The webhook cuts off a body after 15 s."""

HEAD = b"POST /mutate HTTP/1.1\r\nHost: webhook\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
HELD_EACH = 6 * MIB
ROOM_LEFT = SMALL_BODY
"""Bytes that the flood leaves: no large body goes in."""


@contextlib.contextmanager
def flood(port: int, serve: PullSecrets) -> Iterator[None]:
    """Keep the webhook full of bodies of which the end does not come."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    left = MAX_HELD_BY_LARGE - ROOM_LEFT
    with contextlib.ExitStack() as stack:
        while left:
            raw = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            connection = stack.enter_context(context.wrap_socket(raw))
            size = min(left, HELD_EACH)
            connection.sendall(HEAD + b"%x\r\n" % size + b" " * size)
            left -= size
        eventually(lambda: metric(serve, "in_flight_bytes"), lambda held: held == MAX_HELD_BY_LARGE - ROOM_LEFT)
        yield
    eventually(lambda: metric(serve, "in_flight_bytes") == 0)


def metric(serve: PullSecrets, name: str) -> float:
    """Return a number of the webhook, 0 where nothing has been counted yet."""
    found = re.search(rf"^pullsecrets_admission_{re.escape(name)} (\S+)$", serve.metrics(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def refused(serve: PullSecrets) -> float:
    return metric(serve, 'refused_total{code="429"}')


def large_pod() -> dict[str, Any]:
    """Return a Pod whose review is no small body."""
    body = pod("large", imagePullSecrets=[{"name": THEIRS}])
    body["metadata"]["annotations"] = {"example.com/large": "x" * 3 * SMALL_BODY}
    return body


class Full:
    """An installation whose webhook can be flooded, and a namespace to create Pods in."""

    def __init__(self, playground: Playground) -> None:
        self.playground = playground
        self.sync, self.serve = playground.installation.start_sync(), playground.installation.start_serve()
        self.sync.wait_ready()
        self.serve.wait_ready()
        self.namespace = playground.namespace(selected=True)
        # The API server learns of the caBundle by a watch of its own.
        self.await_injection(pod("first", imagePullSecrets=[{"name": THEIRS}]))

    def create(self, body: dict[str, Any]) -> Answer:
        path = f"/api/v1/namespaces/{self.namespace}/pods?dryRun=All"
        return self.playground.cluster.api.request("POST", path, body)

    def await_injection(self, body: dict[str, Any]) -> None:
        """Create a Pod until the webhook has answered in time; until then the Pod is not injected, or refused."""
        eventually(lambda: names(self.create(body).json().get("spec", {})), injected)

    def flood(self) -> contextlib.AbstractContextManager[None]:
        return flood(self.playground.installation.webhook_port, self.serve)

    def repeated(self) -> int:
        """Return how often the API server has asked the webhook again, whatever came of it."""
        host = f"127.0.0.1:{self.playground.installation.webhook_port}"
        counts = re.findall(
            rf'^rest_client_request_retries_total\{{code="\d+",host="{host}",verb="POST"\}} (\S+)$',
            self.playground.cluster.metrics(),
            re.MULTILINE,
        )
        return sum(int(float(count)) for count in counts)


def injected(found: list[str]) -> bool:
    return found == [THEIRS, COPY]


@pytest.fixture
def installed(playground: Callable[..., Playground]) -> Callable[..., Full]:
    """Install the chart with these values of ``webhook``, and start both roles."""

    def make(**webhook: Any) -> Full:  # noqa: ANN401 (Helm values are any JSON)
        return Full(playground(webhook=webhook))

    return make


def test_the_api_server_asks_again_and_the_pod_is_injected_once_the_flood_is_over(
    installed: Callable[..., Full],
) -> None:
    full = installed(timeoutSeconds=PATIENCE_SECONDS)
    given_up, called = failed_open(full.playground.cluster), calls(full.playground.cluster)
    with ThreadPoolExecutor(1) as user:
        with full.flood():
            creating = user.submit(full.create, large_pod())
            eventually(lambda: refused(full.serve), lambda count: count >= 2)
            assert not creating.done()
        created = creating.result()
    assert created.status == 201, created.text
    assert injected(names(created.json()["spec"]))
    assert failed_open(full.playground.cluster) == given_up
    assert calls(full.playground.cluster) == called + 1
    assert full.repeated() == refused(full.serve) >= 2


def test_a_flood_that_outlasts_the_timeout_lets_the_pod_pass_as_it_is_and_that_is_counted(
    installed: Callable[..., Full],
) -> None:
    full = installed(timeoutSeconds=SHORT_SECONDS)
    given_up = failed_open(full.playground.cluster)
    created: list[Answer] = []

    def refused_after_one_more() -> float:
        created.append(full.create(large_pod()))
        return refused(full.serve)

    with full.flood():
        # On a slow machine one timeout has no time for two refusals.
        eventually(refused_after_one_more, lambda count: count >= 2)
        assert failed_open(full.playground.cluster) == given_up + len(created)
        # Most reviews are small, and come in one piece: those the webhook answers all the same.
        full.await_injection(pod("small", imagePullSecrets=[{"name": THEIRS}]))
    assert [each.status for each in created] == [201] * len(created)
    assert [names(each.json()["spec"]) for each in created] == [[THEIRS]] * len(created)
    assert refused(full.serve) <= (SHORT_SECONDS + 1) * len(created)
    full.await_injection(large_pod())


def test_with_failure_policy_fail_the_pod_is_refused_and_the_user_told(installed: Callable[..., Full]) -> None:
    full = installed(timeoutSeconds=SHORT_SECONDS, failurePolicy={"pods": "Fail"})
    given_up = failed_open(full.playground.cluster)
    with full.flood():
        answer = full.create(large_pod())
    assert answer.status == 500
    assert 'failed calling webhook "pods.pullsecrets.webhook"' in answer.json()["message"]
    assert failed_open(full.playground.cluster) == given_up
    full.await_injection(large_pod())
