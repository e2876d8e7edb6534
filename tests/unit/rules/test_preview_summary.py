"""One missing source is one row, however many namespaces wait for it."""

from __future__ import annotations

from webhook.report.preview.cluster import ORIGIN, summarized
from webhook.report.preview.preview import Preview
from webhook.report.preview.row import Effect, Row
from webhook.rules.configuration import Reason

WHY = "its sources cannot be copied now: it does not exist"


def copy(namespace: str, name: str = "pull") -> Row:
    return Row(namespace, f"Secret/{name}", Effect.PROBLEM, "source-unavailable", WHY)


def account(namespace: str, *due: str) -> Row:
    gates = tuple((name, str(Reason.INJECTED)) for name in due)
    reason = "source-unavailable"
    return Row(namespace, "ServiceAccount/default", Effect.NONE, reason, "due", gates=gates, origin=ORIGIN)


OTHER = Row("team-a", "Secret/other", Effect.CREATE, "copy-due", "made from it")


def test_what_waits_for_a_source_is_one_row_for_each_pull_secret() -> None:
    rows = (copy("team-a"), OTHER, account("team-a", "pull"), copy("team-b"), copy("team-b", "late"), account("team-b"))
    found = summarized(Preview(rows, unlisted=3), "psw", lambda _: False)
    assert [(row.namespace, row.title, row.effect, row.reason) for row in found.rows] == [
        ("team-a", "Secret/other", "create", "copy-due"),
        ("psw", "PullSecret/pull", "problem", "source-unavailable"),
        ("psw", "PullSecret/late", "problem", "source-unavailable"),
    ]
    assert found.rows[1].why == f"2 copies are missing and 1 ServiceAccount lacks the reference: {WHY}"
    assert found.rows[2].why == f"1 copy is missing: {WHY}"
    assert found.unlisted == 5
    assert found.has_problems


def test_rows_of_a_namespace_that_was_named_stay() -> None:
    rows = (copy("team-a"), account("team-a", "pull"))
    assert summarized(Preview(rows), "psw", lambda name: name == "team-a").rows == rows
