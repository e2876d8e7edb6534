from __future__ import annotations

import pytest

from webhook.core.ownership import MANAGED_BY_LABEL, RELEASE_LABEL, RELEASE_NAMESPACE_LABEL, is_ours, labels_for


def test_what_we_label_is_ours() -> None:
    assert is_ours(labels_for("psw", "pull-secrets"), "psw", "pull-secrets")


def test_labels_that_others_added_do_not_matter() -> None:
    assert is_ours(labels_for("psw", "pull-secrets") | {"team": "a"}, "psw", "pull-secrets")


@pytest.mark.parametrize("label", [MANAGED_BY_LABEL, RELEASE_LABEL, RELEASE_NAMESPACE_LABEL])
def test_without_any_one_of_the_three_labels_it_is_not_ours(label: str) -> None:
    labels = labels_for("psw", "pull-secrets")
    del labels[label]

    assert not is_ours(labels, "psw", "pull-secrets")


def test_the_copy_of_a_release_of_the_same_name_in_another_namespace_is_not_ours() -> None:
    assert not is_ours(labels_for("psw", "elsewhere"), "psw", "pull-secrets")
