"""The verdict of the status page, and what it says about each cause."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec import structs
from msgspec.structs import replace

from tests.unit.ops.statuses import PULL, STATUS, status
from tests.unit.ops.test_page import DATA, NAMESPACES, NOW
from webhook.ops.attention import Kind, find_attention, judge
from webhook.ops.page import PER_PAGE, render
from webhook.ops.page_data import (
    NOT_LOOKED_AT,
    NOT_SELECTED,
    CertificateView,
    CopyView,
    EventView,
    NamespaceView,
    PageData,
    PageQuery,
)
from webhook.ops.sync_status import (
    ContendedStatus,
    ExpiryStatus,
    HealingStatus,
    LeaderStatus,
    SourceStatus,
    StoppedOwner,
    WatchStatus,
)
from webhook.report.explain.commands import rename_command
from webhook.report.reasons import CATALOG, WRITE_RESULTS
from webhook.rules.actions import Finding, FindingReason
from webhook.rules.copy_status import CopyState
from webhook.rules.credential import SourceReason
from webhook.rules.expiry import ExpiryReason, Validity
from webhook.sync.status_index import Result

SIZES = (10, 2_000, 10_000)
LARGEST_PAGE = 100_000


def copies(**numbers: int) -> dict[CopyState, int]:
    return dict.fromkeys(CopyState, 0) | {CopyState(state): number for state, number in numbers.items()}


def selected(number: int) -> list[NamespaceView]:
    current = (CopyView("registry", CopyState.CURRENT),)
    return [NamespaceView(f"team-{each:05}", CopyState.CURRENT, "copy-current", current) for each in range(number)]


def healthy(number: int = 3) -> PageData:
    """Return the data of a release without findings."""
    pull = structs.replace(PULL, selected_namespaces=number, copies=copies(current=number), not_current=())
    calm = status(
        pull_secrets=(pull,),
        sources=(SourceStatus("harbor", valid=True, registries=1),),
        watches=(WatchStatus("namespaces", synced=True, connected=True),),
        oldest_unreconciled=None,
        contended_objects={},
        contended=(),
        paused_seconds=0.0,
        held_removals=0,
        evictions=HealingStatus(per_minute=20, used=0, evicted=0, pods={}),
    )
    others = [NamespaceView("kube-system", NOT_SELECTED, "namespace-excluded")]
    return replace(DATA, status=calm, namespaces=[*selected(number), *others], events=[])


def verdict(data: PageData) -> tuple[str, str, str]:
    found = judge(data, find_attention(data))
    return found.kind, found.text, found.detail


def with_status(data: PageData, **changes: object) -> PageData:
    return replace(data, status=structs.replace(data.status, **changes))


def test_everything_is_current() -> None:
    assert find_attention(healthy()) == []
    assert verdict(healthy(1807)) == (
        Kind.GOOD,
        "All 1,807 copies are current",
        "1,807 namespaces are selected, 1 other is not.",
    )
    assert verdict(healthy(1))[1] == "The only copy is current"


def test_without_a_leader_nobody_writes() -> None:
    data = with_status(healthy(), leader=LeaderStatus(leading=False, lease="psw-sync"))
    kind, text, _ = verdict(data)
    assert (kind, text) == (Kind.BAD, "No leader")
    assert [item.command for item in find_attention(data)] == ["kubectl -n psw-system get lease psw-sync"]


def test_a_lease_that_cannot_be_read_says_nothing_of_who_leads() -> None:
    leader = LeaderStatus(leading=False, lease="psw-sync", identity="me", problem="403 Forbidden")
    data = with_status(healthy(), leader=leader)
    assert verdict(data)[:2] == (Kind.BAD, "This replica does not know who leads")
    (item,) = find_attention(data)
    assert item.sentence == (
        "This replica cannot read the Lease psw-sync, so it does not know who leads: 403 Forbidden."
    )

    known = with_status(data, leader=structs.replace(leader, holder="you_1"))
    (item,) = find_attention(known)
    assert "it does not know who leads" in item.sentence
    assert verdict(known)[2] == "A standby does not track copies. The Lease last named you_1 as the leader."


@pytest.mark.parametrize("lease", ["psw-sync", ""])
def test_who_takes_over_is_no_standby(lease: str) -> None:
    name = "me_1" if lease else ""
    leader = LeaderStatus(leading=False, lease=lease, identity=name, holder=name, taking_over=True)
    data = replace(with_status(healthy(), leader=leader), port=9090)
    assert find_attention(data) == []
    found = judge(data, [])
    assert (found.kind, found.text, found.command) == (Kind.MIND, "This replica is taking over", "")
    assert found.detail == "It reads its sources and lists before it writes."
    unusable = with_status(data, sources=(SourceStatus("harbor", valid=False, message="cause"),))
    assert verdict(unusable)[2] == found.detail


def test_who_has_led_does_not_name_itself_as_the_leader() -> None:
    leader = LeaderStatus(leading=False, lease="psw-sync", identity="me_1", holder="me_1")
    found = judge(replace(with_status(healthy(), leader=leader), port=9090), [])
    assert (found.text, found.command) == ("This replica does not lead any more", "")
    assert found.detail == "Its term has ended, and another leader is not known."


@pytest.mark.parametrize(
    ("reason", "example"),
    [
        ("namespace-not-selected", "no namespaceSelector matches"),
        ("source-not-for-namespace", "a source of the pull secret is limited"),
        ("namespace-declines", "the namespace declines the pull secret"),
    ],
)
@pytest.mark.parametrize(
    ("everywhere", "text"),
    [
        (False, "No pull secret applies to a namespace that has opted in"),
        (True, "No pull secret applies to any namespace"),
    ],
)
def test_a_namespace_that_has_opted_in_and_gets_nothing_is_named(
    reason: str, example: str, text: str, *, everywhere: bool
) -> None:
    pull = structs.replace(healthy().status.pull_secrets[0], copies=copies(), selected_namespaces=0)
    views = [NamespaceView("a", NOT_SELECTED, "namespace-not-opted-in"), NamespaceView("b", NOT_SELECTED, reason)]
    data = replace(with_status(healthy(), pull_secrets=(pull,)), namespaces=views, everywhere=everywhere)
    found = judge(data, find_attention(data))
    assert (found.kind, found.text, found.command) == (Kind.MIND, text, "kubectl pullsecrets explain ns/b")
    assert found.detail.startswith(f"For example, b: {example}")


def test_where_all_namespaces_are_meant_and_none_is_selected_the_causes_are_named() -> None:
    pull = structs.replace(healthy().status.pull_secrets[0], copies=copies(), selected_namespaces=0)
    views = [NamespaceView("a", NOT_SELECTED, "namespace-terminating")]
    data = replace(with_status(healthy(), pull_secrets=(pull,)), namespaces=views, everywhere=True)
    assert verdict(data)[1:] == (
        "No namespace is selected",
        f"All are excluded, are being deleted, or opt out with {data.opt_in}.",
    )


def test_watches_that_are_not_open_are_counted() -> None:
    watches = tuple(WatchStatus(name, synced=True, connected=False) for name in ("pods", "secrets"))
    (item,) = find_attention(with_status(healthy(), watches=watches))
    assert item.sentence == "2 watches are not open: pods and secrets. They are reopened regularly."


def test_the_command_about_another_writer_does_not_print_a_credential() -> None:
    contended = (ContendedStatus("Secret", "a", "registry", 60.0),)
    (item,) = find_attention(with_status(healthy(), contended_objects={"Secret": 1}, contended=contended))
    assert item.command == "kubectl -n a get secret registry -o jsonpath='{.metadata.managedFields}'"


@pytest.mark.parametrize(
    ("holder", "port", "command"),
    [
        ("psw-sync-7d9f_5e0c", 9090, "kubectl -n psw-system port-forward pod/psw-sync-7d9f 9090"),
        ("psw-sync-7d9f_5e0c", 0, ""),
        ("by-hand", 9090, ""),
    ],
)
def test_a_standby_names_the_page_of_the_leader(holder: str, port: int, command: str) -> None:
    data = with_status(replace(healthy(), port=port), leader=LeaderStatus(leading=False, holder=holder))
    found = judge(data, find_attention(data))
    assert (found.kind, found.text, found.command) == (Kind.MIND, "This replica is a standby", command)
    assert holder in found.detail


@pytest.mark.parametrize(
    ("pull", "namespaces", "text"),
    [
        ({"copies": copies(current=2, stale=1)}, None, "Writing 1 copy"),
        ({"copies": copies(missing=3)}, None, "Writing 3 copies"),
        ({"copies": copies(), "selected_namespaces": 0}, [], "No namespace is selected"),
        ({"retired": True}, None, "No pull secret is configured"),
        (
            {"copies": copies(), "selected_namespaces": 0},
            [NamespaceView("team-a", NOT_LOOKED_AT, "namespace-selected")],
            "Checking 1 namespace",
        ),
    ],
)
def test_a_release_that_is_not_done_yet(
    pull: dict[str, object], namespaces: list[NamespaceView] | None, text: str
) -> None:
    data = healthy()
    changed = structs.replace(data.status.pull_secrets[0], **pull)
    data = with_status(data, pull_secrets=(changed,))
    if namespaces is not None:
        data = replace(data, namespaces=namespaces)
    assert verdict(data)[:2] == (Kind.MIND, text)


def test_one_cause_is_one_item_with_all_its_namespaces() -> None:
    conflicting = [
        structs.replace(view, state=CopyState.CONFLICTING, copies=(CopyView("registry", CopyState.CONFLICTING),))
        for view in selected(250)
    ]
    (item,) = find_attention(replace(healthy(), namespaces=conflicting))
    assert (item.title, len(item.namespaces)) == ("250 namespaces", 250)
    assert item.command == rename_command("team-00000", "registry")
    assert "Rename it, which keeps its content" in item.sentence
    assert verdict(replace(healthy(), namespaces=conflicting))[1] == "250 namespaces need attention"


@pytest.mark.parametrize("result", [result for result in Result if result is not Result.OK])
def test_each_failed_write_has_a_sentence_and_a_command(result: Result) -> None:
    failing = structs.replace(selected(1)[0], state=CopyState.FAILING, reason=str(result))
    (item,) = find_attention(replace(healthy(), namespaces=[failing]))
    assert item.command.startswith("kubectl -n team-00000 get events ")
    assert WRITE_RESULTS[result].meaning.split(",")[0].split("`")[0] in item.sentence
    assert item.reason == result


def test_the_event_of_a_namespace_is_the_sentence() -> None:
    failing = structs.replace(selected(1)[0], state=CopyState.FAILING, reason="denied")
    event = EventView(NOW, "CopyDenied", "Secret x", "exceeded quota: none", is_warning=True, namespace="team-00000")
    (item,) = find_attention(replace(healthy(), namespaces=[failing], events=[event]))
    assert item.sentence == "Exceeded quota: none."


@pytest.mark.parametrize(
    ("result", "reason"), [("denied", "PodNotHealed"), ("invalid", "SelectionFlapping"), ("unavailable", "CopyDenied")]
)
def test_an_event_about_something_else_is_not_taken_for_the_cause(result: str, reason: str) -> None:
    failing = structs.replace(selected(1)[0], state=CopyState.FAILING, reason=result)
    event = EventView(NOW, reason, "Secret x", "of something else", is_warning=True, namespace="team-00000")
    (item,) = find_attention(replace(healthy(), namespaces=[failing], events=[event]))
    assert item.sentence.startswith("The last write failed: ")


@pytest.mark.parametrize(
    ("label", "command"),
    [
        ("pullsecrets.webhook/inject=true", "pullsecrets.webhook/inject=enabled --overwrite"),
        ("pullsecret.webhook/inject=enabled", "pullsecrets.webhook/inject=enabled"),
    ],
)
def test_a_typing_error_has_the_command_that_corrects_it(label: str, command: str) -> None:
    data = replace(healthy(), namespaces=[structs.replace(NAMESPACES[2], name="team-c", mistyped=label)])
    (item,) = find_attention(data)
    assert item.command == f"kubectl label namespace team-c {command}"
    assert label in item.sentence


@pytest.mark.parametrize("reason", [reason for reason in FindingReason if reason is not FindingReason.COPY_CONFLICT])
def test_each_finding_in_a_namespace_is_explained(reason: FindingReason) -> None:
    view = structs.replace(selected(1)[0], findings=(Finding(reason, "registry", "builder"),))
    (item,) = find_attention(replace(healthy(), namespaces=[view]))
    assert item.command == "kubectl -n team-00000 describe serviceaccount builder"
    assert item.reason in CATALOG


@pytest.mark.parametrize("reason", list(SourceReason))
def test_each_unusable_source_has_a_command(reason: SourceReason) -> None:
    source = SourceStatus("harbor", valid=False, reason=reason, message="cause")
    (item,) = find_attention(with_status(healthy(), sources=(source,)))
    assert item.sentence.startswith("Cause.")
    assert item.command.startswith("kubectl -n psw-system ")
    assert item.reason in CATALOG


def test_sources_that_make_no_copy_together_are_told_of_the_pull_secret() -> None:
    pull = structs.replace(healthy().status.pull_secrets[0], problem="copy-too-large")
    (item,) = find_attention(with_status(healthy(), pull_secrets=(pull,)))
    assert item.title == "Pull secret registry"
    assert "1 MiB" in item.sentence


STOPPED = HealingStatus(20, 0, 3, {}, stopped_owners=25, stopped=(StoppedOwner("team-a", "ReplicaSet/web"),))
CANNOT = HealingStatus(20, 0, 3, {}, message="nothing is evicted, because there is no Secret for the state")


@pytest.mark.parametrize(
    ("evictions", "kind", "words"),
    [
        (STOPPED, Kind.MIND, "Pods of 25 controllers are not evicted any more"),
        (CANNOT, Kind.BAD, "Nothing is evicted, because"),
    ],
)
def test_healing_that_stops_is_a_finding_of_the_leader_alone(evictions: HealingStatus, kind: Kind, words: str) -> None:
    data = with_status(healthy(), evictions=evictions)
    (item,) = find_attention(data)
    assert item.kind is kind
    assert item.sentence.startswith(words)
    assert find_attention(with_status(data, evictions=None)) == []
    assert find_attention(with_status(data, leader=LeaderStatus(leading=False, lease="psw-sync", holder="psw_1"))) == []


def worst_case(number: int) -> PageData:
    """Return a release in which names are as long as they can be and everything has a finding."""
    longest = [structs.replace(view, name=f"{view.name}-{'x' * 52}") for view in selected(number)]
    states = (CopyState.FAILING, CopyState.CONFLICTING, CopyState.CURRENT, CopyState.STALE)
    several = [
        structs.replace(
            view,
            state=states[position % 4],
            reason="denied",
            copies=tuple(CopyView(f"{'registry-' * 6}{each}", states[position % 4]) for each in range(10)),
            mistyped=f"pullsecrets.webhook/inject={position % 50}",
        )
        for position, view in enumerate(longest)
    ]
    event = "the API server refused a write: " + "x" * 2_000
    events = [EventView(NOW, f"Reason{each % 20}", "Secret team/x", event, is_warning=True) for each in range(50)]
    pulls = tuple(structs.replace(PULL, name=f"pull-{each}") for each in range(60))
    sources = tuple(
        SourceStatus(f"source-{each}", valid=False, reason="source-absent", message=event) for each in range(60)
    )
    return replace(
        DATA,
        status=structs.replace(STATUS, pull_secrets=pulls, sources=sources),
        namespaces=several,
        events=events,
        certificate=CertificateView(Validity(NOW, NOW), Validity(NOW, NOW)),
    )


@pytest.mark.parametrize("number", SIZES)
@pytest.mark.parametrize("make", [healthy, worst_case])
def test_the_page_is_small_whatever_the_size_of_the_cluster(make: object, number: int) -> None:
    text = render(make(number), PageQuery())  # type: ignore[operator]
    assert len(text.encode()) < LARGEST_PAGE
    assert f"1 to {min(PER_PAGE, number)} of " in text or f"1 to {number + 1} of " in text


def test_what_is_left_out_is_counted() -> None:
    data = worst_case(2_000)
    text = render(data, PageQuery())
    assert "further findings are not shown" in text
    assert text.count("50 more are in") == 2
    assert "and 497 more" in render(with_status(data, sources=()), PageQuery())


def test_a_source_that_is_not_renewed_names_the_reason_and_the_command_for_its_events() -> None:
    source = SourceStatus(
        "psw-issued-ecr",
        valid=True,
        renews=True,
        renewal_failures=2,
        renewal_reason="provider-failed",
        renewal_message="the provider ended with exit code 1",
    )

    (item,) = find_attention(with_status(healthy(), sources=(source,)))

    assert item.sentence.startswith("2 attempts have not renewed its credential. The provider ended")
    assert "get events" in item.command
    assert "create secret" not in item.command


def expiring(left: timedelta, reason: str, problem: str = "") -> PageData:
    expires = NOW + left
    entries = tuple(ExpiryStatus(name, expires, "password") for name in ("ghcr.io", "quay.io"))
    source = SourceStatus(
        "harbor",
        valid=True,
        registries=2,
        expires_at=expires,
        expiry_reason=reason,
        expiries=entries,
        expiry_problem=problem,
    )
    return with_status(healthy(), sources=(source,))


def test_a_credential_that_has_expired_is_a_problem_and_one_that_will_is_a_warning() -> None:
    expired = expiring(-timedelta(hours=2), ExpiryReason.EXPIRED)
    (item,) = find_attention(expired)
    assert (item.kind, item.title, item.reason) == (Kind.BAD, "Source harbor", "credential-expired")
    assert item.sentence == (
        "The credential for ghcr.io and 1 more expired 2 hours ago (2025-12-31 22:00 UTC). Issue a new one."
    )
    assert "create secret docker-registry harbor --docker-server=ghcr.io" in item.command
    assert "expired 2 hours ago (2025-12-31 22:00 UTC)" in render(expired, PageQuery())

    (item,) = find_attention(expiring(timedelta(days=3), ExpiryReason.VERY_SOON))
    assert (item.kind, item.reason) == (Kind.MIND, "credential-expires-very-soon")


def test_a_credential_with_time_left_is_shown_and_needs_nobody() -> None:
    later = expiring(timedelta(days=40), "")
    assert find_attention(later) == []
    assert "expires in 40 days (2026-02-10 00:00 UTC)" in render(later, PageQuery())


def test_a_time_of_expiry_that_cannot_be_used_is_a_warning() -> None:
    (item,) = find_attention(expiring(timedelta(days=40), "", "the annotation is not a time"))
    assert (item.kind, item.sentence) == (Kind.MIND, "The annotation is not a time.")
    assert item.reason == "credential-expiry-unreadable"
