from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.rules.credential import shown
from webhook.rules.registry_key import DOCKER_HUB_KEY, UnusableKey, read_key


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("ghcr.io", "ghcr.io"),
        ("https://ghcr.io", "ghcr.io"),
        ("https://ghcr.io/", "ghcr.io"),
        ("http://registry.example.com:5000", "registry.example.com:5000"),
        ("https://ghcr.io/v2/", "ghcr.io"),
        ("https://ghcr.io/v1/", "ghcr.io"),
        ("ghcr.io/v2/org", "ghcr.io/org"),
        ("ghcr.io/v2/v1/org", "ghcr.io/v2/v1/org"),
        ("ghcr.io/v2x", "ghcr.io/v2x"),
        ("user:password@ghcr.io", "ghcr.io"),
        ("ghcr.io?x=1", "ghcr.io"),
        ("ghcr.io#x", "ghcr.io"),
        ("ghcr.io/%6frg", "ghcr.io/org"),
        ("ghcr.io/%256frg", "ghcr.io/%256frg"),
        # The kubelet compares hosts by case, and paths as the beginning of a text.
        ("GHCR.io", "GHCR.io"),
        ("https://ghcr.io/v1", "ghcr.io/v1"),
        ("registry.example.com/team", "registry.example.com/team"),
        ("registry.example.com/team/", "registry.example.com/team/"),
        ("registry.example.com/team-", "registry.example.com/team-"),
        ("ghcr.io:", "ghcr.io:"),
        ("*.dkr.ecr.eu-west-1.amazonaws.com", "*.dkr.ecr.eu-west-1.amazonaws.com"),
        ("localhost", "localhost"),
        ("localhost:5000", "localhost:5000"),
        ("[::1]:5000", "[::1]:5000"),
        ("docker.io", "docker.io"),
        ("docker.io/org", "docker.io/org"),
        ("index.docker.io", DOCKER_HUB_KEY),
        ("https://index.docker.io/v1/", DOCKER_HUB_KEY),
        ("https://index.docker.io/v2/", DOCKER_HUB_KEY),
        ("https://index.docker.io/v1/org", "index.docker.io/org"),
        ("https://registry-1.docker.io/v2/", "registry-1.docker.io"),
    ],
)
def test_a_registry_has_one_spelling_that_means_the_same(key: str, expected: str) -> None:
    assert str(read_key(key)) == expected


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("", "the host is empty"),
        ("https://", "the host is empty"),
        ("/", "the host is empty"),
        ("/ghcr.io", "the host is empty"),
        ("oci://ghcr.io", "scheme"),
        ("HTTPS://ghcr.io", "scheme"),
        ("https://https://ghcr.io", "scheme"),
        ("ghcr.io\n", "control character"),
        (" ghcr.io", "space"),
        ("ghcr.io ", "space"),
        ("ghcr.io/my org", "space"),
        ("gh\u212ar.io", "images do not have such a host"),
        ("ghcr.io/Org", "upper case in its path"),
        ("ghcr.io/org/app:latest", "tag"),
        ("ghcr.io/org/app@sha256:0", "digest"),
        ("ghcr.io:latest", "not a port"),
        ("ghcr.io/org/*", "wildcard"),
        ("ghcr.io//org", "two slashes"),
        ("ghcr.io/%zz", "percent"),
        ("my org@ghcr.io", "before an @"),
        ("[::1]", "IPv6 address without a port"),
        ("[::g]:5000", "IPv6 address"),
        ("myorg", "dot or a port"),
        ("-x.example.com", "images do not have such a host"),
        ("https://index.docker.io/v1/access-token", "stores its own token"),
        ("https://index.docker.io/v1/refresh-token", "stores its own token"),
    ],
)
def test_a_key_that_no_image_can_match_has_a_reason(key: str, words: str) -> None:
    with pytest.raises(UnusableKey, match=words):
        read_key(key)


@given(
    st.from_regex(r"(https?://)?[a-zA-Z0-9*.-]{1,20}(:[0-9]{0,5})?(/v[12]|/[a-z0-9%]{1,5}|/){0,4}", fullmatch=True)
    | st.text(max_size=40)
)
def test_the_spelling_of_a_key_has_the_same_meaning(key: str) -> None:
    try:
        once = read_key(key)
    except UnusableKey:
        return
    assert read_key(str(once)) == once


@pytest.mark.parametrize(
    ("key", "image", "covered"),
    [
        ("registry.gitlab.com/group/", "registry.gitlab.com/group/app", True),
        ("registry.gitlab.com/group/", "registry.gitlab.com/group-two/app", False),
        ("registry.gitlab.com/group", "registry.gitlab.com/group-two/app", True),
        ("https://index.docker.io/v1/", "nginx", True),
        ("docker.io", "nginx", True),
        ("docker.io/org", "nginx", False),
        ("index.docker.io/org", "org/app", False),
        ("registry-1.docker.io", "nginx", False),
        ("GHCR.io", "ghcr.io/app", False),
        ("*.example.com:5000", "a.example.com:5000/app", True),
        ("ghcr.io:", "ghcr.io/app", True),
        ("[::1]:5000", "[::1]:5000/app", True),
        ("ghcr.io", "no image at all", False),
        ("ghcr.io", "ghcr.io/" + "a" * 2000, False),
    ],
)
def test_a_key_covers_the_images_for_which_the_kubelet_offers_it(key: str, image: str, covered: bool) -> None:
    assert read_key(key).covers(image) is covered


@pytest.mark.parametrize(
    "key", ["robot:hunter2", "https://robot:hunter2/x", "https:/x/robot:hunter2", "a\u202eb", "x" * 256]
)
def test_a_key_that_may_hide_a_credential_is_not_shown(key: str) -> None:
    assert shown(key, 3) == "entry 3, whose key is not shown,"


@pytest.mark.parametrize(
    "key",
    [
        "ghcr.io",
        "https://Harbor.example.com:443/v2/",
        "[::1]:5000/a",
        "my_registry.io/a.b",
        "*.x.io",
        "oci://x.io",
        " a.io",
    ],
)
def test_a_key_that_is_the_name_of_a_registry_is(key: str) -> None:
    assert shown(key, 3) == f'registry "{key}"'


def test_of_a_key_with_a_tag_the_tag_alone_is_not_shown() -> None:
    assert shown("ghcr.io/org/app:latest", 3) == 'registry "ghcr.io/org/app:…"'


@pytest.mark.parametrize("key", ["*:", "loc*:", "localhost:", "MYORG:"])
def test_an_empty_port_is_none(key: str) -> None:
    assert str(read_key(key)) == key
