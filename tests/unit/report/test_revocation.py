"""The pulls that fail without a credential: each row of the table is one image of one Pod."""

from __future__ import annotations

import pytest

from webhook.report.pod_groups import PodGroup, owners_of
from webhook.report.revocation import PullAnswer, Question, Revocation, RevokedCredential, predict, questions
from webhook.rules.configuration import Configuration, PullSecret
from webhook.rules.credential import Credential
from webhook.rules.dockerconfig import Credentials
from webhook.rules.keyring import ReferencedSecret, SecretState

OLD, OTHER = Credential("robot", "old"), Credential("robot", "new")
CONFIGURATION = Configuration((PullSecret("ours", ("harbor",)),))
OWNERS = owners_of(CONFIGURATION, {"harbor": Credentials({"r.io": OLD})})
REVOKED = RevokedCredential("harbor", {"r.io": OLD})
COPY = ReferencedSecret("ours", credentials=Credentials({"r.io": OLD}), copy_of="ours")
ROTATED = ReferencedSecret("ours", credentials=Credentials({"r.io": OTHER}), copy_of="ours")
SAME = ReferencedSecret("same", credentials=Credentials({"r.io/team": OLD}))
THEIRS = ReferencedSecret("regcred", credentials=Credentials({"r.io/team": OTHER}))
FURTHER = ReferencedSecret("further", credentials=Credentials({"r.io/team": OTHER}))
UNREAD = ReferencedSecret("hidden", SecretState.UNREAD)
VEILED = ReferencedSecret("veiled", SecretState.UNREAD)
ABSENT = ReferencedSecret("gone", SecretState.ABSENT)
BROKEN = ReferencedSecret("broken", SecretState.MALFORMED)
IMAGE = "r.io/team/app:1"

YES, NO, PUBLIC, SILENT = PullAnswer.ACCEPTED, PullAnswer.REFUSED, PullAnswer.PUBLIC, PullAnswer.UNKNOWN


def predicted(
    *secrets: ReferencedSecret, image: str = IMAGE, others: PullAnswer | None = None, without: PullAnswer = NO
) -> Revocation:
    """Return the prediction for one Pod; ``others`` is the answer for the remaining credentials, None if not asked."""
    groups = [PodGroup("team-a", "Deployment/web", (image,), secrets, 2)]
    asked = questions(groups, REVOKED)
    answers = {each: without if each.credential is None else others or NO for each in asked}
    return predict(groups, REVOKED, OWNERS, None if others is None else answers)


@pytest.mark.parametrize(
    ("secrets", "expected"),
    [
        ([COPY], "fails no other Secret of the Pods covers it"),
        ([COPY, SAME], "fails no other Secret of the Pods covers it"),
        ([COPY, ABSENT], "fails no other Secret of the Pods covers it"),
        ([COPY, BROKEN], "fails it fails already: the kubelet cannot decode Secret broken"),
        ([COPY, THEIRS], "unknown Secret regcred of the namespace also covers it, and was not tested"),
        (
            [COPY, THEIRS, FURTHER],
            (
                "unknown Secret regcred of the namespace and Secret further of the namespace also cover it, "
                "and were not tested"
            ),
        ),
        (
            [COPY, UNREAD, VEILED],
            "unknown Secrets hidden and veiled may also cover it, and cannot be read with your rights",
        ),
        ([COPY, UNREAD], "unknown Secret hidden may also cover it, and cannot be read with your rights"),
        ([UNREAD], "unknown Secret hidden may have the credential, and cannot be read with your rights"),
        ([SAME], "fails no other Secret of the Pods covers it"),
        ([ROTATED], ""),
        ([THEIRS], ""),
        ([ABSENT], ""),
    ],
)
def test_without_the_registries_a_pull_fails_or_is_unknown(secrets: list[ReferencedSecret], expected: str) -> None:
    found = predicted(*secrets).images
    assert [f"{each.result} {each.message}" for each in found] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("secrets", "others", "without", "expected"),
    [
        ([COPY], NO, NO, ("fails", False)),
        ([COPY], NO, PUBLIC, ("fails", True)),
        ([COPY], NO, SILENT, ("fails", None)),
        ([COPY], NO, YES, ("works", True)),
        ([COPY, THEIRS], YES, NO, ("works", False)),
        ([COPY, THEIRS], NO, NO, ("fails", False)),
        ([COPY, THEIRS], NO, PUBLIC, ("fails", True)),
        ([COPY, THEIRS], SILENT, NO, ("unknown", False)),
        ([COPY, THEIRS], SILENT, YES, ("works", True)),
        ([COPY, THEIRS, UNREAD], NO, NO, ("unknown", False)),
        ([COPY, THEIRS, UNREAD], YES, NO, ("works", False)),
        ([COPY, THEIRS, BROKEN], YES, YES, ("fails", True)),
        ([UNREAD], NO, NO, ("unknown", None)),
    ],
)
def test_with_the_registries_the_answers_decide(
    secrets: list[ReferencedSecret], others: PullAnswer, without: PullAnswer, expected: tuple[str, bool | None]
) -> None:
    (found,) = predicted(*secrets, others=others, without=without).images
    assert (found.result, found.is_public) == expected


def test_images_of_another_registry_are_not_mentioned_and_not_asked_about() -> None:
    found = predicted(COPY, UNREAD, image="q.io/app")
    assert found.images == ()
    assert found.summary() == "no running workload is pulled with harbor"
    assert questions([PodGroup("a", "Pod/x", ("q.io/app",), (COPY,))], REVOKED) == []


def test_a_question_is_asked_once_and_not_with_the_revoked_credential() -> None:
    group = PodGroup("a", "Pod/x", (IMAGE,), (COPY, THEIRS, SAME))
    assert questions([group, group], REVOKED) == [Question(IMAGE, "r.io/team", OTHER), Question(IMAGE, "", None)]
    assert "new" not in repr(questions([group], REVOKED))


def test_failures_come_first_and_the_sentence_counts_workloads() -> None:
    groups = [
        PodGroup("a", "Deployment/both", (IMAGE, "r.io/x"), (COPY, THEIRS), 3),
        PodGroup("b", "Deployment/web", (IMAGE,), (COPY,), 2),
    ]
    found = predict(groups, REVOKED, OWNERS)
    assert [(each.namespace, each.image, each.result, each.pods) for each in found.images] == [
        ("a", "r.io/x", "fails", 3),
        ("b", IMAGE, "fails", 2),
        ("a", IMAGE, "unknown", 3),
    ]
    assert found.titles() == ["Deployment/both", "Deployment/web"]
    assert found.summary() == (
        "2 of 2 workloads with harbor would fail on a fresh node; 1 image unknown: --ask-registry tests the other "
        "credentials"
    )
