"""A running loop rotates a pull secret in stages."""

from __future__ import annotations

import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.json import encode
from msgspec.structs import replace

from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.fake_apiserver.storage import Target
from tests.unit.polling import until
from tests.unit.sync.running import Running, reasons
from tests.unit.sync.world import (
    CONFIGURATION,
    RELEASE,
    copy_in,
    edit_copy,
    password_in,
    put_account,
    put_namespace,
    put_source,
)
from tests.unit.sync.world import secret_path as path_of
from webhook.kube.client import Client
from webhook.ops.sync_status import LeaderStatus
from webhook.rules.configuration import Configuration, ProofSettings, PullSecret, RolloutSettings
from webhook.rules.copy_status import CopyState
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE, content_hash, parse_source, render
from webhook.rules.pulls import PullFailure
from webhook.rules.rollout import PRIORITY_LABEL, REQUEST_ANNOTATION, HoldReason, Progress, ProofOutcome, Rollout, Stage
from webhook.rules.state_document import (
    ROLLOUTS_KEY,
    LastGood,
    StateDocument,
    StoredRollout,
    decode_document,
    decode_rollouts,
)
from webhook.rules.versions import SourceVersion
from webhook.sync.rollout_tests import ProofResult, Prove, PullReport
from webhook.sync.rollouts import UNSTORED_SECONDS, Rollouts
from webhook.sync.source import Content
from webhook.sync.status import controller_status

STATE = "psw-state"
FOREVER = RolloutSettings(canary=("staging-*",), soak=86400.0)

Start = Callable[..., Running]

pytestmark = pytest.mark.usefixtures("short_pauses")


def configured(settings: RolloutSettings | None) -> Configuration:
    return replace(CONFIGURATION, pull_secrets=(PullSecret("pull", ("harbor",), rollout=settings),))


@pytest.fixture
def start(api: FakeApiServer, client: Client) -> Iterator[Start]:
    """Return a function that starts a loop; there are a source and two namespaces, one of them in the canary."""
    put_namespace(api, RELEASE.namespace, "")
    put_source(api, "first")
    put_namespace(api, "a")
    put_namespace(api, "staging-a")
    started: list[Running] = []

    def begin(settings: RolloutSettings | None = FOREVER, prove: Prove | None = None) -> Running:
        for each in started:
            each.stop()
        running = Running(client, configuration=configured(settings), state_secret=STATE, prove=prove)
        started.append(running)
        running.start()
        return running

    yield begin
    for each in started:
        each.stop()


def everywhere(api: FakeApiServer, password: str) -> bool:
    return has(api, "a", password) and has(api, "staging-a", password)


def has(api: FakeApiServer, namespace: str, password: str) -> bool:
    return password_in(copy_in(api, namespace)) == password


def rotate(api: FakeApiServer, running: Running, password: str = "second") -> None:  # noqa: S107
    """Rotate in a cluster where every copy has the first content, until the canary has the new one."""
    until(lambda: everywhere(api, "first") and state_is(running, Stage.SETTLED))
    put_source(api, password)
    until(lambda: has(api, "staging-a", password))


def state_is(running: Running, stage: Stage) -> bool:
    state = running.loop.sources.rollouts.state("pull")
    return state is not None and state.stage is stage


def stored_stage(api: FakeApiServer) -> Stage | None:
    """Return the stage that is stored; None before one is."""
    state = api.read(path_of(RELEASE.namespace, STATE))
    stored = decode_document(state["data"] if state else {}).rollouts.get("pull")
    return None if stored is None else stored.rollout.stage


def ask(api: FakeApiServer, running: Running, verb: str) -> None:
    state = running.loop.sources.rollouts.state("pull")
    assert state is not None
    patch = {"metadata": {"annotations": {REQUEST_ANNOTATION: f"{verb}-{state.id}"}}}
    api.storage.merge_patch(Target.parse(path_of(RELEASE.namespace, "harbor")), patch, "kubectl")


