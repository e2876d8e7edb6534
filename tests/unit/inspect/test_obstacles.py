"""A report about a refusal ends when the controller has written the object since."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.fake_apiserver.server import FakeApiServer
from webhook.inspect.obstacles import is_written_since, read_reports
from webhook.inspect.reader import Reader
from webhook.kube.client import Client
from webhook.kube.events import COMPONENT
from webhook.kube.resources import Resource
from webhook.report.explain.obstacle import EventReport
from webhook.rules.ownership import FIELD_MANAGER

WRITTEN = datetime(2026, 11, 29, 4, 30, 7, tzinfo=UTC)
VERSION = 100
TIMES = ["0000-01-01T00:00:00Z", "10000-01-01T13:59:59Z", f"{WRITTEN:%Y-%m-%dT%H:%M:%SZ}"]
"""The API server prints the first two for times that a tenant has written; Python cannot represent them."""


class OneSecret(Reader):
    """Reads one copy, which was written at :data:`WRITTEN` and has the version :data:`VERSION`."""

    def get_if_allowed(
        self, _resource: Resource, _name: str, _namespace: str | None = None
    ) -> tuple[bytes | None, bool]:
        writers = [{"manager": FIELD_MANAGER, "operation": "Apply", "time": time} for time in TIMES]
        return json.dumps({"metadata": {"resourceVersion": str(VERSION), "managedFields": writers}}).encode(), True


@pytest.mark.parametrize(
    ("seconds", "version", "expected"),
    [(-1, VERSION + 1, True), (0, VERSION - 1, True), (0, VERSION + 1, False), (1, VERSION - 1, False)],
)
def test_in_the_same_second_the_versions_tell_which_came_first(
    client: Client, seconds: int, version: int, expected: bool
) -> None:
    at = WRITTEN + timedelta(seconds=seconds)
    report = EventReport("team-a", "CopyDenied", "denied", at, "Secret", "registry-credentials", version)
    assert is_written_since(OneSecret(client), report) is expected


def test_an_event_with_a_time_that_python_cannot_represent_is_no_report(api: FakeApiServer, client: Client) -> None:
    for number, time in enumerate(TIMES):
        event = {"reportingComponent": COMPONENT, "reason": "CopyDenied", "lastTimestamp": time}
        api.put(f"/api/v1/namespaces/team/events/{number}", event)
    assert [report.at for report in read_reports(Reader(client), "team")] == [WRITTEN]
