from __future__ import annotations

from base64 import b64encode

import pytest

from webhook.report.coverage import Workload, exposures, registries_of, uncovered

OURS = {"registry": frozenset({"registry.example.com"})}


def judged(image: str, references: tuple[str, ...], credentials: dict[str, frozenset[str] | None]) -> tuple[str, str]:
    (found,) = exposures(Workload("team-a", "Deployment/web", (image,), references), credentials, OURS)
    return found.exposure, found.why


@pytest.mark.parametrize(
    ("image", "references", "credentials", "expected"),
    [
        ("registry.example.com/app", ("registry",), OURS, ("covered", "by registry")),
        ("registry.example.com/app", ("x", "registry"), {**OURS, "x": frozenset()}, ("covered", "by registry")),
        (
            "registry.example.com/app",
            (),
            {},
            ("exposed", "registry has a credential for its registry, and the Pods do not reference it"),
        ),
        (
            "registry.example.com/app",
            ("registry",),
            {"registry": frozenset()},
            ("exposed", "the Secret registry that the Pods reference is missing, or has no credential for it"),
        ),
        (
            "registry.example.com/app",
            ("secret",),
            {"secret": None},
            ("unknown", "Secret secret cannot be read with your rights"),
        ),
        ("nginx", ("registry",), OURS, ("unknown", "no credential for its registry is known: it may be public")),
        ("Not An Image", (), {}, ("unknown", "no credential for its registry is known: it may be public")),
    ],
)
def test_each_image_is_judged_by_what_its_pods_reference(
    image: str, references: tuple[str, ...], credentials: dict[str, frozenset[str] | None], expected: tuple[str, str]
) -> None:
    assert judged(image, references, credentials) == expected


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            {".dockerconfigjson": encoded('{"auths": {"https://Ghcr.io/v2/": {}, "docker.io": {}}}')},
            {"Ghcr.io", "docker.io"},
        ),
        ({".dockercfg": encoded('{"https://index.docker.io/v1/": {"auth": "x"}}')}, {"https://index.docker.io/v1/"}),
        ({".dockerconfigjson": encoded('{"auths": {"a b": {}, "quay.io/team": {}}}')}, {"quay.io/team"}),
        ({".dockerconfigjson": encoded("[]")}, set()),
        ({".dockerconfigjson": "%"}, set()),
        ({"password": encoded("x")}, set()),
        ({}, set()),
    ],
)
def test_the_registries_of_a_secret_are_read_in_every_spelling(data: dict[str, str], expected: set[str]) -> None:
    assert registries_of(data) == expected


def test_an_image_is_covered_as_the_kubelet_does_it() -> None:
    images = ("ghcr.io/our-org/app:1", "ghcr.io/other/app", "nginx", "docker.io/library/redis", "registry:5000/app")
    assert uncovered(images, {"ghcr.io/our-org", "docker.io"}) == ("ghcr.io/other/app", "registry:5000/app")
    assert uncovered(images, set()) == images