def test_a_new_content_goes_to_the_canary_and_nowhere_else(api: FakeApiServer, start: Start) -> None:
    running = start()
    rotate(api, running)
    running.settle()
    assert has(api, "a", "first")
    assert state_is(running, Stage.CANARY)


def test_a_new_namespace_gets_the_content_of_its_stage(api: FakeApiServer, start: Start) -> None:
    running = start()
    rotate(api, running)
    put_namespace(api, "b")
    put_namespace(api, "staging-b")
    until(lambda: has(api, "b", "first") and has(api, "staging-b", "second"))


def test_a_copy_that_somebody_edits_gets_the_content_of_its_stage_back(api: FakeApiServer, start: Start) -> None:
    running = start()
    rotate(api, running)
    for namespace in ("a", "staging-a"):
        edit_copy(api, namespace)
    until(lambda: has(api, "a", "first") and has(api, "staging-a", "second"))


def test_after_the_soak_every_namespace_gets_it(api: FakeApiServer, start: Start) -> None:
    running = start(replace(FOREVER, soak=0.1))
    rotate(api, running)
    until(lambda: everywhere(api, "second"))
    until(lambda: state_is(running, Stage.COMPLETE))
    until(lambda: {"RotationInCanary", "RotationRollingOut", "RotationComplete"} <= reasons(api))


def test_a_promoted_rotation_does_not_wait_for_the_soak(api: FakeApiServer, start: Start) -> None:
    running = start()
    rotate(api, running)
    ask(api, running, "promote")
    until(lambda: everywhere(api, "second"))


def test_an_aborted_rotation_gives_the_previous_content_back(api: FakeApiServer, start: Start) -> None:
    running = start()
    rotate(api, running)
    ask(api, running, "abort")
    until(lambda: everywhere(api, "first"))
    until(lambda: "RotationAborted" in reasons(api))


def test_a_complete_rotation_can_be_aborted_within_the_overlap(api: FakeApiServer, start: Start) -> None:
    running = start()
    rotate(api, running)
    ask(api, running, "promote")
    until(lambda: state_is(running, Stage.COMPLETE))
    ask(api, running, "abort")
    until(lambda: everywhere(api, "first"))


def test_when_the_overlap_is_over_the_previous_credential_may_be_revoked(api: FakeApiServer, start: Start) -> None:
    running = start(replace(FOREVER, soak=0.1, overlap=0.1))
    rotate(api, running)
    until(lambda: "CredentialUnused" in reasons(api))


@pytest.mark.parametrize("verb", ["promote", "abort"])
def test_another_leader_goes_on_with_the_rotation(api: FakeApiServer, start: Start, verb: str) -> None:
    rotate(api, start())
    running = start()
    until(lambda: state_is(running, Stage.CANARY))
    put_namespace(api, "b")
    until(lambda: has(api, "b", "first"))
    ask(api, running, verb)
    until(lambda: everywhere(api, "second" if verb == "promote" else "first"))


def test_another_leader_keeps_an_aborted_rotation_aborted(api: FakeApiServer, start: Start) -> None:
    running = start()
    rotate(api, running)
    ask(api, running, "abort")
    until(lambda: everywhere(api, "first") and state_is(running, Stage.ABORTED))
    running = start()
    until(lambda: state_is(running, Stage.ABORTED))
    put_namespace(api, "staging-b")
    until(lambda: has(api, "staging-b", "first"))


def test_a_second_rotation_in_the_canary_replaces_the_first(api: FakeApiServer, start: Start) -> None:
    running = start()
    rotate(api, running)
    put_source(api, "third")
    until(lambda: has(api, "staging-a", "third"))
    assert has(api, "a", "first")


