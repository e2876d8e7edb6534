from __future__ import annotations

import pytest
from msgspec.structs import replace

from webhook.rules.configuration import Configuration, PullSecret
from webhook.rules.copy_status import CopyState, CopyStatus, copy_statuses
from webhook.rules.objects import Copy, Namespace, NamespaceState
from webhook.rules.ownership import Mark

OPTED_IN = Namespace("a", {"pullsecrets.webhook/inject": "enabled"})
CONFIGURATION = Configuration((PullSecret("one", ("harbor",)),), retired=("old",))
COPY = Copy("a", "one", "uid", "7", Mark(), content_hash="sha256:1")


def standing(*copies: Copy, namespace: Namespace = OPTED_IN) -> list[CopyStatus]:
    return list(copy_statuses(NamespaceState(namespace, {copy.name: copy for copy in copies}), CONFIGURATION))


def states(*copies: Copy, namespace: Namespace = OPTED_IN, content: str | None = "sha256:1") -> dict[str, CopyState]:
    return {each.secret: each.current_state(content) for each in standing(*copies, namespace=namespace)}


def test_a_copy_is_current_as_long_as_its_content_is_that_of_the_sources() -> None:
    (each,) = standing(COPY)

    assert each.current_state("sha256:1") is CopyState.CURRENT
    assert each.current_state("sha256:2") is CopyState.STALE
    assert each.current_state(None) is CopyState.KEPT


def test_a_copy_is_kept_only_if_it_holds_the_last_good_content() -> None:
    (each,), (missing,) = standing(COPY), standing()

    assert each.current_state(None, "sha256:1") is CopyState.KEPT
    assert each.current_state(None, "sha256:2") is CopyState.STALE
    assert missing.current_state(None, "sha256:1") is CopyState.MISSING


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"type": "Opaque"}, CopyState.STALE),
        ({"immutable": True}, CopyState.STALE),
        ({"terminating": True}, CopyState.MISSING),
        ({"mark": None, "content_hash": ""}, CopyState.CONFLICTING),
        ({"mark": None, "content_hash": "", "terminating": True}, CopyState.CONFLICTING),
    ],
)
def test_whatever_else_is_there_is_not_current(change: dict[str, object], state: CopyState) -> None:
    assert states(replace(COPY, **change)) == {"one": state}


def test_what_is_not_there_is_missing() -> None:
    assert states() == {"one": CopyState.MISSING}


def test_what_should_not_be_there_is_leaving() -> None:
    retired = replace(COPY, name="old")

    assert states(COPY, retired) == {"one": CopyState.CURRENT, "old": CopyState.LEAVING}
    assert states(COPY, namespace=Namespace("a")) == {"one": CopyState.LEAVING}


def test_what_is_not_ours_does_not_leave() -> None:
    assert states(replace(COPY, name="old", mark=None)) == {"one": CopyState.MISSING}
    assert states(replace(COPY, mark=None), namespace=Namespace("a")) == {}


def test_a_namespace_that_ends_should_have_nothing() -> None:
    assert states(COPY, namespace=replace(OPTED_IN, terminating=True)) == {}
