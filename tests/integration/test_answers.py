"""The answers of the unit tests are still what a real API server sends."""

from __future__ import annotations

import json
from typing import Any

from tests.cluster.cluster import Cluster
from tests.integration.site.answers import FILE, Answers, captured

ETCD_GONE = "etcd gone"


def known() -> dict[str, dict[str, Any]]:
    answers = json.loads(FILE.read_text())
    for answer in answers.values():
        del answer["whose"]
    return {name: answer for name, answer in answers.items() if not name.startswith("proxy: ")}


def test_the_api_server_still_answers_as_it_did(cluster: Cluster) -> None:
    answers = captured(Answers.all, cluster)
    expected = known()
    del expected[ETCD_GONE]

    assert answers == expected


def test_without_etcd_it_still_answers_as_it_did() -> None:
    with Cluster.start() as cluster:
        assert captured(Answers.etcd_gone, cluster) == {ETCD_GONE: known()[ETCD_GONE]}