def test_a_content_on_its_way_outlives_its_leader_and_its_source(api: FakeApiServer, start: Start) -> None:
    # They come before the last one, which so has its turn long after the leader has ended.
    between = [f"b{number}" for number in range(8)]
    for name in between:
        put_namespace(api, name)
    running = start(RolloutSettings(max_per_second=1))
    until(lambda: everywhere(api, "first") and all(has(api, name, "first") for name in between))
    put_source(api, "second")
    until(lambda: has(api, "a", "second"))
    until(lambda: stored_stage(api) is Stage.ROLLING_OUT)
    running.stop()
    assert not has(api, "staging-a", "second")

    put_source(api, "third")
    start(PROVED, FakeRegistry(ProofOutcome.REFUSED).prove)

    until(lambda: "RotationHeld" in reasons(api))
    until(lambda: everywhere(api, "second") and all(has(api, name, "second") for name in between))


def test_a_new_leader_knows_the_copies_of_a_rotation_whose_source_is_missing() -> None:
    first, second = payload_of("first"), payload_of("second")
    progress = Progress(canary=1, canary_reached=1, remaining=1, total=2)
    hashes = content_hash(first.payload), content_hash(second.payload)
    canary = Rollout("id", Stage.CANARY, datetime(2026, 1, 1, tzinfo=UTC), *hashes)
    rollouts = Rollouts()
    rollouts.configure(configured(FOREVER))
    rollouts.load(StateDocument({"pull": first}, rollouts={"pull": StoredRollout(canary, progress)}))
    rollouts.observe("pull", None)
    rollouts.advance(Everywhere())
    assert rollouts.progress("pull") == progress
    assert decode_rollouts(rollouts.to_store()[1][ROLLOUTS_KEY])["pull"].progress == progress


def test_a_source_that_is_put_back_is_followed_immediately(api: FakeApiServer, start: Start) -> None:
    running = start()
    rotate(api, running)
    put_source(api, "first")
    until(lambda: everywhere(api, "first") and state_is(running, Stage.SETTLED))


def test_while_the_source_is_missing_copies_stay_and_a_new_namespace_gets_the_previous_content(
    api: FakeApiServer, start: Start
) -> None:
    running = start()
    rotate(api, running)
    api.remove(path_of(RELEASE.namespace, "harbor"))
    until(running.loop.sources.missing)
    put_namespace(api, "b")
    put_namespace(api, "staging-b")
    until(lambda: has(api, "b", "first") and has(api, "staging-b", "first"))
    assert has(api, "staging-a", "second")
    put_source(api, "second")
    until(lambda: has(api, "staging-b", "second"))
    assert has(api, "b", "first")


def test_a_configuration_without_a_rollout_rolls_out_immediately(api: FakeApiServer, start: Start) -> None:
    running = start()
    rotate(api, running)
    running.loop.reconfigure(configured(None))
    until(lambda: everywhere(api, "second"))


def test_a_configuration_with_another_canary_moves_the_content(api: FakeApiServer, start: Start) -> None:
    running = start()
    rotate(api, running)
    running.loop.reconfigure(configured(replace(FOREVER, canary=("a",))))
    until(lambda: has(api, "staging-a", "first") and has(api, "a", "second"))


def test_a_rollout_that_is_configured_later_begins_with_the_next_rotation(api: FakeApiServer, start: Start) -> None:
    running = start(None)
    until(lambda: everywhere(api, "first"))
    running.loop.reconfigure(configured(FOREVER))
    until(lambda: state_is(running, Stage.SETTLED))
    rotate(api, running)
    assert has(api, "a", "first")


def test_a_canary_without_a_namespace_holds_the_rotation_until_there_is_one(api: FakeApiServer, start: Start) -> None:
    start(replace(FOREVER, canary=("test-*",)))
    until(lambda: everywhere(api, "first"))
    put_source(api, "second")
    until(lambda: "RotationHeld" in reasons(api))
    put_namespace(api, "test-a")
    until(lambda: has(api, "test-a", "second"))
    assert everywhere(api, "first")


