from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.rules.images import LONGEST_PATH, LONGEST_REFERENCE, ImageReference, matches, parse, parse_registry

SHA256 = "sha256:" + "f" * 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nginx", ImageReference("docker.io", "library/nginx")),
        ("nginx:1.27", ImageReference("docker.io", "library/nginx", "1.27")),
        ("bitnami/nginx", ImageReference("docker.io", "bitnami/nginx")),
        ("docker.io/nginx", ImageReference("docker.io", "library/nginx")),
        ("index.docker.io/nginx", ImageReference("docker.io", "library/nginx")),
        ("index.docker.io/bitnami/nginx", ImageReference("docker.io", "bitnami/nginx")),
        ("localhost/app", ImageReference("localhost", "app")),
        ("localhost:5000/app:v1", ImageReference("localhost:5000", "app", "v1")),
        ("registry:5000/app", ImageReference("registry:5000", "app")),
        ("example.com:5000", ImageReference("docker.io", "library/example.com", "5000")),
        ("Uppercase/app", ImageReference("Uppercase", "app")),
        ("ghcr.io/org/app@" + SHA256, ImageReference("ghcr.io", "org/app", "", SHA256)),
        ("ghcr.io/org/app:v1@" + SHA256, ImageReference("ghcr.io", "org/app", "v1", SHA256)),
        ("[2001:db8::1]:5000/app:v1", ImageReference("[2001:db8::1]:5000", "app", "v1")),
        ("192.168.1.1:5000/a/b/c", ImageReference("192.168.1.1:5000", "a/b/c")),
        ("a/foo__bar/b---c/d.e", ImageReference("docker.io", "a/foo__bar/b---c/d.e")),
    ],
)
def test_a_reference_is_spelled_out_in_full(text: str, expected: ImageReference) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":tag",
        "/nginx",
        "nginx:",
        "nginx\n",
        " nginx",
        "ngínx",
        "Nginx",
        "ghcr.io/Org/app",
        "https://ghcr.io/org/app",
        "ghcr.io//app",
        "ghcr.io/app/",
        "ghcr.io/a___b",
        "ghcr.io/app@" + SHA256[:-1],
        "ghcr.io/app@" + SHA256.upper(),
        "ghcr.io/app@md5:" + "f" * 32,
        "@" + SHA256,
        "f" * 64,
        "[2001:db8::1]",
        "[fe80::1%eth0]:5000/app",
        "-bad.example.com/app",
        "ghcr.io/app:" + "t" * 129,
        "ghcr.io/" + "a" * (LONGEST_PATH + 1),
        "a" * (LONGEST_REFERENCE + 1),
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"image|digest"):
        parse(text)


@pytest.mark.parametrize(
    ("registry", "image", "expected"),
    [
        ("docker.io", "nginx", True),
        ("index.docker.io", "docker.io/org/app", True),
        ("registry-1.docker.io", "org/app", True),
        ("docker.io/library", "nginx:1.27", True),
        ("docker.io/org", "nginx", False),
        ("ghcr.io", "ghcr.io/org/app:v1", True),
        ("ghcr.io", "ghcr.io.example.com/org/app", False),
        ("ghcr.io", "nginx", False),
        ("ghcr.io/org", "ghcr.io/org/app", True),
        ("ghcr.io/org", "ghcr.io/organisation/app", False),
        ("ghcr.io/org/app", "ghcr.io/org/app@" + SHA256, True),
        ("ghcr.io/org/app", "ghcr.io/org", False),
        ("registry.example.com", "registry.example.com:5000/app", False),
        ("registry.example.com:5000", "registry.example.com:5000/app", True),
        ("registry.example.com:5000", "registry.example.com:50001/app", False),
        ("*.example.com", "eu.example.com/app", True),
        ("*.example.com", "example.com/app", False),
        ("*.example.com", "a.b.example.com/app", False),
        ("*.*.example.com", "a.b.example.com/app", True),
        ("eu-*.example.com", "eu-12.example.com/app", True),
        ("registry.*.com:5000/team", "registry.example.com:5000/team/app", True),
        ("ghcr.io", "GHCR.io/org/app", False),
        ("[::1]:5000", "[::1]:5000/app", True),
        ("ghcr.io", "ghcr.io/Org/app", False),
        ("ghcr.io", "", False),
    ],
)
def test_a_registry_matches_as_the_kubelets_keyring_does(registry: str, image: str, expected: bool) -> None:
    assert matches(image, [registry]) is expected


def test_one_matching_registry_is_enough_and_none_match_nothing() -> None:
    assert matches("ghcr.io/org/app", ["quay.io", "ghcr.io"])
    assert not matches("ghcr.io/org/app", [])


def test_a_huge_image_name_matches_nothing() -> None:
    assert not matches("ghcr.io/" + "a/" * 1_000_000 + "a", ["ghcr.io"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://ghcr.io",
        "ghcr.io/",
        "GHCR.io",
        "ghcr.io:port",
        "ghcr.io/a*",
        "ghcr.io ",
        "a@ghcr.io",
        "a..b",
        "eu-?.example.com",
    ],
)
def test_what_is_no_registry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="host"):
        parse_registry(text)


@given(st.text(max_size=80))
def test_any_text_parses_or_is_a_value_error(text: str) -> None:
    try:
        reference = parse(text)
    except ValueError:
        return
    assert matches(text, ["docker.io"]) is (reference.domain == "docker.io")
