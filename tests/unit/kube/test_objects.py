"""Namespaces as caches keep them: the labels that decisions read, and one that may be a typing error."""

from __future__ import annotations

import json
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.kube.objects import LARGEST_LABELS, MAX_KEPT, SHORT_LIST_BYTES, ScopedDecoder, read_reference_list
from webhook.kube.wire import decoder
from webhook.rules.configuration import Configuration
from webhook.rules.objects import Namespace
from webhook.rules.patch import apply, removals
from webhook.rules.references import References
from webhook.rules.scope import scope_of

LABEL = "pullsecrets.webhook/inject"


def kept(labels: dict[str, str] | None) -> Namespace:
    shapes = ScopedDecoder(scope_of(Configuration(())))
    document = {"metadata": {"name": "team-a", "uid": "u", "labels": labels}}
    return shapes.to_namespace(decoder(shapes.namespace)(json.dumps(document).encode()))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, {}),
        ({}, {}),
        ({LABEL: "enabled", "team": "a"}, {LABEL: "enabled"}),
        ({LABEL: "true"}, {LABEL: "true"}),
        ({"pullsecret.webhook/inject": "enabled", "team": "a"}, {"pullsecret.webhook/inject": "enabled"}),
        ({"istio-injection": "enabled"}, {}),
    ],
)
def test_of_the_labels_those_are_kept_that_decide_or_look_mistyped(
    labels: dict[str, str] | None, expected: dict[str, str]
) -> None:
    assert kept(labels).labels == expected


def test_a_namespace_with_very_many_labels_is_not_searched() -> None:
    many = {f"label-{number}": "x" * 60 for number in range(LARGEST_LABELS // 60)}
    assert kept({**many, "pullsecret.webhook/inject": "enabled"}).labels == {}


OURS = frozenset({"pull", "vendor"})
COMPACT = (",", ":")


def encode(entries: object, separators: tuple[str, str] = COMPACT) -> bytes:
    return json.dumps(entries, separators=separators, ensure_ascii=False).encode()


def padding() -> list[dict[str, str]]:
    """Return entries that make a list long enough to be scanned instead of decoded."""
    return [{"name": "x" * 50}] * (SHORT_LIST_BYTES // 50)


names = st.one_of(
    st.sampled_from(sorted(OURS)), st.text(max_size=6), st.sampled_from(['},{"name":"pull"}', '\\"pull', "{}"])
)
entries = st.lists(st.one_of(st.builds(lambda name: {"name": name}, names), st.just({}), st.none()), max_size=20)


@given(entries=entries, long=st.booleans(), separators=st.sampled_from([COMPACT, (", ", ": ")]))
def test_what_is_kept_is_each_of_our_names_at_its_place(
    entries: list[dict[str, str] | None], separators: tuple[str, str], *, long: bool
) -> None:
    whole = [*(padding() if long else []), *entries]
    found = read_reference_list(encode(whole, separators), OURS)

    expected = [(at, each["name"]) for at, each in enumerate(whole) if each and each.get("name") in OURS]
    assert list(found.entries()) == expected
    assert (found.present, found.count, found.truncated) == (True, len(whole), False)


@given(entries=entries, long=st.booleans())
def test_a_removal_takes_out_our_entries_and_no_other(entries: list[dict[str, str] | None], *, long: bool) -> None:
    whole = [*(padding() if long else []), *entries]
    found = read_reference_list(encode(whole), OURS)

    patched = apply({"imagePullSecrets": whole}, removals("/imagePullSecrets", found, ["pull"]))

    assert patched["imagePullSecrets"] == [each for each in whole if not each or each.get("name") != "pull"]


@pytest.mark.parametrize("data", [b"", b"null"])
def test_an_absent_list_is_absent(data: bytes) -> None:
    assert read_reference_list(data, OURS) == References()


@pytest.mark.parametrize("data", [b"{}", b'["pull"]', b'[{"name":1}]', b"[" + b'{"name":"x"},' * 1000])
def test_what_is_not_a_list_of_references_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        read_reference_list(data, OURS)


def test_of_a_name_that_is_listed_too_often_the_last_ones_are_kept() -> None:
    found = read_reference_list(encode([{"name": "pull"}] * (MAX_KEPT + 500)), OURS)

    assert (len(found.names), found.count, found.truncated) == (MAX_KEPT, MAX_KEPT + 500, True)
    assert found.positions is not None
    assert (found.positions[0], found.positions[-1]) == (500, MAX_KEPT + 499)


@pytest.mark.parametrize(
    "data",
    [
        encode([{"name": f"other-{number}"} for number in range(70_000)]),
        encode([{"name": "pull"}] * 70_000),
        encode([{"name": "x" * 1_400_000}]),
        b'[{"name":"' + b"\\n" * 700_000 + b'"}]',
    ],
    ids=["others", "ours", "one long name", "one escaped name"],
)
def test_a_list_of_a_megabyte_is_read_without_another_ten(data: bytes) -> None:
    read_reference_list(data, OURS)  # what is made once does not count: it was half of the bytes
    tracemalloc.start()
    try:
        found = read_reference_list(data, OURS)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found.present
    assert kept < 100_000
    assert peak < 5 * len(data)
