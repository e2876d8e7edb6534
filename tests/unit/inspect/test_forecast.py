"""The warning about removals that are held, and the sums of a rotation."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from tests.unit.fake_apiserver.faults import Answer
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.inspect.test_release import put_release
from tests.unit.inspect.test_selection import put_namespace
from webhook.inspect.forecast import forecast_rotation, held_warning
from webhook.inspect.reader import Reader
from webhook.inspect.release import ReleaseQuery, find_release
from webhook.kube.client import Client
from webhook.report.preview.preview import Preview
from webhook.report.preview.row import Effect, Row
from webhook.rules.brake import digest
from webhook.rules.objects import Namespace
from webhook.rules.ownership import FIELD_MANAGER, MANAGED_BY, MANAGED_BY_LABEL, copy_labels
from webhook.rules.state_document import HELD_KEY, encode_held


@pytest.mark.parametrize(
    ("copies", "total", "words"), [(1, 1, "1 of 1 copy"), (1, 40, "1 of 40 copies"), (30, 1040, "30 of 1,040 copies")]
)
def test_the_warning_counts_the_copies(api: FakeApiServer, client: Client, copies: int, total: int, words: str) -> None:
    put_release(api, "psw", "pull-secrets")
    reader = Reader(client)
    release = find_release(reader, ReleaseQuery())
    held = b64encode(encode_held(digest(release.configuration), copies, total)).decode()
    body = {"metadata": {"labels": {MANAGED_BY_LABEL: MANAGED_BY}}, "data": {HELD_KEY: held}}
    api.put("/api/v1/namespaces/pull-secrets/secrets/psw-state", body)
    row = Row("a", "Secret/registry", Effect.DELETE, "removed", "it is not due")
    preview = Preview((row,), copies=((Namespace("a"), frozenset({"registry"})),))
    told = held_warning(reader, release, preview)
    start = f"this configuration would remove {words}, so the removal is held and nothing is removed; if it is meant,"
    assert told.startswith(start)


def test_a_time_that_python_cannot_represent_is_no_time_of_a_change(api: FakeApiServer, client: Client) -> None:
    put_release(api, "psw", "pull-secrets")
    put_namespace(api, "team")
    writer = {"manager": FIELD_MANAGER, "operation": "Apply", "time": "0000-01-01T00:00:00Z", "fieldsV1": {}}
    metadata = {
        "name": "registry",
        "namespace": "team",
        "labels": copy_labels("psw", "pull-secrets", ""),
        "managedFields": [writer],
    }
    body = {"metadata": {}, "items": [{"metadata": metadata, "type": "kubernetes.io/dockerconfigjson", "data": {}}]}
    api.inject(Answer(200, json.dumps(body).encode()), "list", plural="secrets", name="registry")
    reader = Reader(client)
    assert forecast_rotation(reader, find_release(reader, ReleaseQuery()), "registry").copies == 1
