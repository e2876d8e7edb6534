"""A source that is deleted: each surface shows its copies as kept, and counts no failure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.integration.commands import of_release
from tests.integration.playground import COPY, SOURCE, Playground, dockerconfigjson, eventually
from tests.integration.test_sync_status import copies, exported_copies, status

if TYPE_CHECKING:
    from collections.abc import Callable


def test_copies_of_a_source_that_is_deleted_are_kept_everywhere(playground: Callable[..., Playground]) -> None:
    ours = playground()
    ours.set_source("first")
    sync = ours.installation.start_sync()
    sync.wait_ready()
    teams = [ours.namespace(selected=True), ours.namespace(selected=True)]
    for team in teams:
        ours.await_selected(team, "first")
    eventually(lambda: copies(status(sync)), lambda seen: seen == {"current": 2})

    ours.delete(ours.installation.namespace, "secrets", SOURCE)

    eventually(lambda: copies(status(sync)), lambda seen: seen == {"kept": 2})
    assert exported_copies(sync) == {"kept": 2}
    assert status(sync)["failingNamespaces"] == 0
    code, page = sync.get("/")
    assert code == 200
    assert "0 of 2 current, 2 kept with the last good content" in page
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
    ours.set_source("first")
    sync = ours.installation.start_sync()
    sync.wait_ready()
    kept, outdated = ours.namespace(selected=True), ours.namespace(selected=True)
    eventually(lambda: copies(status(sync)), lambda seen: seen == {"current": 2})

    ours.delete(ours.installation.namespace, "secrets", SOURCE)
    eventually(lambda: copies(status(sync)), lambda seen: seen == {"kept": 2})
    edit = {"data": dockerconfigjson("of somebody else")}
    path = f"/api/v1/namespaces/{outdated}/secrets/{COPY}"
    ours.cluster.api.call("PATCH", path, edit, "application/merge-patch+json")

    eventually(lambda: copies(status(sync)), lambda seen: seen == {"kept": 1, "stale": 1})
    assert copies(status(sync), "never") == {"missing": 2}
    assert exported_copies(sync) == {"kept": 1, "stale": 1}
    assert exported_copies(sync, "never") == {"missing": 2}
    rows = json.loads(of_release(ours, "plan", "-A", "-o", "json").out)["rows"]
    found = {(row["namespace"], row["object"], row["effect"], row["reason"]) for row in rows}
    assert (outdated, f"Secret/{COPY}", "problem", "copy-outdated") in found
    assert (kept, "Secret/never", "problem", "source-unavailable") in found
    assert (ours.installation.namespace, f"PullSecret/{COPY}", "none", "copy-kept") in found
    assert of_release(ours, "explain", f"ns/{outdated}").code == 1
    checks = json.loads(of_release(ours, "check", "-o", "json").out)["checks"]
    details = [each["detail"] for each in checks if each["code"] == "PSW051" and each["result"] == "finding"]
    assert [detail for detail in details if f"{outdated}/{COPY}" in detail]
    assert not [detail for detail in details if f"{kept}/{COPY}" in detail]
