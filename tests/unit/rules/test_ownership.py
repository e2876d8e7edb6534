from __future__ import annotations

import pytest

from webhook.rules.ownership import (
    MANAGED_BY_LABEL,
    NAMESPACE_UID_LABEL,
    RELEASE_LABEL,
    RELEASE_NAMESPACE_LABEL,
    FieldManager,
    Mark,
    Ownership,
    copy_labels,
    labels_for,
    mark_of,
    ownership_of,
)

UID = "5d1f"
LABELS = copy_labels("psw", "pull-secrets", UID)
SYNC = FieldManager("pull-secret-webhook", "Apply")
CREATOR = FieldManager("pull-secret-webhook-7f0c", "Apply")
PERSON = FieldManager("kubectl-client-side-apply", "Update")


def whose(labels: dict[str, str], *writers: FieldManager, namespace_uid: str = UID) -> Ownership:
    return ownership_of(mark_of(labels, writers, "psw", "pull-secrets"), namespace_uid)


def without(label: str) -> dict[str, str]:
    return {key: value for key, value in LABELS.items() if key != label}


@pytest.mark.parametrize("writer", [SYNC, CREATOR])
def test_what_we_wrote_for_a_namespace_is_ours_whoever_wrote_too(writer: FieldManager) -> None:
    assert whose(LABELS, writer) is Ownership.OURS
    assert whose(LABELS | {"team": "a"}, PERSON, writer) is Ownership.OURS


@pytest.mark.parametrize("label", [MANAGED_BY_LABEL, RELEASE_LABEL, RELEASE_NAMESPACE_LABEL])
def test_without_any_one_of_the_release_labels_it_is_foreign(label: str) -> None:
    assert whose(without(label), SYNC) is Ownership.FOREIGN


def test_the_copy_of_a_release_of_the_same_name_in_another_namespace_is_foreign() -> None:
    assert whose(copy_labels("psw", "elsewhere", UID), SYNC) is Ownership.FOREIGN


def test_a_copy_that_a_person_made_in_another_namespace_is_foreign() -> None:
    assert whose(LABELS, PERSON, namespace_uid="another") is Ownership.FOREIGN


def test_a_copy_of_release_0_1_is_ours_and_a_persons_copy_of_one_is_foreign() -> None:
    labels = without(NAMESPACE_UID_LABEL)
    assert labels == labels_for("psw", "pull-secrets")
    assert whose(labels, CREATOR) is Ownership.OURS
    assert whose(labels, PERSON) is Ownership.FOREIGN


def test_what_a_backup_brings_back_is_restored() -> None:
    assert whose(LABELS, SYNC, namespace_uid="recreated") is Ownership.RESTORED
    assert whose(LABELS, FieldManager("velero-server", "Update")) is Ownership.RESTORED


@pytest.mark.parametrize(
    "writer",
    [
        FieldManager("pull-secret-webhook", "Update"),
        FieldManager("pull-secret-webhooks", "Apply"),
        FieldManager("", "Apply"),
        FieldManager("not-pull-secret-webhook", "Apply"),
    ],
)
def test_no_other_field_manager_passes_for_ours(writer: FieldManager) -> None:
    assert mark_of(LABELS, [writer], "psw", "pull-secrets") == Mark(UID, written=False)
