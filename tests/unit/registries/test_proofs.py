"""A new content of a rotation is proved at a small registry over TLS."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from tests.unit.registries.registry import BAD, GOOD, Registry
from webhook.errors import Forbidden
from webhook.registries.login import Login, LoginResult, Registries
from webhook.rules.configuration import ProofSettings, PullSecret, RolloutSettings
from webhook.rules.credential import Credential
from webhook.rules.dockerconfig import render
from webhook.rules.rollout import ProofOutcome
from webhook.rules.state_document import LastGood
from webhook.sync.rollout_tests import TESTS_AT_ONCE, ProofResult, RegistryProof

OLD = Credential("robot", "of-last-year")


def content(credentials: Mapping[str, Credential]) -> LastGood:
    return LastGood(render(credentials), (), datetime(2026, 11, 29, tzinfo=UTC))


def entry(settings: ProofSettings) -> PullSecret:
    return PullSecret("pull", ("harbor",), rollout=RolloutSettings(prove=settings))


def prove(proof: RegistryProof, settings: ProofSettings, before: LastGood | None, after: LastGood) -> ProofResult:
    result = proof(entry(settings), before, after)
    assert result is not None
    return result


@pytest.fixture
def images(registry: Registry) -> tuple[str, ...]:
    return (f"{registry.key}/team/app:1", f"{registry.key}/team/base:1")


def test_a_content_that_logs_in_and_pulls_is_proved(
    registry: Registry, ours: Registries, images: tuple[str, ...]
) -> None:
    before, after = content({registry.key: OLD}), content({registry.key: GOOD})
    assert prove(RegistryProof(ours), ProofSettings(pull=images), before, after).outcome is ProofOutcome.PROVED


def test_one_image_that_is_denied_refuses_the_content(
    registry: Registry, ours: Registries, images: tuple[str, ...]
) -> None:
    registry.behaviour.denied = frozenset({"team/base"})
    proof = prove(RegistryProof(ours), ProofSettings(pull=images), None, content({registry.key: GOOD}))
    assert proof.outcome is ProofOutcome.REFUSED
    assert images[1] in proof.detail
    assert images[0] not in proof.detail
    assert GOOD.password not in proof.detail


@pytest.mark.parametrize(("before", "asked"), [(GOOD, False), (BAD, True)])
def test_only_what_has_changed_is_asked(
    registry: Registry, ours: Registries, images: tuple[str, ...], before: Credential, asked: bool
) -> None:
    prove(
        RegistryProof(ours), ProofSettings(pull=images), content({registry.key: before}), content({registry.key: GOOD})
    )
    assert bool(registry.behaviour.seen) is asked


def test_an_image_that_the_registry_lacks_is_unknown(registry: Registry, ours: Registries) -> None:
    settings = ProofSettings(login=False, pull=(f"{registry.key}/team/gone:1",))
    proof = prove(RegistryProof(ours), settings, content({registry.key: BAD}), content({registry.key: GOOD}))
    assert proof.outcome is ProofOutcome.UNKNOWN


class Hiding:
    """A registry that answers 404 for what a credential may not see."""

    def __init__(self, seen_by: str) -> None:
        self.seen_by = seen_by

    def pull(self, image: str, credentials: Mapping[str, Credential]) -> LoginResult:
        if any(each.password == self.seen_by for each in credentials.values()):
            return LoginResult(Login.ACCEPTED, f"{image} can be pulled")
        return LoginResult(Login.UNKNOWN, f"{image}: 404", is_missing=True)

    def log_in(self, key: str, credential: Credential) -> LoginResult:
        return LoginResult(Login.ACCEPTED, f"{key} accepts {credential.username}")


@pytest.mark.parametrize(
    ("seen_by", "expected"), [(OLD.password, ProofOutcome.REFUSED), ("nobody", ProofOutcome.UNKNOWN)]
)
def test_an_image_that_only_the_previous_credential_finds_is_hidden_from_the_new_one(
    seen_by: str, expected: ProofOutcome
) -> None:
    settings = ProofSettings(pull=("registry.example.com/team/app:1",))
    before, after = (content({"registry.example.com": each}) for each in (OLD, GOOD))
    assert prove(RegistryProof(Hiding(seen_by)), settings, before, after).outcome is expected


OF_PODS = ProofSettings(login=False, images_from_pods=True)


@pytest.mark.parametrize(
    ("seen_by", "expected"),
    [(OLD.password, ProofOutcome.REFUSED), (GOOD.password, ProofOutcome.PROVED), ("nobody", ProofOutcome.PROVED)],
)
def test_an_image_of_a_pod_speaks_against_a_content_only_if_the_previous_one_can_pull_it(
    seen_by: str, expected: ProofOutcome
) -> None:
    before, after = (content({"registry.example.com": each}) for each in (OLD, GOOD))
    proof = RegistryProof(Hiding(seen_by), lambda *_: ["registry.example.com/team/app:1"])
    result = prove(proof, OF_PODS, before, after)
    assert result.outcome is expected
    assert ("registry.example.com/team/app:1" in result.detail) is (expected is ProofOutcome.REFUSED)


def test_without_the_right_to_read_pods_their_images_are_unknown() -> None:
    def forbidden(*_: object) -> list[str]:
        raise Forbidden("pods is forbidden", status=403)

    before, after = (content({"registry.example.com": each}) for each in (OLD, GOOD))
    result = prove(RegistryProof(Hiding(GOOD.password), forbidden), OF_PODS, before, after)
    assert result.outcome is ProofOutcome.UNKNOWN
    assert "pods is forbidden" in result.detail


def test_images_of_pods_fill_up_the_named_ones() -> None:
    asked: list[str] = []

    class Counting(Hiding):
        def pull(self, image: str, credentials: Mapping[str, Credential]) -> LoginResult:
            asked.append(image)
            return super().pull(image, credentials)

    before, after = (content({"registry.example.com": each}) for each in (OLD, GOOD))
    named = tuple(f"registry.example.com/named/{number}:1" for number in range(30))
    found = ["registry.example.com/named/1:2", *(f"registry.example.com/pod/{number}:1" for number in range(9))]
    settings = ProofSettings(login=False, pull=named, images_from_pods=True)
    proof = RegistryProof(Counting(GOOD.password), lambda *_: found)
    assert prove(proof, settings, before, after).outcome is ProofOutcome.PROVED
    assert sorted(asked) == sorted([*named, *found[1:3]])


@pytest.mark.parametrize("of_pods", [True, False])
def test_a_process_that_stops_asks_no_registry_any_more_and_has_no_outcome(*, of_pods: bool) -> None:
    """The first pulls are under way at the stop: the others, and the comparison with before, do not begin."""
    stopping = threading.Event()
    asked: list[str] = []

    class Slow(Hiding):
        def pull(self, image: str, credentials: Mapping[str, Credential]) -> LoginResult:
            asked.append(image)
            stopping.set()
            return super().pull(image, credentials)

        def log_in(self, key: str, credential: Credential) -> LoginResult:
            asked.append(key)
            return super().log_in(key, credential)

    before, after = (content({"registry.example.com": each}) for each in (OLD, GOOD))
    images = tuple(f"registry.example.com/team/{number}:1" for number in range(50))
    settings = ProofSettings(login=False, pull=() if of_pods else images, images_from_pods=of_pods)
    assert RegistryProof(Slow(OLD.password), lambda *_: images, stopping.is_set)(entry(settings), before, after) is None
    assert len(asked) <= TESTS_AT_ONCE
    asked.clear()
    assert RegistryProof(Slow("nobody"), None, stopping.is_set)(entry(ProofSettings()), before, after) is None
    assert asked == []
