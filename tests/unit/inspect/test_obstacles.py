"""A report about a refusal ends when the controller has written the object since."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from webhook.inspect.obstacles import is_written_since
from webhook.inspect.reader import Reader
from webhook.kube.client import Client
from webhook.kube.resources import Resource
from webhook.report.explain.obstacle import EventReport
from webhook.rules.ownership import FIELD_MANAGER

WRITTEN = datetime(2026, 11, 29, 4, 30, 7, tzinfo=UTC)
VERSION = 100


class OneSecret(Reader):
    """Reads one copy, which was written at :data:`WRITTEN` and has the version :data:`VERSION`."""

    def optional(self, _resource: Resource, _name: str, _namespace: str | None = None) -> tuple[bytes | None, bool]:
        writer = {"manager": FIELD_MANAGER, "operation": "Apply", "time": f"{WRITTEN:%Y-%m-%dT%H:%M:%SZ}"}
        return json.dumps({"metadata": {"resourceVersion": str(VERSION), "managedFields": [writer]}}).encode(), True


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
