"""The bytes of a stored Secret, compared with what an API server of Kubernetes 1.37 has put into etcd."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest

from webhook.kube.storage import decode_stored

STORED = json.loads((Path(__file__).parent / "stored.json").read_text())
"""Copies as the API has them, each before and after its first update, with their keys and values in etcd in base64."""


@pytest.mark.parametrize("state", ["created", "updated"])
def test_the_bytes_are_those_of_the_key_and_the_value(state: str) -> None:
    found = STORED[state]
    stored = decode_stored(json.dumps(found["object"]).encode())
    assert stored.stored_bytes() == len(found["key"]) + len(b64decode(found["value"]))


def test_the_bytes_after_the_first_update_are_those_that_were_predicted() -> None:
    created, updated = (decode_stored(json.dumps(STORED[state]["object"]).encode()) for state in ("created", "updated"))
    assert created.after_update().stored_bytes() == updated.stored_bytes()
    assert updated.after_update() == updated
    assert not created.changed_at
    assert updated.changed_at


def test_a_stored_secret_hides_its_content() -> None:
    assert repr(decode_stored(json.dumps(STORED["created"]["object"]).encode())).startswith("Secret team-a/")
