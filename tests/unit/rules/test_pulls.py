"""Pods are judged by their pulls: which failure holds a rotation, and which images are worth a proof."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from webhook.rules.credential import Credential
from webhook.rules.pulls import (
    PulledImages,
    PullFailure,
    PullingPod,
    WaitingContainer,
    changed_images,
    is_refusal,
    refused_pulls,
)

WRITTEN = datetime(2026, 11, 29, 10, tzinfo=UTC)
"""The time when the copy got the new content."""

IMAGE = "registry.example.com/team/app:1"
OLD, NEW = Credential("robot", "old"), Credential("robot", "new")
OTHER = {"other.example.com": OLD}
IS_CHANGED = changed_images({"registry.example.com/team": OLD, **OTHER}, {"registry.example.com/team": NEW, **OTHER})
REFUSED = WaitingContainer(IMAGE, "ErrImagePull", "unexpected status from HEAD request to https://r: 403 Forbidden")
POD = PullingPod("staging-a", "api", WRITTEN + timedelta(seconds=5), references=("pull",), waiting=(REFUSED,))


def after(seconds: float) -> datetime:
    return WRITTEN + timedelta(seconds=seconds)


def waiting(**changes: object) -> PullingPod:
    return replace(POD, waiting=(replace(REFUSED, **changes),))


@pytest.mark.parametrize(
    ("pod", "counts"),
    [
        (POD, True),
        (waiting(reason="ImagePullBackOff"), True),
        (replace(POD, references=("other", "pull")), True),
        # The failure began later, although the Pod is older.
        (replace(POD, created=after(-60), accepted=after(1)), True),
        (replace(waiting(ended=after(1)), created=after(-60), accepted=after(-60)), True),
        # It may have begun before the copy had the new content.
        (replace(POD, created=after(-60), accepted=after(-59)), False),
        (replace(POD, created=WRITTEN), False),
        (replace(waiting(ended=after(-1)), created=after(-60)), False),
        # Another pull secret, another credential, or an image that the rotation does not concern.
        (replace(POD, references=("other",)), False),
        (replace(POD, references=()), False),
        (waiting(image="other.example.com/app:1"), False),
        (waiting(image="registry.example.com/public/app:1"), False),
        (waiting(image="nginx"), False),
        (waiting(image="Not An Image"), False),
        # Another failure, or none.
        (waiting(reason="ContainerCreating"), False),
        (waiting(reason="CrashLoopBackOff"), False),
        (waiting(reason="InvalidImageName"), False),
        (waiting(message=""), False),
        (replace(POD, waiting=()), False),
    ],
)
def test_a_pod_counts_only_if_the_rotation_is_the_cause(pod: PullingPod, counts: bool) -> None:
    expected = [PullFailure("staging-a", "api", IMAGE)] if counts else []
    assert refused_pulls(pod, "pull", IS_CHANGED, WRITTEN) == expected


def test_an_image_that_a_rotation_uncovers_has_changed() -> None:
    is_changed = changed_images({"registry.example.com": OLD}, {})
    assert is_changed(IMAGE)
    assert not is_changed("nginx")


CONTAINERD = 'failed to pull and unpack image "r.example/a:1": failed to resolve reference "r.example/a:1": '


@pytest.mark.parametrize(
    ("message", "refuses"),
    [
        (f"{CONTAINERD}pull access denied, repository does not exist or may require authorization: server mes", True),
        (f"{CONTAINERD}failed to authorize: server message: insufficient_scope: authorization failed", True),
        (f"{CONTAINERD}failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized", True),
        (f"{CONTAINERD}unexpected status from HEAD request to https://r.example/v2/a/manifests/1: 403 Forbidden", True),
        ("initializing source docker://r.example/a:1: reading manifest 1 in r.example/a: unauthorized: access", True),
        ("reading manifest 1 in r.example/a: denied: requested access to the resource is denied", True),
        ("unable to retrieve auth token: invalid username/password: unauthorized: incorrect", True),
        ("Requesting bearer token: invalid status code from registry 403 (Forbidden)", True),
        (f'Back-off pulling image "r.example/a:1": ErrImagePull: {CONTAINERD}401 Unauthorized', True),
        ('Back-off pulling image "r.example/a:1"', False),
        (f"{CONTAINERD}r.example/a:1: not found", False),
        ("reading manifest 9 in r.example/a: manifest unknown", False),
        (
            f'{CONTAINERD}failed to do request: Head "https://r.example/v2/": dial tcp: no such host',
            False,
        ),
        (
            f"{CONTAINERD}failed to authorize: failed to fetch anonymous token: dial tcp: i/o timeout",
            False,
        ),
        (f"{CONTAINERD}tls: failed to verify certificate: x509: certificate signed by unknown authority", False),
        (f"{CONTAINERD}unexpected status from HEAD request: 429 Too Many Requests", False),
        ("toomanyrequests: You have reached your unauthenticated pull rate limit", False),
        ("unexpected status from HEAD request to https://r.example/v2/a/manifests/1: 500 Internal Server Error", False),
        # Names that tenants choose.
        ("reading manifest latest in r.example/denied: manifest unknown", False),
        ("reading manifest latest in r.example/team-unauthorized: manifest unknown", False),
        ('failed to resolve reference "r.example/403/forbidden:401": r.example/403/forbidden:401: not found', False),
    ],
)
def test_only_a_refusal_by_the_registry_speaks_against_a_credential(message: str, refuses: bool) -> None:
    assert is_refusal(message) is refuses


def pulling(name: str, seconds: float, *images: str, references: tuple[str, ...] = ("pull",)) -> PullingPod:
    return PullingPod("a", name, after(seconds), references=references, images=images)


def test_each_repository_is_proved_once_with_the_newest_image_and_the_most_used_first() -> None:
    registry = "registry.example.com/team"
    pods = [
        pulling("one", 1, f"{registry}/app:1", f"{registry}/app:1", f"{registry}/side:1"),
        pulling("two", 3, f"{registry}/app:3", "nginx", "other.example.com/app:1", "Not An Image"),
        pulling("three", 2, f"{registry}/app:2", f"{registry}/base@sha256:{'0' * 64}"),
        pulling("four", 9, f"{registry}/app:9", f"{registry}/secret:1", references=("other",)),
    ]
    for order in (pods, pods[::-1]):
        found = PulledImages("pull", IS_CHANGED)
        for pod in order:
            found.add(pod)
        expected = [f"{registry}/app:3", f"{registry}/base@sha256:{'0' * 64}", f"{registry}/side:1"]
        assert found.most_used(9) == expected
        assert found.most_used(2) == expected[:2]
