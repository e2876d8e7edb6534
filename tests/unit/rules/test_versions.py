from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.rules.versions import (
    LONGEST_SOURCES,
    Confirmation,
    Revision,
    SourceVersion,
    decode_sources,
    encode_sources,
    newer_sources,
    parse_revision,
)

NEWER = Revision("uid", "10", "digest")


def test_a_revision_can_be_read_back() -> None:
    assert parse_revision(str(NEWER)) == NEWER


@pytest.mark.parametrize("text", ["", "nonsense", "a/b", "a//c", "a/b/c/d"])
def test_another_annotation_is_no_revision(text: str) -> None:
    assert parse_revision(text) is None


def test_only_a_lower_version_of_the_same_object_is_older() -> None:
    assert Revision("uid", "9", "other").is_older_than(NEWER)
    assert not Revision("uid", "10", "other").is_older_than(NEWER)
    assert not Revision("uid", "11", "other").is_older_than(NEWER)
    assert not Revision("recreated", "9", "other").is_older_than(NEWER)


def test_a_version_of_thousands_of_digits_is_compared_without_an_error() -> None:
    assert NEWER.is_older_than(Revision(NEWER.uid, "1" * 5_000, "other"))
    assert not Revision(NEWER.uid, "1" * 5_000, "other").is_older_than(NEWER)
    assert not Revision("uid", "9", "other").is_older_than(None)


VERSIONS = st.lists(
    st.builds(
        SourceVersion,
        st.sampled_from(["harbor", "ghcr", "quay.example.com"]),
        st.uuids().map(str),
        st.integers(1, 2**64 - 1).map(str),
    ),
    max_size=3,
    unique_by=lambda version: version.name,
)


def versions(**numbers: int) -> tuple[SourceVersion, ...]:
    return tuple(SourceVersion(name, f"uid-{name}", str(number)) for name, number in numbers.items())


@given(VERSIONS)
def test_the_annotation_can_be_read_back(made_from: list[SourceVersion]) -> None:
    assert list(decode_sources(encode_sources(made_from))) == made_from


@given(st.text() | st.text("a1/,-"))
def test_any_text_has_an_outcome_and_only_versions_that_can_be_compared(text: str) -> None:
    assert all(int(version.resource_version) >= 0 for version in decode_sources(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "harbor",
        "harbor/uid",
        "harbor/uid/",
        "/uid/7",
        "harbor/uid/x",
        "harbor/uid/-7",
        "harbor/uid/٧",
        "harbor/uid/7/8",
        "harbor/uid/7,",
        "harbor/uid/" + "9" * 21,
        "harbor/uid/" + "9" * 5000,
        ",".join(["harbor/uid/7"] * 1000),
    ],
)
def test_a_malformed_annotation_names_no_version(text: str) -> None:
    assert decode_sources(text) == ()


def test_a_copy_of_very_many_sources_has_no_annotation() -> None:
    many = [SourceVersion(f"{number:0250}", "uid", "7") for number in range(20)]
    assert encode_sources(many) == ""
    assert 0 < len(encode_sources(many[:15])) <= LONGEST_SOURCES


@pytest.mark.parametrize(
    ("copy", "known", "newer"),
    [
        (versions(harbor=9), versions(harbor=10), ()),
        (versions(harbor=10), versions(harbor=10), ()),
        (versions(harbor=10), versions(harbor=9), versions(harbor=10)),
        (versions(harbor=10, ghcr=7), versions(harbor=9, ghcr=7), versions(harbor=10)),
        (versions(harbor=10, ghcr=7), versions(harbor=9, ghcr=6), versions(harbor=10, ghcr=7)),
        (versions(harbor=10, ghcr=6), versions(harbor=9, ghcr=7), ()),
        (versions(harbor=10), versions(ghcr=9), ()),
        (versions(harbor=10, ghcr=7), versions(harbor=9), versions(harbor=10)),
        (versions(harbor=10), (SourceVersion("harbor", "", ""),), ()),
        (versions(harbor=10), (SourceVersion("harbor", "another uid", "9"),), versions(harbor=10)),
    ],
)
def test_what_is_provably_newer(
    copy: tuple[SourceVersion, ...], known: tuple[SourceVersion, ...], newer: tuple[SourceVersion, ...]
) -> None:
    assert newer_sources(copy, known) == newer


@given(VERSIONS, VERSIONS)
def test_of_two_sides_at_most_one_is_newer(ours: list[SourceVersion], theirs: list[SourceVersion]) -> None:
    assert newer_sources(ours, ours) == ()
    assert not (newer_sources(ours, theirs) and newer_sources(theirs, ours))


@given(VERSIONS, VERSIONS)
def test_after_a_read_of_each_newer_source_at_its_version_nothing_is_newer(
    ours: list[SourceVersion], theirs: list[SourceVersion]
) -> None:
    newer = {version.name: version for version in newer_sources(theirs, ours)}
    read = [newer.get(version.name, version) for version in ours]
    assert newer_sources(theirs, read) == ()


def test_a_read_confirms_its_version_against_what_was_newer_then() -> None:
    (version,), (other,) = versions(harbor=7), versions(harbor=8)
    confirmation = Confirmation(version, "100")
    assert confirmation.covers(version, "100")
    assert confirmation.covers(version, "99")
    assert not confirmation.covers(version, "101")
    assert not confirmation.covers(other, "100")