def test_a_namespace_that_opts_out_of_the_canary_loses_its_copy(api: FakeApiServer, start: Start) -> None:
    running = start()
    rotate(api, running)
    put_namespace(api, "staging-a", "no")
    until(lambda: copy_in(api, "staging-a") is None)
    until(lambda: "RotationHeld" in reasons(api))
    assert has(api, "a", "first")


def test_a_retired_pull_secret_is_removed_in_any_stage(api: FakeApiServer, start: Start) -> None:
    running = start()
    rotate(api, running)
    running.loop.reconfigure(replace(configured(None), pull_secrets=(), retired=("pull",)))
    until(lambda: copy_in(api, "a") is None and copy_in(api, "staging-a") is None)


def test_copies_change_at_the_configured_rate(api: FakeApiServer, start: Start) -> None:
    names, rate = ["a", "staging-a", *(f"b{number}" for number in range(6))], 5
    for name in names:
        put_namespace(api, name)
    running = start(RolloutSettings(max_per_second=rate))
    until(lambda: all(has(api, name, "first") for name in names))
    rotated_at = time.monotonic()
    put_source(api, "second")
    until(lambda: all(has(api, name, "second") for name in names))
    until(lambda: state_is(running, Stage.COMPLETE))
    copies = [request for request in api.seen("apply", plural="secrets") if request.target.name == "pull"]
    written_after = sorted(request.at - rotated_at for request in copies if request.at > rotated_at)
    # On a busy machine a turn may be late, and then the next one is not; none is early.
    assert [seconds >= number / rate for number, seconds in enumerate(written_after)] == [True] * len(names)


def test_namespaces_that_enforce_references_come_first_then_those_with_a_priority(
    api: FakeApiServer, start: Start
) -> None:
    names = ["b", "c", "d", "e"]
    for name in names:
        put_namespace(api, name)
    put_account(api, "e", enforces=True)
    for name, priority in (("c", "9"), ("d", "20"), ("b", "high")):
        labels = {"metadata": {"labels": {PRIORITY_LABEL: priority}}}
        api.storage.merge_patch(Target.parse(f"/api/v1/namespaces/{name}"), labels, "kubectl")
    running = start(RolloutSettings(max_per_second=5))
    until(lambda: everywhere(api, "first") and all(has(api, name, "first") for name in names))
    until(lambda: state_is(running, Stage.SETTLED))
    put_source(api, "second")
    until(lambda: everywhere(api, "second") and all(has(api, name, "second") for name in names))
    written = {name: int((copy_in(api, name) or {})["metadata"]["resourceVersion"]) for name in (*names, "a")}
    assert sorted(written, key=lambda name: written[name]) == ["e", "d", "c", "a", "b"]


def test_a_namespace_that_opts_out_while_it_waits_for_its_turn_does_not_keep_the_rotation_from_its_end(
    api: FakeApiServer, start: Start
) -> None:
    put_namespace(api, "b")
    running = start(RolloutSettings(max_per_second=1))
    until(lambda: everywhere(api, "first") and has(api, "b", "first"))
    put_source(api, "second")
    until(lambda: has(api, "a", "second"))
    put_namespace(api, "staging-a", "no")
    until(lambda: copy_in(api, "staging-a") is None and has(api, "b", "second"))
    until(lambda: state_is(running, Stage.COMPLETE))


