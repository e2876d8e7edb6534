from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.core.credential import DOCKER_HUB_KEY, normalise, shown


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("ghcr.io", "ghcr.io"),
        ("https://ghcr.io", "ghcr.io"),
        ("HTTPS://GHCR.IO/", "ghcr.io"),
        ("http://registry.example.com:5000", "registry.example.com:5000"),
        ("https://ghcr.io/v2/", "ghcr.io"),
        ("https://ghcr.io/v1", "ghcr.io"),
        ("ghcr.io/v2/org", "ghcr.io/org"),
        ("ghcr.io/v2x", "ghcr.io/v2x"),
        ("registry.example.com/team", "registry.example.com/team"),
        ("registry.example.com/team/", "registry.example.com/team"),
        ("*.dkr.ecr.eu-west-1.amazonaws.com", "*.dkr.ecr.eu-west-1.amazonaws.com"),
        ("localhost:5000", "localhost:5000"),
        ("[::1]:5000", "[::1]:5000"),
        ("docker.io", DOCKER_HUB_KEY),
        ("index.docker.io", DOCKER_HUB_KEY),
        ("https://index.docker.io/v1/", DOCKER_HUB_KEY),
        ("https://registry-1.docker.io/v2/", DOCKER_HUB_KEY),
        ("registry.hub.docker.com", DOCKER_HUB_KEY),
        ("https://index.docker.io/v1/org", "docker.io/org"),
    ],
)
def test_a_registry_has_one_spelling(key: str, expected: str) -> None:
    assert normalise(key) == expected


@pytest.mark.parametrize(
    "key",
    [
        "",
        "https://",
        "/",
        "oci://ghcr.io",
        "user:password@ghcr.io",
        "ghcr.io?x=1",
        "ghcr.io#x",
        "ghcr.io\n",
        "ghcr io",
        "gh\u212ar.io",
        "ghcr.io/Org",
    ],
)
def test_a_key_that_no_image_can_name_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="host"):
        normalise(key)


@given(
    st.from_regex(r"(https?://)?[a-zA-Z0-9*.-]{1,20}(:[0-9]{1,5})?(/v[12]|/[a-z0-9]{1,5}|/){0,4}", fullmatch=True)
    | st.text(max_size=40)
)
def test_normalising_twice_changes_nothing_more(key: str) -> None:
    try:
        once = normalise(key)
    except ValueError:
        return
    assert normalise(once) == once


@pytest.mark.parametrize(
    "key", ["robot:hunter2", "https://robot:hunter2/x", "https:/x/robot:hunter2", "a\u202eb", "x" * 256]
)
def test_a_key_that_may_hide_a_credential_is_not_shown(key: str) -> None:
    assert shown(key, 3) == "entry 3, whose key is no registry name,"


@pytest.mark.parametrize(
    "key", ["ghcr.io", "https://Harbor.example.com:443/v2/", "[::1]:5000/a", "my_registry.io/a.b", "*.x.io"]
)
def test_a_key_that_is_the_name_of_a_registry_is(key: str) -> None:
    assert shown(key, 3) == f'registry "{key}"'
