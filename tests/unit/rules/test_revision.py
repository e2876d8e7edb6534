from __future__ import annotations

import pytest

from webhook.rules.versions import Revision, parse_revision

NEWER = Revision("uid", "10", "digest")


def test_the_annotation_can_be_read_back() -> None:
    assert parse_revision(str(NEWER)) == NEWER


@pytest.mark.parametrize("text", ["", "nonsense", "a/b", "a//c", "a/b/c/d"])
def test_another_annotation_is_no_revision(text: str) -> None:
    assert parse_revision(text) is None


def test_only_a_lower_version_of_the_same_object_is_older() -> None:
    assert Revision("uid", "9", "other").is_older_than(NEWER)
    assert not Revision("uid", "10", "other").is_older_than(NEWER)
    assert not Revision("uid", "11", "other").is_older_than(NEWER)
    assert not Revision("recreated", "9", "other").is_older_than(NEWER)
    assert not Revision("uid", "9", "other").is_older_than(None)