@pytest.mark.parametrize("stage", [Stage.CANARY, Stage.HELD, Stage.ABORTED, Stage.COMPLETE])
def test_a_source_that_is_deleted_in_any_stage_changes_no_copy_and_the_stage_goes_on(
    api: FakeApiServer, start: Start, stage: Stage
) -> None:
    registry = FakeRegistry(ProofOutcome.REFUSED if stage is Stage.HELD else ProofOutcome.PROVED)
    running = start(PROVED, registry.prove)
    until(lambda: everywhere(api, "first") and state_is(running, Stage.SETTLED))
    put_source(api, "second")
    if stage is not Stage.HELD:
        until(lambda: has(api, "staging-a", "second") and state_is(running, Stage.CANARY))
    if stage in (Stage.ABORTED, Stage.COMPLETE):
        ask(api, running, "abort" if stage is Stage.ABORTED else "promote")
    until(lambda: state_is(running, stage))
    before = {
        "a": "second" if stage is Stage.COMPLETE else "first",
        "staging-a": "second" if stage in (Stage.CANARY, Stage.COMPLETE) else "first",
    }
    # The copies follow the stage.
    until(lambda: all(has(api, name, password) for name, password in before.items()))
    api.remove(path_of(RELEASE.namespace, "harbor"))
    until(running.loop.sources.missing)
    put_namespace(api, "b")
    until(lambda: has(api, "b", "second" if stage is Stage.COMPLETE else "first"))
    assert {name: password_in(copy_in(api, name)) for name in before} == before
    put_source(api, "second")
    until(lambda: not running.loop.sources.missing())
    running.settle()
    assert state_is(running, stage)


def test_a_retired_pull_secret_that_comes_back_begins_with_what_its_sources_have(
    api: FakeApiServer, start: Start
) -> None:
    running = start()
    rotate(api, running)
    running.loop.reconfigure(replace(configured(None), pull_secrets=(), retired=("pull",)))
    until(lambda: copy_in(api, "a") is None and copy_in(api, "staging-a") is None)
    running.loop.reconfigure(configured(FOREVER))
    until(lambda: everywhere(api, "second") and state_is(running, Stage.SETTLED))
    put_source(api, "third")
    until(lambda: has(api, "staging-a", "third"))
    assert has(api, "a", "second")


class FakeRegistry:
    """A registry that answers as the test says, and counts how often it was asked."""

    def __init__(self, outcome: ProofOutcome) -> None:
        self.outcome = outcome
        self.asked = 0

    def prove(self, _entry: PullSecret, base: LastGood | None, proposed: LastGood) -> ProofResult:
        assert base is not None
        assert base.payload != proposed.payload
        self.asked += 1
        return ProofResult(self.outcome, f"registry: {self.outcome}")


PROVED = replace(FOREVER, prove=ProofSettings())


def test_a_content_that_its_registry_refuses_goes_nowhere(api: FakeApiServer, start: Start) -> None:
    registry = FakeRegistry(ProofOutcome.REFUSED)
    running = start(PROVED, registry.prove)
    until(lambda: everywhere(api, "first"))
    put_source(api, "second")
    until(lambda: "RotationHeld" in reasons(api))
    put_namespace(api, "staging-b")
    until(lambda: has(api, "staging-b", "first"))
    ask(api, running, "promote")
    put_namespace(api, "staging-c")
    until(lambda: has(api, "staging-c", "first"))
    assert everywhere(api, "first")


def test_a_content_that_replaces_one_during_its_proof_is_proved(api: FakeApiServer, start: Start) -> None:
    began, may_end = threading.Event(), threading.Event()

    def prove(_entry: PullSecret, _base: LastGood | None, proposed: LastGood) -> ProofResult:
        if b"second" not in proposed.payload:
            return ProofResult(ProofOutcome.PROVED)
        began.set()
        assert may_end.wait(30)
        return ProofResult(ProofOutcome.REFUSED, "registry: refused")

    running = start(PROVED, prove)
    until(lambda: everywhere(api, "first"))
    put_source(api, "second")
    assert began.wait(30)
    before = running.loop.sources.rollouts.state("pull")
    put_source(api, "third")
    until(lambda: running.loop.sources.rollouts.state("pull") != before)
    may_end.set()
    until(lambda: has(api, "staging-a", "third"))
    assert has(api, "a", "first")


