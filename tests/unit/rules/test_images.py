from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
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


VERDICTS = json.loads(Path(__file__).with_name("kubelet_verdicts.json").read_text())

REFUSED = {
    # A slip in the configuration is told when it is read, even where the kubelet would see through it.
    *("https://index.docker.io/v1/", "https://ghcr.io", "http://ghcr.io", "http://localhost:5000"),
    *("https://ghcr.io/v2/", "ghcr.io/", "ghcr.io/org/", "user@ghcr.io", "GHCR.io"),
    # These never match anything there either.
    *("eu-?.example.com", "eu-[0-9].example.com", "ghcr.io/*", "ghcr.io/org*", "ghcr.io/Org", "ghcr.io:*", "ghcr.io."),
}

DELIBERATE = {
    # The path covers whole segments; to the keyring it is the beginning of a text.
    ("organisation/app", "docker.io/org"),
    ("nginx", "docker.io/librar"),
    ("ghcr.io/organisation/app", "ghcr.io/org"),
    ("ghcr.io/org/apps", "ghcr.io/org/app"),
    ("registry.example.com/teams/app", "registry.example.com/team"),
    ("registry.example.com/team-a/app", "registry.example.com/team"),
    ("registry.example.com:5000/teams/app", "registry.example.com:5000/team"),
    ("x.azurecr.io/teams/app", "*.azurecr.io/team"),
    # Docker Hub is one registry under all of its names.
    ("registry-1.docker.io/org/app", "docker.io"),
    ("registry.hub.docker.com/org/app", "docker.io"),
    ("nginx", "registry-1.docker.io"),
    ("docker.io/org/app", "registry-1.docker.io"),
    ("nginx", "registry.hub.docker.com"),
    ("org/app", "index.docker.io/org"),
    ("index.docker.io/org/app", "index.docker.io/org"),
    # The keyring takes the brackets for a class of characters, but only where no port follows.
    ("[::1]/app", "[::1]"),
    # The keyring drops what looks like the version of the registry's API; a path of images is what it says.
    ("ghcr.io/v2/team/app", "ghcr.io/v2/team"),
    ("ghcr.io/team/app", "ghcr.io/v2/team"),
}

HOST_LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
HOSTS = st.lists(HOST_LABELS, min_size=2, max_size=4).map(".".join).filter(lambda host: host != "index.docker.io")
PORTS = st.just("") | st.integers(0, 65535).map(":{}".format)
COMPONENTS = st.from_regex(r"[a-z0-9]{1,4}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}", fullmatch=True)
PATHS = st.lists(COMPONENTS, min_size=2, max_size=4)
TAGS = st.just("") | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
DIGESTS = st.just("") | st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:{}".format)


def parts(image: str) -> dict[str, str] | None:
    try:
        found = parse(image)
    except ValueError:
        return None
    return {"domain": found.domain, "path": found.path, "tag": found.tag, "digest": found.digest}


@pytest.mark.parametrize("case", VERDICTS["references"], ids=lambda case: ascii(case["image"])[:60])
def test_a_reference_is_read_as_the_kubelet_reads_it(case: dict[str, Any]) -> None:
    assert parts(case["image"]) == case.get("parts")


@pytest.mark.parametrize(
    "case",
    [case for case in VERDICTS["keyring"] if case["registry"] not in REFUSED],
    ids=lambda case: f"{case['registry']} {case['image']}"[:60],
)
def test_a_registry_matches_where_the_kubelet_offers_its_credential_but_for_deliberate_differences(
    case: dict[str, Any],
) -> None:
    differs = (case["image"], case["registry"]) in DELIBERATE
    assert matches(case["image"], [case["registry"]]) is (case["matches"] is not differs)


def test_every_exception_is_a_case_of_the_table() -> None:
    assert {case["registry"] for case in VERDICTS["keyring"]} > REFUSED
    assert {(case["image"], case["registry"]) for case in VERDICTS["keyring"]} > DELIBERATE


@pytest.mark.parametrize("registry", sorted(REFUSED))
def test_a_registry_that_is_not_written_as_documented_is_refused(registry: str) -> None:
    with pytest.raises(ValueError, match="host"):
        parse_registry(registry)


@given(HOSTS, PORTS, PATHS, TAGS, DIGESTS)
def test_what_is_put_together_by_the_grammar_is_taken_apart_again(
    host: str, port: str, path: list[str], tag: str, digest: str
) -> None:
    image = f"{host}{port}/{'/'.join(path)}{tag and ':' + tag}{digest and '@' + digest}"
    assert parse(image) == ImageReference(f"{host}{port}", "/".join(path), tag, digest)


@given(st.text(st.sampled_from("aA1é./:@-_*[]?%\\ \n"), max_size=30))
def test_the_name_of_an_image_is_itself_the_image_s_name(image: str) -> None:
    try:
        name = parse(image).name
    except ValueError:
        return
    assert parse(name).name == name


@given(HOSTS, PORTS, PATHS, st.data())
def test_a_registry_covers_what_begins_with_all_of_it(
    host: str, port: str, path: list[str], data: st.DataObject
) -> None:
    depth = data.draw(st.integers(0, len(path)))
    registry = "/".join([f"{host}{port}", *path[:depth]])
    image = "/".join([f"{host}{port}", *path])
    assert matches(image, [registry])
    assert not matches(f"x.{image}", [registry])
    assert not matches("/".join([f"{host}{port}", *path[:depth]]) + f"x/{image}", [registry])


@given(HOSTS, PATHS, st.data())
def test_a_star_stands_for_anything_in_one_label_and_for_nothing_more(
    host: str, path: list[str], data: st.DataObject
) -> None:
    assume(host != "docker.io")
    labels = host.split(".")
    position = data.draw(st.integers(0, len(labels) - 1))
    label = labels[position]
    start = data.draw(st.integers(0, len(label)))
    end = data.draw(st.integers(start, len(label)))
    glob = ".".join([*labels[:position], f"{label[:start]}*{label[end:]}", *labels[position + 1 :]])
    assume(not glob.startswith("-") and ".-" not in glob and "-." not in glob)
    rest = "/".join(path)
    assert matches(f"{host}/{rest}", [glob])
    assert not matches(f"{host}:5000/{rest}", [glob])
    assert not matches(f"a.{host}/{rest}", [glob])
    assert not matches(f"{host}.a/{rest}", [glob])


def test_many_stars_and_a_name_made_to_fit_them_badly_take_no_long_time() -> None:
    image = "a" + "-" * 900 + "a.example.com/app"
    assert not matches(image, ["*-*-*-*-*-*-*-*-b.example.com"])
    assert matches(image, ["*-*-*-*-*-*-*-*-a.example.com"])
