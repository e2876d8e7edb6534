"""Objects that are there for a trial, or that the chart does not know."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.chart.rendered import SAMPLE, render
from webhook.rules.dockerconfig import parse_source

HARBOR = {"name": "harbor", "registry": "registry.example.com", "username": "robot$a", "password": 'päss"<word>&:'}


def test_a_source_for_a_trial_is_what_kubectl_would_have_made() -> None:
    (secret,) = render({**SAMPLE, "sourceSecrets": [HARBOR]}).of_kind("Secret")
    assert (secret["metadata"]["name"], secret["type"]) == ("harbor", "kubernetes.io/dockerconfigjson")
    document = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))
    auth = base64.b64encode(f"{HARBOR['username']}:{HARBOR['password']}".encode()).decode()
    entry = {"username": HARBOR["username"], "password": HARBOR["password"], "auth": auth}
    assert document == {"auths": {"registry.example.com": entry}}


def test_a_source_for_a_trial_is_one_that_the_loop_takes() -> None:
    (secret,) = render({**SAMPLE, "sourceSecrets": [HARBOR]}).of_kind("Secret")
    credentials = parse_source("harbor", secret["type"], secret["data"], secret["metadata"]["labels"])
    found = credentials["registry.example.com"]
    assert (found.username, found.password) == (HARBOR["username"], HARBOR["password"])


def test_there_is_no_secret_unless_asked_for() -> None:
    assert render(SAMPLE).of_kind("Secret") == []


def test_the_password_is_nowhere_but_in_the_secret() -> None:
    others = [item for item in render({**SAMPLE, "sourceSecrets": [HARBOR]}).objects if item["kind"] != "Secret"]
    assert HARBOR["password"] not in json.dumps(others, ensure_ascii=False)
    assert HARBOR["username"] not in json.dumps(others)


def more(*objects: Any) -> list[dict[str, Any]]:  # noqa: ANN401 (objects are any JSON)
    found = render({"extraObjects": list(objects)}).of_kind("Extra")
    return sorted(found, key=lambda item: str(item["metadata"]["name"]))


def test_further_objects_may_be_mappings_or_text_with_templates() -> None:
    mapping = {"apiVersion": "v1", "kind": "Extra", "metadata": {"name": "a", "namespace": "{{ .Release.Namespace }}"}}
    text = 'apiVersion: v1\nkind: Extra\nmetadata:\n  name: b-{{ include "pull-secret-webhook.fullname" . }}\n'
    assert [item["metadata"] for item in more(mapping, text)] == [
        {"name": "a", "namespace": "psw-system"},
        {"name": "b-psw-pull-secret-webhook"},
    ]
