"""Copies with their configured labels and annotations, and copies without."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from webhook.rules.copy_metadata import (
    KEYS_ANNOTATION,
    LONGEST_KEYS,
    NO_METADATA,
    NOTHING_STORED,
    CopyMetadata,
    stored_metadata,
)

KEYS = st.sampled_from(["team", "tier", "example.com/a", "velero.io/b"])
VALUES = st.text("ab|=,;'", max_size=3)
MAPPINGS = st.dictionaries(KEYS, VALUES, max_size=3)


def configured(labels: dict[str, str], annotations: dict[str, str]) -> CopyMetadata:
    return CopyMetadata(tuple(sorted(labels.items())), tuple(sorted(annotations.items())))


@given(MAPPINGS, MAPPINGS, MAPPINGS, MAPPINGS)
def test_a_copy_is_right_exactly_if_the_configured_values_are_on_it(
    labels: dict[str, str], annotations: dict[str, str], other_labels: dict[str, str], others: dict[str, str]
) -> None:
    metadata = configured(labels, annotations)
    stored = {**others, **metadata.written_annotations}
    assert stored_metadata({**other_labels, **labels}, stored) == metadata.stored
    changed = configured(other_labels, others)
    assert (stored_metadata({**other_labels, **labels}, stored) == changed.stored) is (changed == metadata)
    expected = frozenset(labels.keys() - other_labels), frozenset(annotations.keys() - others)
    assert changed.dropped(metadata.stored) == expected


def test_an_edited_copy_is_not_right() -> None:
    metadata = configured({"team": "a", "tier": "b"}, {"note": "c"})
    annotations = metadata.written_annotations
    labels = dict(metadata.labels)
    for edited_labels, edited in (
        ({**labels, "team": "b"}, annotations),
        ({"tier": "b"}, annotations),
        (labels, {**annotations, "note": "d"}),
        (labels, {**annotations, KEYS_ANNOTATION: "labels=team;annotations="}),
        (labels, {"note": "c"}),
    ):
        assert stored_metadata(edited_labels, edited) != metadata.stored


def test_without_metadata_nothing_is_written_or_compared() -> None:
    assert NO_METADATA.written_annotations == {}
    assert NO_METADATA.stored == stored_metadata({"team": "a"}, {"note": "b"}) == NOTHING_STORED
    assert stored_metadata({}, {KEYS_ANNOTATION: "x" * (LONGEST_KEYS + 1)}) == NOTHING_STORED


def test_the_labels_by_which_a_copy_is_recognised_are_not_dropped_whatever_a_tenant_lists() -> None:
    listed = {KEYS_ANNOTATION: "labels=app.kubernetes.io/managed-by,pullsecrets.webhook/release;annotations="}
    assert NO_METADATA.dropped(stored_metadata({}, listed)) == (frozenset(), frozenset())
