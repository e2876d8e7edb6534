"""The summary of a plan of a cluster: by pull secret, with commands that recreate Pods."""

from __future__ import annotations

import pytest

from webhook.report.preview.preview import MOST_COMMANDS, Preview, overview
from webhook.report.preview.row import Effect, Row
from webhook.report.protocol import Paragraph
from webhook.rules.actions import FindingReason

NAME = "registry-credentials"


def copy(namespace: str, effect: Effect) -> Row:
    return Row(namespace, f"Secret/{NAME}", effect, "copy-due", "made")


def account(namespace: str, *, added: tuple[str, ...] = (), removed: tuple[str, ...] = ()) -> Row:
    effect = Effect.REFERENCES
    return Row(namespace, "ServiceAccount/default", effect, "injected", "due", added, removed, origin="cluster")


def pod(namespace: str, name: str, owner: str = "") -> Row:
    title, reason = f"Pod/{name}", "pod-without-reference"
    owner = owner or title
    return Row(namespace, title, Effect.RECREATE, reason, "it runs", (NAME,), origin="cluster", owner=owner)


def texts(preview: Preview, *, verbose: bool = False) -> list[str]:
    return [" ".join(filter(None, (each.mark, each.text))) for each in overview(preview, verbose=verbose)]


def test_copies_references_and_pods_are_counted_by_pull_secret() -> None:
    rows = (
        copy("a", Effect.CREATE),
        copy("b", Effect.CREATE),
        copy("c", Effect.DELETE),
        account("a", added=(NAME, "vendor")),
        account("c", removed=(NAME,)),
        pod("a", "api-1", "Deployment/api"),
        pod("a", "api-2", "Deployment/api"),
        pod("a", "db-0", "StatefulSet/db"),
        pod("b", "migrate-x", "Job/migrate"),
        pod("b", "shell"),
    )
    assert texts(Preview(rows, namespaces=3)) == [
        NAME,
        "copies: 2 to create, 1 to delete",
        "references: in 1 ServiceAccount to add it, in 1 ServiceAccount to remove it",
        "Pods: 5 lack it, until recreated",
        "kubectl -n a rollout restart deployment/api statefulset/db",
        "kubectl -n b delete pod migrate-x",
        "Pod shell has no controller: create again from the manifest, in namespace b",
        "vendor",
        "references: in 1 ServiceAccount to add it",
    ]


def test_problems_come_first() -> None:
    problem = Row("team-a", f"Secret/{NAME}", Effect.PROBLEM, FindingReason.COPY_CONFLICT, "a foreign Secret")
    (first, *_) = overview(Preview((copy("b", Effect.CREATE), problem), namespaces=2))
    assert first == Paragraph(f"team-a, Secret/{NAME}: a foreign Secret (copy-conflict)", "!", "bold red")


@pytest.mark.parametrize(
    ("title", "command"),
    [(f"Secret/{NAME}", "pullsecrets explain ns/team-a"), (f"PullSecret/{NAME}", "pullsecrets check")],
)
def test_a_problem_of_a_copy_or_of_all_copies_has_a_command_that_shows_more(title: str, command: str) -> None:
    problem = Row("team-a", title, Effect.PROBLEM, FindingReason.SOURCE_UNAVAILABLE, "its sources cannot be copied now")
    assert texts(Preview((problem,), namespaces=2))[1] == command


def test_only_objects_have_names_for_kubectl() -> None:
    waiting = Row("psw", f"PullSecret/{NAME}", Effect.PROBLEM, FindingReason.SOURCE_UNAVAILABLE, "2 copies are missing")
    assert Preview((copy("a", Effect.CREATE), waiting), namespaces=2).titles() == [f"Secret/{NAME}"]


def test_many_namespaces_are_counted_unless_all_are_wanted() -> None:
    preview = Preview(
        tuple(pod(f"team-{at:02}", "api-1", "Deployment/api") for at in range(MOST_COMMANDS + 3)), namespaces=99
    )
    assert sum("rollout restart" in text for text in texts(preview)) == MOST_COMMANDS
    assert texts(preview)[-1] == "and in 3 namespaces more (-v lists them)"
    assert sum("rollout restart" in text for text in texts(preview, verbose=True)) == MOST_COMMANDS + 3


IN_ORDER = Preview((), unlisted=1806, namespaces=1806)
WAITING = Row("a", "ServiceAccount/x", Effect.NONE, FindingReason.SOURCE_UNAVAILABLE, "waits", origin="cluster")


def test_all_are_as_they_should_be_in_one_sentence() -> None:
    assert texts(IN_ORDER) == []
    assert IN_ORDER.summary() == "All 1,806 namespaces are as they should be."
    assert Preview((), namespaces=1).summary() == "The namespace is as it should be."


@pytest.mark.parametrize(
    "preview",
    [
        Preview((copy("a", Effect.CREATE),), namespaces=2),
        Preview((copy("a", Effect.PROBLEM),), namespaces=2),
        Preview((copy("a", Effect.UNDECIDED),), namespaces=2),
        Preview((pod("a", "x"),), namespaces=2),
        Preview((WAITING,), namespaces=2),
        Preview((), namespaces=2, suspects=("a",)),
        Preview((), namespaces=2, is_complete=False),
        Preview(()),
    ],
    ids=["change", "problem", "undecided", "recreate", "waiting", "suspect", "unread", "manifests"],
)
def test_it_is_not_said_where_something_is_open(preview: Preview) -> None:
    assert "as they should be" not in preview.summary()
    assert "as it should be" not in preview.summary()


def test_a_namespace_with_a_typing_error_is_named() -> None:
    assert texts(Preview((), namespaces=2, suspects=("team-a",))) == [
        "note: namespace team-a: a label looks like the opt-in label with a typing error"
    ]
