"""Tests that a node can pull an image, at a small registry over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.registries.registry import ACCEPTED, BAD, GOOD, PASSWORD, TOKEN, USER, Registry
from webhook.registries.login import AnonymousAccess, Login, Registries
from webhook.rules.registry_key import covering_keys

SCHEMES = pytest.mark.parametrize("scheme", ["bearer", "basic"])


@pytest.fixture
def other(trusted: tuple[Path, Path]) -> Iterator[Registry]:
    server = Registry(trusted[1])
    yield server
    server.close()


@SCHEMES
def test_an_image_is_pulled_with_the_right_credential_and_refused_with_a_wrong_one(
    registry: Registry,
    ours: Registries,
    scheme: str,
) -> None:
    registry.behaviour.scheme = scheme
    image = f"{registry.key}/team/app:1"
    assert ours.pull(image, {registry.key: GOOD}).login is Login.ACCEPTED
    refused = ours.pull(image, {registry.key: BAD})
    assert refused.login is Login.REFUSED
    assert refused.message.startswith(f"{image}: the credential for {registry.key} is refused: ")


@SCHEMES
def test_a_credential_that_logs_in_is_refused_by_the_one_repository_that_it_lacks(
    registry: Registry,
    ours: Registries,
    scheme: str,
) -> None:
    registry.behaviour.scheme, registry.behaviour.denied = scheme, frozenset({"team/base"})
    content = {registry.key: GOOD}
    assert ours.log_in(registry.key, GOOD).login is Login.ACCEPTED
    assert ours.pull(f"{registry.key}/team/app:1", content).login is Login.ACCEPTED
    assert ours.pull(f"{registry.key}/team/base:1", content).login is Login.REFUSED


def test_an_image_without_a_credential_that_covers_it_is_refused_where_one_is_required(
    registry: Registry,
    ours: Registries,
) -> None:
    image, content = f"{registry.key}/team/app:1", {f"{registry.key}/other/": GOOD}
    registry.behaviour.scheme = "basic"
    assert ours.pull(image, content).login is Login.REFUSED
    registry.behaviour.scheme = "none"
    assert ours.pull(image, content).login is Login.ACCEPTED


def test_the_second_credential_is_tried_as_the_kubelet_does(
    registry: Registry,
    ours: Registries,
) -> None:
    content = {registry.key: GOOD, f"{registry.key}/team": BAD}
    assert ours.pull(f"{registry.key}/team/app:1", content).login is Login.ACCEPTED


def test_an_image_that_is_not_there_is_unknown_because_a_registry_can_hide_it(
    registry: Registry,
    ours: Registries,
) -> None:
    found = ours.pull(f"{registry.key}/team/app:2", {registry.key: GOOD})
    assert (found.login, found.is_missing) == (Login.UNKNOWN, True)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_registry_that_cannot_answer_now_is_unknown(
    registry: Registry,
    ours: Registries,
    status: int,
) -> None:
    registry.behaviour.status = status
    found = ours.pull(f"{registry.key}/team/app:1", {registry.key: GOOD})
    assert (found.login, found.is_missing) == (Login.UNKNOWN, False)
    assert str(status) in found.message
    assert PASSWORD not in found.message


def test_a_registry_that_is_down_is_unknown(registry: Registry, ours: Registries) -> None:
    registry.close()
    assert ours.pull(f"{registry.key}/team/app:1", {registry.key: GOOD}).login is Login.UNKNOWN


@SCHEMES
def test_a_redirect_to_another_host_is_followed_without_the_credential(
    registry: Registry,
    other: Registry,
    ours: Registries,
    scheme: str,
) -> None:
    registry.behaviour.scheme, registry.behaviour.moved = scheme, f"https://{other.key}"
    other.behaviour.scheme = "none"
    image, content = f"{registry.key}/team/app:1", {registry.key: GOOD}
    assert ours.pull(image, content).login is Login.ACCEPTED
    other.behaviour.scheme = scheme
    found = ours.pull(image, content)
    assert (found.login, "requires another credential" in found.message) == (Login.UNKNOWN, True)
    assert {authorization for _, _, authorization in other.behaviour.seen} == {""}


@pytest.mark.parametrize("moved", ["http://127.0.0.1:1", "file:///etc/passwd", "https://u:p@host", "https://["])
def test_a_redirect_to_a_place_that_is_not_an_https_url_is_not_followed(
    registry: Registry,
    ours: Registries,
    moved: str,
) -> None:
    registry.behaviour.moved = moved
    found = ours.pull(f"{registry.key}/team/app:1", {registry.key: GOOD})
    assert (found.login, "not an https URL" in found.message) == (Login.UNKNOWN, True)


def test_redirects_without_end_are_given_up(registry: Registry, ours: Registries) -> None:
    registry.behaviour.moved = f"https://{registry.key}"
    found = ours.pull(f"{registry.key}/team/app:1", {registry.key: GOOD})
    assert (found.login, "answers 307" in found.message) == (Login.UNKNOWN, True)


def test_messages_do_not_contain_the_credential_or_a_token(registry: Registry, ours: Registries) -> None:
    registry.behaviour.denied = frozenset({"team/app"})
    message = ours.pull(f"{registry.key}/team/app:1", {registry.key: GOOD}).message
    assert not [secret for secret in (PASSWORD, USER, TOKEN) if secret in message]


def test_the_most_specific_key_comes_first_and_docker_hub_only_alone() -> None:
    keys = ["ghcr.io", "ghcr.io/org/app", "*.io", "ghcr.io/org", "quay.io"]
    assert covering_keys(keys, "ghcr.io/org/app:1") == ["ghcr.io/org/app", "ghcr.io/org", "ghcr.io", "*.io"]
    hub = "https://index.docker.io/v1/"
    assert covering_keys([hub, "quay.io"], "nginx") == [hub]
    assert covering_keys([hub, "docker.io/library"], "nginx") == ["docker.io/library"]


def test_a_pull_without_a_credential_is_open_public_or_requires_a_login(registry: Registry, ours: Registries) -> None:
    image = f"{registry.key}/team/app:1"
    found = {}
    for scheme in ("none", "basic", "bearer"):
        registry.behaviour.scheme = scheme
        found[scheme] = ours.pull_without(image).access
    registry.behaviour.users = {ACCEPTED: frozenset(), "": frozenset()}
    assert found == {"none": AnonymousAccess.OPEN, "basic": AnonymousAccess.LOGIN, "bearer": AnonymousAccess.LOGIN}
    assert ours.pull_without(image).access is AnonymousAccess.PUBLIC
    assert ours.pull_with(image, registry.key, BAD).login is Login.REFUSED
    registry.behaviour.status = 503
    assert ours.pull_without(image).access is AnonymousAccess.UNKNOWN
    registry.close()
    assert ours.pull_without(image).access is AnonymousAccess.UNKNOWN
