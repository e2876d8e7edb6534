"""Of a Pod, healing reads which images cannot be pulled, and whether an eviction would interrupt something."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from webhook.kube.pods import MAX_IMAGES, PodObject, to_pulled_pod
from webhook.kube.wire import decoder
from webhook.rules.configuration import Configuration, PullSecret
from webhook.rules.healing import PodOwner, PulledPod

CONFIGURATION = Configuration((PullSecret("pull", ("source",)),))
BACK_OFF = {"waiting": {"reason": "ImagePullBackOff"}}
CREATING = {"waiting": {"reason": "ContainerCreating"}}
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
SIDECAR = {"name": "kept", "image": "kept", "restartPolicy": "Always"}
ENDED = {"terminated": {"exitCode": 0}}


def status(name: str, state: dict[str, Any], **fields: Any) -> dict[str, Any]:  # noqa: ANN401 (any JSON)
    return {"name": name, "state": state, "restartCount": 0, **fields}


def read(
    *apps: dict[str, Any],
    init: list[dict[str, Any]] | None = None,
    phase: str = "Pending",
    **spec: Any,  # noqa: ANN401 (any JSON)
) -> PulledPod:
    whole = {
        "metadata": {"name": "web", "namespace": "a", "uid": "u", "resourceVersion": "7"},
        "spec": {
            "containers": [{"name": "app", "image": "app"}, {"name": "side", "image": "side"}],
            "initContainers": [{"name": "init", "image": "init"}, SIDECAR],
            **spec,
        },
        "status": {"phase": phase, "containerStatuses": list(apps), "initContainerStatuses": init or []},
    }
    return to_pulled_pod(decoder(PodObject)(msgspec.json.encode(whole)), CONFIGURATION)


@pytest.mark.parametrize(
    ("pod", "failing", "has_run"),
    [
        (read(), (), False),
        (read(status("app", CREATING)), (), False),
        (read(status("app", BACK_OFF), status("side", CREATING)), ("app",), False),
        (read(status("app", {"waiting": {"reason": "ErrImagePull"}})), ("app",), False),
        (read(status("app", {"waiting": {"reason": "InvalidImageName"}})), (), False),
        (read(status("app", BACK_OFF), status("side", RUNNING)), ("app",), True),
        (read(status("app", BACK_OFF), status("side", ENDED)), ("app",), True),
        (read(status("app", BACK_OFF, lastState=ENDED)), ("app",), True),
        (read(status("app", BACK_OFF, restartCount=1)), ("app",), True),
        (read(status("app", BACK_OFF), phase="Running"), ("app",), True),
        (read(status("app", CREATING), init=[status("init", BACK_OFF)]), ("init",), False),
        (read(status("app", BACK_OFF), init=[status("init", ENDED)]), ("app",), False),
        (read(status("app", BACK_OFF), init=[status("init", RUNNING)]), ("app",), True),
        (read(status("app", BACK_OFF), init=[status("kept", RUNNING)]), ("app",), True),
        (read(status("app", BACK_OFF), init=[status("kept", CREATING, lastState=ENDED)]), ("app",), True),
    ],
)  # fmt: skip
def test_a_container_that_runs_or_has_begun_is_seen_beside_one_that_cannot_be_pulled(
    pod: PulledPod, failing: tuple[str, ...], has_run: bool
) -> None:
    assert (pod.failing, pod.has_run) == (failing, has_run)


def test_an_image_volume_fails_with_the_container_that_mounts_it() -> None:
    mounting = {"name": "app", "image": "app", "volumeMounts": [{"name": "model"}, {"name": "data"}]}
    volumes = [{"name": "model", "image": {"reference": "model"}}, {"name": "other", "image": {"reference": "other"}}]
    pod = read(status("app", BACK_OFF), containers=[mounting], volumes=volumes)
    assert pod.failing == ("app", "model")
    assert set(pod.subject.images) == {"app", "init", "kept", "model", "other"}


def test_what_a_tenant_makes_long_is_bounded() -> None:
    many = [{"name": f"c{number}", "image": f"image-{number}"} for number in range(500)]
    pod = read(*[status(each["name"], BACK_OFF) for each in many], containers=many)
    assert (len(pod.failing), len(pod.subject.images)) == (MAX_IMAGES, MAX_IMAGES)


def test_only_the_controller_among_the_owners_counts() -> None:
    owners = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "1"},
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "2", "controller": True},
    ]
    metadata = {"name": "web", "namespace": "a", "ownerReferences": owners}
    pod = to_pulled_pod(decoder(PodObject)(msgspec.json.encode({"metadata": metadata})), CONFIGURATION)
    assert pod.owner == PodOwner("apps", "DaemonSet", "d", "2")
