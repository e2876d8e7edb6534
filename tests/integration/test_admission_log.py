"""What the log says of the reviews that a real API server sends."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.integration.site.playground import COPY, PATIENT_API_SERVER, Playground, eventually, names, pod

THEIRS = [{"name": "theirs"}]


def test_a_pod_whose_name_is_still_to_be_generated_is_named_by_its_beginning(
    playground: Callable[..., Playground],
) -> None:
    # An answer that comes too late is logged as well, and the next Pod once more.
    owner = playground(webhook=PATIENT_API_SERVER)
    sync = owner.installation.start_sync()
    serve = owner.installation.start_serve("--log-format=json")
    sync.wait_ready()
    serve.wait_ready()
    namespace = owner.namespace(selected=True)
    unnamed = pod("", imagePullSecrets=THEIRS)
    unnamed["metadata"] = {"generateName": "web-7d5c9c7b9f-"}

    def create() -> dict[str, Any]:
        return owner.create(namespace, "pods", unnamed)

    # The API server learns of the webhook and of the label by watches of its own.
    created = eventually(create, lambda seen: COPY in names(seen["spec"]))
    assert created["metadata"]["name"].startswith("web-7d5c9c7b9f-")
    decided = [json.loads(line) for line in serve.program.output.splitlines() if '"references added"' in line]
    (line,) = (line for line in decided if line["resource"] == "pods")
    assert (line["object"], line["namespace"], line["reason"]) == ("web-7d5c9c7b9f-*", namespace, "injected")
    assert line["uid"]
