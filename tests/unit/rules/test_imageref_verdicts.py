"""Our reading of image references and registries beside that of the kubelet's own code: see ``tests/oracle``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from webhook.rules.images import ImageReference, matches, parse, parse_registry

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
