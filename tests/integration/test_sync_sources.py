"""Several sources of one pull secret, good and bad, on a real API server."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.site.playground import COPY, Playground, eventually

Maker = Callable[..., Playground]

FIRST, SECOND = "harbor", "ghcr"
DOCKERCONFIGJSON = "kubernetes.io/dockerconfigjson"


@pytest.fixture
def merged(playground: Maker) -> Playground:
    """An installation with a pull secret of two sources, which are not there yet."""
    ours = playground(pullSecrets=[{"name": COPY, "sources": [{"secretName": FIRST}, {"secretName": SECOND}]}])
    ours.installation.start_sync().wait_ready()
    return ours


def put(ours: Playground, name: str, **passwords: str) -> None:
    """Write a source that has these passwords, by the first label of the registry's host."""
    auths = {f"{host}.example.com": {"username": "robot", "password": word} for host, word in passwords.items()}
    data = {".dockerconfigjson": b64encode(json.dumps({"auths": auths}).encode()).decode()}
    ours.apply(ours.installation.namespace, "Secret", name, {"type": DOCKERCONFIGJSON, "data": data})


def passwords(ours: Playground, namespace: str) -> dict[str, str] | None:
    """Return the passwords that a copy has, by the first label of the registry's host; None when there is none."""
    secret = ours.get(namespace, "secrets", COPY)
    if secret is None:
        return None
    auths: dict[str, Any] = json.loads(b64decode(secret["data"][".dockerconfigjson"]))["auths"]
    return {registry.partition(".")[0]: entry["password"] for registry, entry in auths.items()}


def events(ours: Playground) -> dict[str, str]:
    return dict(ours.events(ours.installation.namespace))


def test_sources_are_merged_and_the_first_to_name_a_registry_wins(merged: Playground) -> None:
    put(merged, FIRST, one="1", both="first")
    put(merged, SECOND, two="2", both="second")
    namespace = merged.namespace(selected=True)

    expected = {"one": "1", "two": "2", "both": "first"}
    eventually(lambda: passwords(merged, namespace), lambda seen: seen == expected)
    told = eventually(lambda: events(merged), lambda seen: "SourcesClash" in seen)
    assert "both.example.com" in told["SourcesClash"]

    put(merged, FIRST, one="1")
    put(merged, SECOND, two="new", both="second")
    expected = {"one": "1", "two": "new", "both": "second"}
    eventually(lambda: passwords(merged, namespace), lambda seen: seen == expected)


def test_a_rotation_waits_for_the_source_that_cannot_be_used_and_the_recovery_is_told(merged: Playground) -> None:
    put(merged, FIRST, one="1")
    put(merged, SECOND, two="2")
    namespace = merged.namespace(selected=True)
    eventually(lambda: passwords(merged, namespace), lambda seen: seen == {"one": "1", "two": "2"})

    merged.delete(merged.installation.namespace, "secrets", SECOND)
    eventually(lambda: events(merged), lambda seen: "SourceMissing" in seen)
    put(merged, FIRST, one="new")
    other = merged.namespace(selected=True)
    put(merged, SECOND, two="new")
    eventually(lambda: events(merged), lambda seen: "SourceRecovered" in seen)

    for each in (namespace, other):
        eventually(lambda each=each: passwords(merged, each), lambda seen: seen == {"one": "new", "two": "new"})  # type: ignore[misc]


def test_a_namespace_that_opts_in_while_a_source_is_missing_gets_the_last_good_copy(merged: Playground) -> None:
    put(merged, FIRST, one="1")
    put(merged, SECOND, two="2")
    namespace = merged.namespace(selected=True)
    eventually(lambda: passwords(merged, namespace), lambda seen: seen == {"one": "1", "two": "2"})
    merged.delete(merged.installation.namespace, "secrets", SECOND)
    eventually(lambda: events(merged), lambda seen: "SourceMissing" in seen)
    put(merged, FIRST, one="new")

    other = merged.namespace(selected=True)

    eventually(lambda: passwords(merged, other), lambda seen: seen == {"one": "1", "two": "2"})
    assert passwords(merged, namespace) == {"one": "1", "two": "2"}
