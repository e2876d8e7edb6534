"""A source that is deleted: each surface shows its copies as kept, and counts no failure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.integration.commands import of_release
from tests.integration.playground import COPY, SOURCE, Playground, eventually
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
