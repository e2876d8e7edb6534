from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from tests.unit.clock import Clock
from tests.unit.fake_apiserver.faults import Hang, Lines
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from webhook.errors import ApiUnavailable
from webhook.kube.access import POOL_SIZE
from webhook.kube.client import Client
from webhook.kube.connect import connect
from webhook.kube.connections import Connections, _keep_alive, note_received
from webhook.kube.connectivity import Connectivity
from webhook.kube.resources import SERVICE_ACCOUNTS

ACCOUNTS = "/api/v1/serviceaccounts"
DEFAULT = "/api/v1/namespaces/a/serviceaccounts/default"
NO_PATIENCE = 0.0


@pytest.fixture
def connectivity(clock: Clock) -> Connectivity:
    return Connectivity(clock)


@pytest.fixture
def connections(connectivity: Connectivity) -> Connections:
    return connectivity._connections


@pytest.fixture
def client(api: FakeApiServer, kubeconfig: Path, connectivity: Connectivity) -> Iterator[Client]:
    api.put(DEFAULT)
    client = connect(kubeconfig, connectivity=connectivity, request_timeout=30.0)
    yield client
    client.close()


class Waiting(threading.Thread):
    """Somebody who waits for a silent answer, and what came of it."""

    def __init__(self, client: Client, *, watch: bool) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._watch = watch
        self.begun = threading.Event()
        self.error: ApiUnavailable | None = None
        self.start()

    def run(self) -> None:
        try:
            if self._watch:
                with self._client.stream(ACCOUNTS, {"watch": "true"}, inactivity=30.0) as stream:
                    self.begun.set()
                    list(stream.lines())
            else:
                self._client.get(SERVICE_ACCOUNTS, "default", "a")
        except ApiUnavailable as error:
            self.error = error


def get(client: Client) -> None:
    client.get(SERVICE_ACCOUNTS, "default", "a")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems name the options otherwise")
def test_the_kernel_asks_after_a_silent_connection_every_few_seconds(client: Client, connections: Connections) -> None:
    get(client)

    (connection,) = connections._open
    assert connection.sock is not None
    assert connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    assert [connection.sock.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [5, 2, 3]
    assert connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


class Tunnel:
    """TLS within TLS as urllib3 has it, behind a proxy with https: it has no methods for options."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock


def test_a_connection_through_a_proxy_with_https_is_probed_too() -> None:
    with socket.socket() as sock:
        _keep_alive(cast("socket.socket", Tunnel(sock)))

        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0


def test_a_connection_for_which_the_pool_has_no_room_is_closed(client: Client) -> None:
    pool = client._pool
    for _ in range(POOL_SIZE + 1):
        pool._put_conn(pool._new_conn())

    assert pool.pool is not None
    assert pool.pool.qsize() == POOL_SIZE
    get(client)


def test_a_silent_watch_is_broken_from_another_thread(
    api: FakeApiServer, client: Client, connections: Connections, clock: Clock
) -> None:
    hold = api.inject(Lines(silent=True), "watch")
    watching = Waiting(client, watch=True)
    assert watching.begun.wait(10.0)
    clock.now += 1.0

    assert connections.break_silent(clock.now, NO_PATIENCE) == 1

    watching.join(10.0)
    assert watching.error is not None
    hold.lift()


def test_what_has_been_heard_of_since_is_left_alone(client: Client, connections: Connections, clock: Clock) -> None:
    get(client)
    since = clock.now
    clock.now += 1.0
    get(client)

    assert connections.break_silent(since + 1.0, NO_PATIENCE) == 0
    assert connections.break_silent(since + 1.1, NO_PATIENCE) == 1


def test_an_event_of_a_watch_counts_as_heard(
    api: FakeApiServer, client: Client, connections: Connections, clock: Clock
) -> None:
    with client.stream(ACCOUNTS, {"watch": "true", "resourceVersion": "0"}, inactivity=30.0) as stream:
        lines = stream.lines()
        clock.now += 1.0
        api.put(DEFAULT, {"metadata": {"labels": {"a": "b"}}})
        assert b"MODIFIED" in next(line for line in lines if b"MODIFIED" in line)

        assert connections.break_silent(clock.now, NO_PATIENCE) == 0


def test_an_idle_connection_that_was_broken_is_not_used_again(
    api: FakeApiServer, client: Client, connections: Connections, clock: Clock
) -> None:
    get(client)
    clock.now += 1.0

    assert connections.break_silent(clock.now, NO_PATIENCE) == 1

    get(client)
    assert len(api.seen("get")) == 2


def test_a_request_is_broken_when_it_has_waited_for_longer_than_patience(
    api: FakeApiServer, client: Client, connections: Connections, clock: Clock
) -> None:
    get(client)
    hang = api.inject(Hang(), "get")
    clock.now += 10.0
    asking = Waiting(client, watch=False)
    until(lambda: hang.met)

    clock.now += 2.0
    assert connections.break_silent(clock.now, response_seconds=2.5) == 0
    clock.now += 1.0
    assert connections.break_silent(clock.now, response_seconds=2.5) == 1

    asking.join(10.0)
    assert asking.error is not None
    hang.lift()


def test_a_connection_that_is_closed_counts_no_more(client: Client, connections: Connections, clock: Clock) -> None:
    get(client)
    client.close()

    assert connections.break_silent(clock.now + 1.0, NO_PATIENCE) == 0


def test_a_connection_of_another_kind_keeps_no_record() -> None:
    note_received(None)
    note_received(object())
