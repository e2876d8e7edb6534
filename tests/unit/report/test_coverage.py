from __future__ import annotations

from base64 import b64encode

import pytest

from webhook.report.coverage import Coverage, Workload, exposures, registries_of, uncovered
from webhook.report.expectations import Expectation, compare
from webhook.report.preview.preview import Preview

OURS = {"registry": frozenset({"registry.example.com"})}


def judged(image: str, references: tuple[str, ...], credentials: dict[str, frozenset[str] | None]) -> tuple[str, str]:
    (found,) = exposures(Workload("team-a", "Deployment/web", (image,), references), credentials, OURS)
    return found.exposure, found.message


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
        ({".dockerconfigjson": encoded('{"auths": {"r.io": ' + "[" * 100_000 + "]" * 100_000 + "}}")}, set()),
        ({".dockercfg": b64encode(b'{"\xff": {}, "r.io": {}}').decode()}, {"r.io"}),
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


def workloads(**images: tuple[str, ...]) -> Coverage:
    """Return Deployments by name, each with its images; ours is the only registry with a credential."""
    found = [Workload("team-a", f"Deployment/{name}", those, ("registry",)) for name, those in images.items()]
    return Coverage(tuple(each for one in found for each in exposures(one, {"registry": OURS["registry"]}, OURS)))


@pytest.mark.parametrize(
    ("images", "expected", "found"),
    [
        (("registry.example.com/app",), "covered", "covered"),
        (("registry.example.com/app", "nginx"), "covered", "unknown"),
        ((), "covered", "absent"),
    ],
)
def test_an_expectation_is_compared_with_the_worst_image(images: tuple[str, ...], expected: str, found: str) -> None:
    wanted = [Expectation("team-a", "Deployment/api", coverage=expected)]
    (comparison,) = compare(wanted, Preview(()), workloads(api=images, other=("nginx",))).comparisons
    assert (comparison.field, comparison.expected, comparison.found) == ("coverage", expected, found)
    assert comparison.message


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ({"api": ("nginx",)}, "0 of 1 workload would fail on a fresh node; 1 image without a known credential"),
        ({"api": ("nginx",), "db": ()}, "0 of 1 workload would fail"),
        ({"api": ("nginx",), "db": ("redis",)}, "0 of 2 workloads would fail"),
    ],
)
def test_the_sentence_counts_workloads(images: dict[str, tuple[str, ...]], expected: str) -> None:
    assert workloads(**images).summary().startswith(expected)


def test_pods_that_differ_only_in_references_are_one_line_and_the_wide_table_has_those() -> None:
    image = ("registry.example.com/app",)
    pods = [Workload("team-a", "Pod/web", image, references) for references in ((), ("none", "of-them"))]
    first, second = (each for pod in pods for each in exposures(pod, {}, OURS))
    assert first == second
    assert [each.wide_line().cells[-1] for each in (first, second)] == ["<none>", "none, of-them"]
    assert Coverage((first, second)).titles() == ["Pod/web"]
