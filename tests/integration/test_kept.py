"""A source that is deleted: each surface shows its copies as kept, and counts no failure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from http import HTTPStatus

from tests.cluster.processes import PullSecrets
from tests.integration.faults.denier import denying_policy
from tests.integration.site.commands import of_release
from tests.integration.site.playground import COPY, SOURCE, Playground, dockerconfigjson, eventually
from tests.integration.test_sync_state import await_kept
from tests.integration.test_sync_status import copies, exported_copies, status


def test_copies_of_a_source_that_is_deleted_are_kept_everywhere(ours: Playground) -> None:
    sync = ours.start_sync("first")
    teams = [ours.namespace(selected=True), ours.namespace(selected=True)]
    for team in teams:
        ours.await_selected(team, "first")
    eventually(lambda: copies(status(sync)), lambda seen: seen == {"current": 2})
    await_kept(ours, "first")  # what the commands read

    ours.delete(ours.installation.namespace, "secrets", SOURCE)

    eventually(lambda: copies(status(sync)), lambda seen: seen == {"kept": 2})
    assert exported_copies(sync) == {"kept": 2}
    assert status(sync)["failingNamespaces"] == 0
    code, page = sync.get("/")
    assert code == 200
    assert f"2 copies of {COPY} keep the last good content." in page
    everywhere = of_release(ours, "plan", "-A", "-o", "json")
    rows = [(row["object"], row["effect"], row["reason"]) for row in json.loads(everywhere.out)["rows"]]
    assert rows == [(f"Secret/{SOURCE}", "problem", "source-absent"), (f"PullSecret/{COPY}", "none", "copy-kept")]
    for target in (f"ns/{teams[0]}", "sa/default"):
        explained = of_release(ours, "explain", target, "-n", teams[0])
        assert explained.code == 0, explained.out
        assert "kept with the last good content" in explained.out
    checks = json.loads(of_release(ours, "check", "-o", "json").out)["checks"]
    assert [each["result"] for each in checks if "kept with the last good content" in (each["detail"] or "")] == [
        "note"
    ]
    assert not [each for each in checks if each["code"] in ("PSW050", "PSW051") and each["result"] == "finding"]


def test_a_copy_that_is_not_the_last_good_content_is_outdated_and_one_that_never_was_is_missing(
    playground: Callable[..., Playground],
) -> None:
    ours = playground(
        pullSecrets=[
            {"name": COPY, "sources": [{"secretName": SOURCE}]},
            {"name": "never", "sources": [{"secretName": "never-there"}]},
        ]
    )
    sync = ours.start_sync("first")
    kept, outdated = ours.namespace(selected=True), ours.namespace(selected=True)
    eventually(lambda: copies(status(sync)), lambda seen: seen == {"current": 2})
    await_kept(ours, "first")  # what the commands read

    ours.delete(ours.installation.namespace, "secrets", SOURCE)
    eventually(lambda: copies(status(sync)), lambda seen: seen == {"kept": 2})
    ours.patch(outdated, "secrets", COPY, {"data": dockerconfigjson("of somebody else")})

    eventually(lambda: copies(status(sync)), lambda seen: seen == {"kept": 1, "stale": 1})
    assert copies(status(sync), "never") == {"missing": 2}
    assert exported_copies(sync) == {"kept": 1, "stale": 1}
    assert exported_copies(sync, "never") == {"missing": 2}
    rows = json.loads(of_release(ours, "plan", "-A", "-o", "json").out)["rows"]
    found = {(row["namespace"], row["object"], row["effect"], row["reason"]) for row in rows}
    assert (outdated, f"Secret/{COPY}", "problem", "copy-outdated") in found
    assert (ours.installation.namespace, "PullSecret/never", "problem", "source-unavailable") in found
    assert not [each for each in found if each[1] == "Secret/never"]
    assert (ours.installation.namespace, f"PullSecret/{COPY}", "none", "copy-kept") in found
    assert of_release(ours, "explain", f"ns/{outdated}").code == 1
    checks = json.loads(of_release(ours, "check", "-o", "json").out)["checks"]
    details = [each["detail"] for each in checks if each["code"] == "PSW051" and each["result"] == "finding"]
    assert [detail for detail in details if f"{outdated}/{COPY}" in detail]
    assert not [detail for detail in details if f"{kept}/{COPY}" in detail]


def test_a_copy_that_missed_a_rotation_gets_the_last_good_content_and_each_surface_says_so(ours: Playground) -> None:
    sync = ours.start_sync("first")
    label = {"writes-of-secrets": ours.installation.release}
    fine, denied = ours.namespace(selected=True), ours.namespace(selected=True, labels=label)
    for team in (fine, denied):
        ours.await_selected(team, "first")

    with denying_policy(ours.cluster.api, f"deny-{ours.installation.release}", label, "Forbidden"):
        eventually(lambda: _is_denied(ours, denied))
        ours.set_source("second")
        ours.await_selected(fine, "second")
        eventually(lambda: copies(status(sync)), lambda seen: seen == {"current": 1, "failing": 1})
        await_kept(ours, "second")
        ours.delete(ours.installation.namespace, "secrets", SOURCE)
        eventually(lambda: copies(status(sync)), lambda seen: seen == {"kept": 1, "failing": 1})
        assert exported_copies(sync) == {"kept": 1, "failing": 1}
        assert _on_page(sync, denied) == ["failing", "denied", f"{COPY}: failing"]
        assert _on_page(sync, fine) == ["kept", "copy-kept", f"{COPY}: kept"]
        assert _planned(ours) == {
            (ours.installation.namespace, f"Secret/{SOURCE}", "problem", "source-absent"),
            (ours.installation.namespace, f"PullSecret/{COPY}", "none", "copy-kept"),
            (denied, f"Secret/{COPY}", "update", "copy-due"),
        }
        found = eventually(lambda: _copy_step(ours, denied), lambda seen: "CopyDenied" in seen["why"])
        assert (found["result"], found["reason"]) == ("stop", "copy-due")
        assert "does not hold the last good copy from" in found["why"]
        assert [f"{denied}/{COPY}" in detail for detail in _findings(ours, "PSW051")] == [True]
        assert ours.password_in_copy(denied) == "first"

    eventually(lambda: ours.password_in_copy(denied), lambda seen: seen == "second")
    eventually(lambda: copies(status(sync)), lambda seen: seen == {"kept": 2})
    assert exported_copies(sync) == {"kept": 2}
    assert _on_page(sync, denied) == ["kept", "copy-kept", f"{COPY}: kept"]
    assert (denied, f"Secret/{COPY}", "update", "copy-due") not in _planned(ours)
    assert _copy_step(ours, denied)["reason"] == "copy-kept"
    assert _findings(ours, "PSW051") == []


def test_a_leader_that_never_saw_the_source_updates_an_older_copy_and_touches_no_later_one(
    ours: Playground,
) -> None:
    sync = ours.start_sync("first")
    label = {"writes-of-secrets": ours.installation.release}
    later, denied = ours.namespace(selected=True), ours.namespace(selected=True, labels=label)
    for team in (later, denied):
        ours.await_selected(team, "first")
    with denying_policy(ours.cluster.api, f"deny-{ours.installation.release}", label, "Forbidden"):
        eventually(lambda: _is_denied(ours, denied))
        ours.set_source("second")
        ours.await_selected(later, "second")
        await_kept(ours, "second")
        assert sync.stop() == 0
    ours.delete(ours.installation.namespace, "secrets", SOURCE)
    ours.patch(later, "secrets", COPY, {"data": dockerconfigjson("third")})
    assert "no replica of sync" in _copy_step(ours, denied)["why"]

    sync = ours.installation.start_sync()
    eventually(lambda: ours.password_in_copy(denied), lambda seen: seen == "second")
    eventually(lambda: copies(status(sync)), lambda seen: seen == {"kept": 1, "stale": 1})
    assert ours.password_in_copy(later) == "third"
    assert (later, f"Secret/{COPY}", "problem", "copy-outdated") in _planned(ours)
    assert _copy_step(ours, later)["reason"] == "copy-outdated"
    assert _on_page(sync, later) == ["stale", "copy-outdated", f"{COPY}: stale"]


def test_where_the_last_good_content_is_not_known_copies_are_kept_as_they_are(ours: Playground) -> None:
    ours.set_source("first")
    sync = ours.installation.start_sync()
    team = ours.namespace(selected=True)
    ours.await_selected(team, "first")
    await_kept(ours, "first")
    assert sync.stop() == 0
    for name in (SOURCE, ours.installation.state_secret):
        ours.delete(ours.installation.namespace, "secrets", name)
    sync = ours.installation.start_sync()
    sync.wait_ready()

    eventually(lambda: copies(status(sync)), lambda seen: seen == {"kept": 1})
    assert f"1 copy of {COPY} keeps the content that is there." in sync.get("/")[1]
    rows = json.loads(of_release(ours, "plan", "-A", "-o", "json").out)["rows"]
    assert [row["why"] for row in rows if row["reason"] == "copy-kept"] == [
        f'1 copy is kept as it is, because source Secret "{SOURCE}" does not exist in the release namespace: create it'
    ]
    assert _copy_step(ours, team)["why"].startswith("the copy is kept as it is, because")


def _is_denied(ours: Playground, namespace: str) -> bool:
    """Return True if the policy is in force."""
    path = f"/api/v1/namespaces/{namespace}/secrets/{COPY}?dryRun=All"
    return (
        ours.cluster.api.request(
            "PATCH", path, {"metadata": {"labels": {"x": "y"}}}, "application/merge-patch+json"
        ).status
        == HTTPStatus.FORBIDDEN
    )


def _on_page(sync: PullSecrets, namespace: str) -> list[str]:
    """Return state, reason and copies of a namespace, as the status page shows them."""
    code, page = sync.get("/")
    assert code == 200
    row = page.partition(f'<th scope="row">{namespace}</th>')[2].partition("</tr>")[0]
    return re.findall(r">([^<>\s][^<>]*)<", row)


def _planned(ours: Playground) -> set[tuple[str, ...]]:
    rows = json.loads(of_release(ours, "plan", "-A", "-o", "json").out)["rows"]
    return {(row["namespace"], row["object"], row["effect"], row["reason"]) for row in rows}


def _copy_step(ours: Playground, namespace: str) -> dict[str, str]:
    steps = json.loads(of_release(ours, "explain", f"ns/{namespace}", "-o", "json").out)["steps"]
    return next(step for step in steps if step["gate"] == "copy")


def _findings(ours: Playground, code: str) -> list[str]:
    checks = json.loads(of_release(ours, "check", "-o", "json").out)["checks"]
    return [each["detail"] for each in checks if (each["code"], each["result"]) == (code, "finding")]
