"""Healing evicts a Pod only if nothing runs, the reference is due and helps, and its controller recreates it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.rules.configuration import Configuration, HealingSettings, PodPolicy, PullSecret
from webhook.rules.healing import (
    GATES,
    TRIAL_SECONDS,
    DuePod,
    HealingInput,
    HealingReason,
    OwnerRecord,
    PodOwner,
    PulledPod,
    Trial,
    Verdict,
    in_turn,
    judge_namespace,
)
from webhook.rules.healing_state import (
    MAX_RECORDS,
    RECORD_SECONDS,
    EvictionBudget,
    decode_healing,
    encode_healing,
    kept_records,
)
from webhook.rules.objects import Namespace, Subject
from webhook.rules.references import References

LABEL = "pullsecrets.webhook/inject"
IMAGE = "registry.example.com/team/app:1"
SELECTED = Namespace("a", {LABEL: "enabled"}, uid="u")
CONFIGURATION = Configuration((PullSecret("pull", ("source",)),), healing=HealingSettings(enabled=True))
COPIES = {"pull": frozenset({"registry.example.com"})}
REPLICA_SET = PodOwner("apps", "ReplicaSet", "web-1", "owner")
REPLICATION_CONTROLLER = PodOwner("", "ReplicationController", "web", "owner")
FOREIGN = PodOwner("example.com", "ReplicaSet", "web", "owner")
JOB = PodOwner("batch", "Job", "migrate", "job")
RECORD = OwnerRecord("a", ("pull",), "2026-01-01T00:00:00Z", evicted_at=1000.0)


def pod(name: str = "web", *, references: tuple[str, ...] = (), **fields: Any) -> PulledPod:  # noqa: ANN401 (any field)
    subject = Subject("Pod", name, "a", {}, {}, References(present=True, names=references), images=(IMAGE,))
    whole = {"owner": REPLICA_SET, "failing": (IMAGE,), "created": "2026-01-01T00:00:00Z", **fields}
    return PulledPod(subject, uid=name, resource_version="1", **whole)


def reason_of(
    pulled: PulledPod,
    namespace: Namespace = SELECTED,
    copies: Mapping[str, frozenset[str]] = COPIES,
    configuration: Configuration = CONFIGURATION,
    **given: Any,  # noqa: ANN401 (any field)
) -> HealingReason:
    judged = judge_namespace(
        namespace, [pulled], copies, HealingInput(configuration, given.pop("now", 1000.0), **given)
    )
    (reason,) = judged.counts
    assert [due.pod for due in judged.due] == ([pulled] if reason is HealingReason.DUE else [])
    return reason


def test_a_pod_that_meets_all_conditions_is_due_with_the_references_that_it_lacks() -> None:
    judged = judge_namespace(SELECTED, [pod()], COPIES, HealingInput(CONFIGURATION, 0.0))
    assert judged.due == [DuePod(pod(), ("pull",))]


WITH_LABEL = msgspec.structs.replace(pod(), subject=msgspec.structs.replace(pod().subject, labels={LABEL: "disabled"}))
MATCHING = Configuration(
    (PullSecret("pull", ("source",), pods=PodPolicy.WHEN_IMAGE_MATCHES, registries=("other.io",)),)
)


@pytest.mark.parametrize(
    ("pulled", "namespace", "copies", "configuration", "reason"),
    [
        (pod(terminating=True), SELECTED, COPIES, CONFIGURATION, HealingReason.ENDING),
        (pod(failing=()), SELECTED, COPIES, CONFIGURATION, HealingReason.PULLING),
        (pod(references=("pull",)), SELECTED, COPIES, CONFIGURATION, HealingReason.NOT_DUE),
        (pod(), Namespace("a"), COPIES, CONFIGURATION, HealingReason.NOT_DUE),
        (pod(), SELECTED, COPIES, CONFIGURATION.excluding("a"), HealingReason.NOT_DUE),
        (WITH_LABEL, SELECTED, COPIES, CONFIGURATION, HealingReason.NOT_DUE),
        (pod(), SELECTED, COPIES, MATCHING, HealingReason.NOT_DUE),
        (pod(), SELECTED, {}, CONFIGURATION, HealingReason.COPY_ABSENT),
        (pod(), SELECTED, {"pull": frozenset({"other.io"})}, CONFIGURATION, HealingReason.NOT_COVERED),
        (pod(failing=("other.io/app",)), SELECTED, COPIES, CONFIGURATION, HealingReason.NOT_COVERED),
        (pod(has_run=True), SELECTED, COPIES, CONFIGURATION, HealingReason.RUNS),
        (pod(owner=None), SELECTED, COPIES, CONFIGURATION, HealingReason.BARE),
        (pod(owner=JOB), SELECTED, COPIES, CONFIGURATION, HealingReason.JOB),
        (pod(owner=FOREIGN), SELECTED, COPIES, CONFIGURATION, HealingReason.OTHER_CONTROLLER),
        (pod(owner=REPLICATION_CONTROLLER), SELECTED, COPIES, CONFIGURATION, HealingReason.DUE),
    ],
)  # fmt: skip
def test_each_condition_stops_a_pod_that_meets_the_others(
    pulled: PulledPod,
    namespace: Namespace,
    copies: Mapping[str, frozenset[str]],
    configuration: Configuration,
    reason: HealingReason,
) -> None:
    assert reason_of(pulled, namespace, copies, configuration) is reason


def test_an_eviction_that_was_refused_a_moment_ago_waits() -> None:
    assert reason_of(pod(), refused={"web"}) is HealingReason.REFUSED


def test_one_pod_of_an_owner_is_first_and_others_wait_for_its_replacement() -> None:
    old = [pod(f"web-{number}") for number in range(3)]
    first = judge_namespace(SELECTED, old, COPIES, HealingInput(CONFIGURATION, 1000.0))
    assert [due.pod.name for due in first.due] == ["web-0"]
    assert first.counts[HealingReason.TRIAL] == 2
    waiting = judge_namespace(SELECTED, old[1:], COPIES, HealingInput(CONFIGURATION, 1001.0, {"owner": RECORD}))
    assert waiting.due == []
    late = pod("web-3", references=("pull",), created="2026-01-01T00:01:00Z", failing=())
    proved = judge_namespace(SELECTED, old[1:], COPIES, HealingInput(CONFIGURATION, 1001.0, {"owner": RECORD}), [late])
    assert [due.pod.name for due in proved.due] == ["web-1", "web-2"]
    assert proved.trials == {"owner": Trial.PROVED}


def test_without_a_sight_of_the_replacement_one_more_pod_is_tried_after_a_while() -> None:
    given = HealingInput(CONFIGURATION, RECORD.evicted_at + TRIAL_SECONDS, {"owner": RECORD})
    assert len(judge_namespace(SELECTED, [pod("b"), pod("c")], COPIES, given).due) == 1


@pytest.mark.parametrize("trial", Trial)
def test_an_owner_whose_replacement_lacks_the_reference_is_not_touched_again(trial: Trial) -> None:
    records = {"owner": msgspec.structs.replace(RECORD, trial=trial)}
    late = pod("late", created="2026-01-01T00:01:00Z")
    judged = judge_namespace(SELECTED, [pod(), late], COPIES, HealingInput(CONFIGURATION, 1e9, records))
    assert judged.due == []
    assert judged.trials == {"owner": Trial.REFUTED}
    assert {each.gate.reason for each in judged.reported} == {HealingReason.STOPPED}


def test_another_reference_that_is_due_later_is_another_trial() -> None:
    records = {"owner": msgspec.structs.replace(RECORD, names=("other",), trial=Trial.REFUTED)}
    assert reason_of(pod(created="2026-01-01T00:01:00Z"), records=records) is HealingReason.DUE


OWNERS = st.sampled_from([None, REPLICA_SET, JOB, PodOwner("apps", "DaemonSet", "d", "d")])
PODS = st.builds(
    pod,
    st.uuids().map(str),
    references=st.sampled_from([(), ("pull",), ("own",)]),
    owner=OWNERS,
    failing=st.sampled_from([(), (IMAGE,), ("other.io/app:1",)]),
    has_run=st.booleans(),
    terminating=st.booleans(),
    created=st.sampled_from([f"2026-01-01T00:0{minute}:00Z" for minute in range(3)]),
)


@given(
    st.lists(PODS, max_size=8),
    st.sampled_from([SELECTED, Namespace("a"), Namespace("a", {LABEL: "enabled"}, terminating=True)]),
    st.sampled_from([{}, COPIES, {"pull": frozenset({"other.io"})}]),
    st.dictionaries(
        st.just("owner"), st.sampled_from([msgspec.structs.replace(RECORD, trial=trial) for trial in Trial])
    ),
)
def test_whatever_there_is_only_pods_that_meet_all_conditions_are_due(
    pods: list[PulledPod],
    namespace: Namespace,
    copies: dict[str, frozenset[str]],
    records: dict[str, OwnerRecord],
) -> None:
    judged = judge_namespace(namespace, pods, copies, HealingInput(CONFIGURATION, 1001.0, records))
    assert judged.counts.total() == len(pods)
    for due, names in judged.due:
        assert not due.terminating
        assert not due.has_run
        assert due.owner is not None
        assert due.owner.kind in ("ReplicaSet", "DaemonSet")
        assert names == ("pull",)
        assert "pull" not in due.subject.references.names
        assert due.failing == ((IMAGE,) if copies is COPIES else ("other.io/app:1",))
        assert namespace is SELECTED
        lacking = [each for each in pods if each.owner == due.owner and "pull" not in each.subject.references.names]
        record = records.get(due.owner.uid)
        if record is not None:
            assert record.trial is not Trial.REFUTED
            assert not any(each.created > record.newest and not each.terminating for each in lacking)
    untried = [due.pod.owner for due in judged.due if due.pod.owner is not None and due.pod.owner.uid not in records]
    assert len(untried) == len(set(untried))


def test_namespaces_take_turns() -> None:
    due = {name: [DuePod(pod(f"{name}{number}"), ("pull",)) for number in range(3)] for name in "abc"}
    chosen = [each.pod.name for each in in_turn(due, {"a": 2.0, "b": 1.0}, 5)]
    assert chosen == ["c0", "b0", "a0", "c1", "b1"]


def test_each_reason_but_the_last_is_one_condition_in_this_order() -> None:
    assert [gate.reason for gate in GATES] == [reason for reason in HealingReason if reason is not HealingReason.DUE]
    assert {gate.verdict for gate in GATES} == {Verdict.NONE, Verdict.WAIT, Verdict.REPORT}


# The limit


@given(
    st.integers(1, 10),
    st.lists(st.tuples(st.floats(0, 70), st.integers(1, 12), st.integers(0, 12), st.booleans()), max_size=30),
)
def test_in_any_minute_there_are_at_most_as_many_evictions_as_allowed_across_leaders(
    per_minute: int, steps: list[tuple[float, int, int, bool]]
) -> None:
    times, stored, made = [0.0], encode_healing(0, {}), list[float]()
    budget = EvictionBudget(lambda: times[-1])
    for pause, wanted, most, ends in steps:
        times.append(times[-1] + pause)
        granted = budget.reserve(wanted, per_minute)
        stored = encode_healing(budget.used, {})
        evicted = min(granted, most)
        made += [times[-1]] * evicted
        if ends:  # the leader ends in the middle of its evictions, and another one follows
            found = decode_healing(stored)
            assert found is not None
            budget = EvictionBudget(lambda: times[-1])
            budget.adopt(found.reserved)
        else:
            budget.settle(evicted)
    assert all(sum(at <= each < at + 60.0 for each in made) <= per_minute for at in made)


def test_several_references_that_would_not_help_are_plural() -> None:
    both = msgspec.structs.replace(
        CONFIGURATION, pull_secrets=(*CONFIGURATION.pull_secrets, PullSecret("other", ("source",)))
    )
    registries = {"pull": frozenset({"other.io"}), "other": frozenset({"other.io"})}
    judged = judge_namespace(SELECTED, [pod()], registries, HealingInput(both, 1000.0)).pods[0]
    assert judged.gate is not None
    assert judged.gate.stopped(judged.case) == (
        f"pull and other would not help, because they have no credential for {IMAGE}"
    )


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"[]",
        b'{"version": 2}',
        b'{"reserved": -1}',
        b'{"reserved": "x"}',
        b'{"version": 1, "reserved": 0, "owners": {"\xff": {}}}',
    ],
)
def test_a_stored_state_that_was_not_written_by_this_release_is_unknown(value: bytes | None) -> None:
    assert decode_healing(value) is None


def test_owners_are_forgotten_after_an_hour_unless_a_pod_lacks_the_reference() -> None:
    records = {f"o{number}": RECORD for number in range(MAX_RECORDS + 5)}
    late = RECORD.evicted_at + RECORD_SECONDS
    assert kept_records(records, frozenset({"o1"}), late) == {"o1": RECORD}
    records["kept"] = msgspec.structs.replace(RECORD, trial=Trial.REFUTED, evicted_at=0.0)
    kept = kept_records(records, frozenset(), RECORD.evicted_at)
    assert len(kept) == MAX_RECORDS
    assert "kept" in kept