def test_a_content_that_its_registry_accepts_later_goes_on(
    api: FakeApiServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.sync.rollout_tests.PROOF_SECONDS", 0.1)
    registry = FakeRegistry(ProofOutcome.REFUSED)
    start(PROVED, registry.prove)
    until(lambda: everywhere(api, "first"))
    put_source(api, "second")
    until(lambda: registry.asked > 1)
    registry.outcome = ProofOutcome.PROVED
    until(lambda: has(api, "staging-a", "second"))
    assert has(api, "a", "first")


def test_a_registry_that_refuses_during_the_soak_gets_the_canary_its_content_back(
    api: FakeApiServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.sync.rollout_tests.PROOF_SECONDS", 0.1)
    registry = FakeRegistry(ProofOutcome.PROVED)
    rotate(api, start(PROVED, registry.prove))
    registry.outcome = ProofOutcome.REFUSED
    until(lambda: everywhere(api, "first"))


def test_a_registry_that_does_not_answer_holds_the_rotation_until_a_person_promotes_it(
    api: FakeApiServer, start: Start
) -> None:
    running = start(PROVED, FakeRegistry(ProofOutcome.UNKNOWN).prove)
    until(lambda: everywhere(api, "first"))
    put_source(api, "second")
    until(lambda: "RotationHeld" in reasons(api))
    assert everywhere(api, "first")
    ask(api, running, "promote")
    until(lambda: has(api, "staging-a", "second"))
    assert has(api, "a", "first")


def test_a_soak_ends_only_after_a_proof(api: FakeApiServer, start: Start) -> None:
    registry = FakeRegistry(ProofOutcome.PROVED)
    start(replace(PROVED, soak=0.1), registry.prove)
    until(lambda: everywhere(api, "first"))
    put_source(api, "second")
    until(lambda: everywhere(api, "second"))
    assert registry.asked >= 2  # once before the canary, and once in it


def test_a_proof_that_fails_with_a_defect_holds_the_rotation(api: FakeApiServer, start: Start) -> None:
    def fail(_entry: PullSecret, _base: LastGood | None, _proposed: LastGood) -> ProofResult:
        raise ValueError

    start(PROVED, fail)
    until(lambda: everywhere(api, "first"))
    put_source(api, "second")
    until(lambda: "RotationHeld" in reasons(api))
    assert everywhere(api, "first")


class Everywhere:
    """Surroundings in which every copy has the proposed content."""

    is_leading = True

    def rollout_progress(self, _name: str, _rollout: Rollout) -> Progress:
        return Progress(canary=1, canary_reached=1, total=2)

    def rollout_moved(self, _name: str, _before: Rollout | None, _after: Rollout) -> None:
        """Report nothing."""

    def rollouts_to_store(self) -> None:
        """Store nothing."""


@pytest.mark.parametrize("days", [400, -400])
def test_a_clock_that_jumps_neither_ends_nor_prolongs_a_soak_and_an_overlap(days: int) -> None:
    now, seconds = [datetime(2026, 1, 1, tzinfo=UTC)], [0.0]
    rollouts = Rollouts(clock=lambda: now[0], monotonic=lambda: seconds[0])
    rollouts.configure(configured(RolloutSettings(canary=("staging-*",), soak=60.0, overlap=600.0)))
    rollouts.load(StateDocument())
    contents = [LastGood(payload, (SourceVersion("harbor", "u", "1"),), now[0]) for payload in (b"first", b"second")]

    def advance(by: float) -> Rollout:
        seconds[0] += by
        rollouts.advance(Everywhere())
        state = rollouts.state("pull")
        assert state is not None
        return state

    for content in contents:
        rollouts.observe("pull", content)
    assert advance(0.0).stage is Stage.CANARY
    now[0] += timedelta(days=days)
    assert advance(59.0).stage is Stage.CANARY
    assert advance(1.0).stage is Stage.ROLLING_OUT
    assert advance(0.0).stage is Stage.COMPLETE
    now[0] -= timedelta(days=2 * days)
    assert advance(599.0).previous
    assert not advance(1.0).previous


def test_a_configuration_with_other_sources_that_arrives_during_a_look_begins_again() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    others = replace(CONFIGURATION, pull_secrets=(PullSecret("pull", ("ghcr",), rollout=FOREVER),))
    rollouts = Rollouts()
    rollouts.configure(configured(FOREVER))
    rollouts.load(StateDocument())
    rollouts.observe("pull", LastGood(b"first", (SourceVersion("harbor", "u", "1"),), now))

    class Reconfigured(Everywhere):
        def rollout_progress(self, _name: str, _rollout: Rollout) -> Progress:
            rollouts.configure(others)
            rollouts.observe("pull", LastGood(b"second", (SourceVersion("ghcr", "u", "1"),), now))
            return Progress()

    rollouts.advance(Reconfigured())
    rollouts.advance(Everywhere())

    state = rollouts.state("pull")
    assert state is not None
    assert (state.stage, state.base) == (Stage.SETTLED, content_hash(b"second"))


def payload_of(password: str) -> LastGood:
    credentials = f'{{"auths":{{"registry.example.com":{{"auth":"{b64encode(f"u:{password}".encode()).decode()}"}}}}}}'
    encoded = b64encode(credentials.encode()).decode()
    payload = render(parse_source("harbor", COPY_TYPE, {COPY_KEY: encoded}, {}))
    return LastGood(payload, (SourceVersion("harbor", "u", "1"),), datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("end", ["stored", "not stored", "another leader"])
def test_a_refused_pod_holds_a_rotation_after_that_is_stored_and_also_if_the_leader_ends_in_between(end: str) -> None:
    seconds, seen = [0.0], PullReport((PullFailure("staging-a", "web", "registry.example.com/a:1"),), 1)
    settings = replace(FOREVER, watch_pods=True)
    first, second = payload_of("first"), payload_of("second")
    current = Content(second.payload, content_hash(second.payload))

    def make(seen: PullReport, stored: StateDocument) -> Rollouts:
        made = Rollouts(None, lambda *_: seen, monotonic=lambda: seconds[0])
        made.configure(configured(settings))
        made.load(stored)
        return made

    def state(rollouts: Rollouts) -> Rollout:
        rollouts.advance(Everywhere())
        found = rollouts.state("pull")
        assert found is not None
        return found

    rollouts = make(seen, StateDocument())
    rollouts.observe("pull", first)
    rollouts.observe("pull", second)
    until(lambda: state(rollouts).pod == "staging-a/web")
    # The copies stay until another leader would know the cause.
    assert state(rollouts).stage is Stage.CANARY
    assert rollouts.choose("pull", "staging-a", current) == current
    value = rollouts.to_store()[1][ROLLOUTS_KEY]
    if end == "stored":
        rollouts.confirm(value)
    elif end == "not stored":
        seconds[0] += UNSTORED_SECONDS
    else:
        # It writes the copies again, so it sees no failure that is newer than its copy.
        rollouts = make(PullReport(watched=1), StateDocument({"pull": first}, rollouts=decode_rollouts(value)))
        rollouts.observe("pull", second)
    held = state(rollouts)
    assert (held.stage, held.reason, held.pod) == (Stage.HELD, HoldReason.PODS_REFUSED, "staging-a/web")
    assert "Pod staging-a/web cannot pull" in held.detail


def test_no_hash_of_a_content_is_in_the_status(api: FakeApiServer, start: Start) -> None:
    running = start()
    rotate(api, running)
    until(lambda: running.loop.sources.rollouts.progress("pull").canary_reached == 1)
    running.settle()
    status = controller_status(running.loop, RELEASE, LeaderStatus(leading=True), 0.0)
    rollout = status.pull_secrets[0].rollout
    assert rollout is not None
    assert (rollout.stage, rollout.canary_namespaces, rollout.canary_reached) == (Stage.CANARY, 1, 1)
    assert b"sha256" not in encode(status)
    assert status.pull_secrets[0].copies[CopyState.CURRENT] == 2
