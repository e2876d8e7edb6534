"""The stored state of a loop, when its Secret cannot be read or written, on the fake API server."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tests.unit.fake_apiserver.faults import Answer
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from tests.unit.sync.running import Running
from tests.unit.sync.world import RELEASE, put_namespace, put_source, secret_path
from webhook.kube.client import Client

STATE = "psw-state"


@pytest.mark.parametrize(("verb", "message"), [("get", "state not read"), ("apply", "state not stored")])
@pytest.mark.usefixtures("short_pauses")
def test_a_failure_says_whether_the_state_was_not_read_or_not_stored(
    api: FakeApiServer, client: Client, verb: str, message: str
) -> None:
    put_namespace(api, RELEASE.namespace, "")
    put_source(api, "first")
    api.inject(Answer(500), verb, plural="secrets", name=STATE)
    running = Running(client, state_secret=STATE)
    with capture_logs() as logs:
        running.start()
        try:
            until(lambda: api.read(secret_path(RELEASE.namespace, STATE)))
        finally:
            running.stop()
    assert [line["event"] for line in logs if line["event"].startswith("state not")] == [message]
