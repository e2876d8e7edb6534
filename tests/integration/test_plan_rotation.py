"""``pullsecrets plan --rotate``: what it predicts for a rotation, beside what etcd then has and how long it took."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from tests.integration.day.disorder import settle
from tests.integration.site.commands import of_release
from tests.integration.site.playground import COPY, SOURCE, Playground, eventually
from webhook.report.rotation_forecast import SHORTEST_SECONDS
from webhook.rules.ownership import FIELD_MANAGER

Maker = Callable[..., Playground]

NAMESPACES = 14
RATE = 2
TOLERANCE = 0.2


def predicted(ours: Playground, code: int = 1) -> dict[str, Any]:
    ran = of_release(ours, "plan", "--rotate", COPY, "-o", "json")
    assert ran.code == code, ran.err
    document: dict[str, Any] = json.loads(ran.out)
    return document


def rotate(ours: Playground, password: str, namespaces: list[str]) -> None:
    ours.set_source(password)
    for namespace in namespaces:
        eventually(lambda: ours.password_in_copy(namespace), lambda seen: seen == password)  # noqa: B023


def stored_bytes(ours: Playground, namespaces: list[str]) -> int:
    """Return what etcd has of the copies: the bytes of their keys and values."""
    sizes = []
    for namespace in namespaces:
        key = f"/registry/secrets/{namespace}/{COPY}".encode()
        found = ours.cluster.etcd.call("POST", "/v3/kv/range", {"key": b64encode(key).decode()})["kvs"][0]
        sizes.append(len(key) + len(b64decode(found["value"])))
    return sum(sizes)


def changed_at(ours: Playground, namespace: str, name: str, manager: str) -> datetime:
    """Return when a field manager last changed a Secret, by the time that the API server noted."""
    secret = ours.get(namespace, "secrets", name)
    assert secret is not None
    (time,) = [entry["time"] for entry in secret["metadata"]["managedFields"] if entry["manager"] == manager]
    return datetime.fromisoformat(time)


def test_etcd_then_has_the_bytes_that_were_predicted(playground: Maker) -> None:
    copies = {"labels": {"team": "platform"}, "annotations": {"example.com/owner": "Plattform für alle " * 20}}
    pull_secrets = [{"name": COPY, "sources": [{"secretName": SOURCE}], "copies": copies}]
    ours = playground(pullSecrets=pull_secrets)
    namespaces = [ours.namespace(selected=True) for _ in range(3)]
    foreign = ours.namespace(selected=True)
    ours.create(foreign, "secrets", {"metadata": {"name": COPY}, "data": {"a": "YQ=="}})
    ours.namespace(selected=False)
    sync = ours.start_sync("first")
    settle(sync)

    for password in ("again", "third"):  # the first update of a copy adds a field manager
        forecast = predicted(ours)
        rotate(ours, password, namespaces)
        stored = stored_bytes(ours, namespaces)
        assert forecast["copies"] == len(namespaces)
        assert forecast["etcdBytes"] == pytest.approx(stored, rel=0.01)


def test_a_rotation_takes_the_time_that_its_rate_allows_and_the_next_one_as_long(playground: Maker) -> None:
    def pull_secrets(**more: Any) -> list[dict[str, Any]]:  # noqa: ANN401 (Helm values are any JSON)
        return [{"name": COPY, "sources": [{"secretName": SOURCE}], **more}]

    ours = playground(pullSecrets=pull_secrets(rollout={"maxPerSecond": RATE}))
    namespaces = [ours.namespace(selected=True) for _ in range(NAMESPACES)]
    settle(ours.start_sync("first"))

    limited = predicted(ours)
    assert limited["seconds"] == (NAMESPACES - 1) / RATE
    assert limited["lastRotation"] is None
    rotate(ours, "again", namespaces)
    begun = changed_at(ours, ours.installation.namespace, SOURCE, "test")
    times = [changed_at(ours, namespace, COPY, FIELD_MANAGER) for namespace in namespaces]
    # Not longer would be a statement about the machine; nor has the first copy to be written when its turn comes.
    assert (max(times) - begun).total_seconds() >= limited["seconds"] * (1 - TOLERANCE)

    ours.installation.set_configuration(pullSecrets=pull_secrets())
    measured = predicted(ours)
    taken = (max(times) - min(times)).total_seconds()
    if taken < SHORTEST_SECONDS:  # after a standstill, several copies are written at once
        assert (measured["seconds"], measured["lastRotation"]) == (None, None)
    else:
        assert measured["seconds"] == pytest.approx(taken, rel=TOLERANCE)
        assert measured["lastRotation"]["copies"] == NAMESPACES


def test_without_a_limit_and_a_measurement_there_is_no_duration(playground: Maker) -> None:
    ours = playground()
    namespaces = [ours.namespace(selected=True) for _ in range(2)]
    settle(ours.start_sync("first"))
    assert predicted(ours)["seconds"] is None
    ran = of_release(ours, "plan", "--rotate", COPY)
    assert "no rotation has reached most of these copies yet" in ran.out
    for namespace in namespaces:
        ours.opt(namespace, None)
        eventually(lambda: ours.get(namespace, "secrets", COPY), lambda seen: seen is None)  # noqa: B023
    assert predicted(ours, code=0)["copies"] == 0


def test_a_name_that_cannot_be_rotated_is_refused(playground: Maker) -> None:
    ours = playground()
    for arguments in (["--rotate", "unknown"], ["--rotate", COPY, "-l", "a=b"], ["--rotate", COPY, "-o", "wide"]):
        ran = of_release(ours, "plan", *arguments)
        assert ran.code == 2, ran.err
        assert "Traceback" not in ran.err
