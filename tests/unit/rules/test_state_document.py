from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.unit.documented import ROOT
from webhook.files.configuration import parse
from webhook.rules import state_document
from webhook.rules.credential import Credential
from webhook.rules.dockerconfig import Credentials, render
from webhook.rules.objects import Copy
from webhook.rules.ownership import Mark
from webhook.rules.state_document import (
    CONFIGURATION_KEY,
    LastGood,
    StateDocument,
    decode_document,
    encode,
    encode_accepted,
    update,
)
from webhook.rules.versions import SourceVersion, encode_sources

THEN = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def payload(password: str = "secret", host: str = "harbor.example.com") -> bytes:  # noqa: S107
    return render(Credentials({host: Credential("robot", password)}))


def last_good(password: str = "secret", version: str = "7", name: str = "harbor") -> LastGood:  # noqa: S107
    return LastGood(payload(password), (SourceVersion(name, "uid", version),), THEN)


def stored(value: bytes) -> StateDocument:
    return decode_document({"pull": b64encode(value).decode()})


@pytest.mark.parametrize("password", ["secret", "{\n\t}", "ключ\u2028", '"\\', "x" * 300_000])
def test_a_content_is_decoded_as_it_was_encoded(password: str) -> None:
    content = last_good(password)
    assert stored(encode(content)) == StateDocument({"pull": content})


def test_no_credential_is_shown() -> None:
    content = last_good("pssst")
    shown = repr((content, stored(encode(content)), update(StateDocument(), {"pull": content})))
    assert "pssst" not in shown


def test_a_configuration_with_renewing_sources_is_decoded_as_it_was_encoded() -> None:
    configuration = parse((ROOT / "examples" / "renewing.yaml").read_text(), "renewing.yaml")

    encoded = encode_accepted(configuration, ())

    assert encoded is not None
    document = decode_document({CONFIGURATION_KEY: b64encode(encoded).decode()})
    assert document.accepted is not None
    assert document.accepted.configuration == configuration
    assert len(configuration.renewing) == 2


def whole(**changes: object) -> bytes:
    document = json.loads(encode(last_good()))
    return json.dumps(document | changes).encode()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"", "the document was not written"),
        (b"[]", "the document was not written"),
        (b"{}", "the document was not written"),
        (b"\xff\xfe", "the document was not written"),
        (b"[" * 100_000, "the document was not written"),
        (b'{"version":1,"content":' + b"[" * 100_000, "the document was not written"),
        (whole(version=2), "version is 2"),
        (whole(time="yesterday"), "the document was not written"),
        (whole(sources=[{"name": "x"}]), "the document was not written"),
        (whole().replace(b'"harbor"', b'"\xff"'), "the document was not written"),
        (whole(content={"auths": {}}), "its content"),
        (whole(content={"auths": {"a": {"auth": "eDp5"}}}), "its content"),
        (whole(content="text"), "its content"),
        (encode(replace(last_good(), payload=b'{"auths": ' + payload()[9:])), "its content"),
    ],
)
def test_what_was_tampered_with_is_a_problem_and_nothing_else(value: bytes, message: str) -> None:
    found = stored(value)
    assert found.last_good == {}
    assert message in found.problems["pull"]


def test_what_is_not_base64_is_a_problem_of_its_key_alone() -> None:
    found = decode_document({"bad": "!", "pull": b64encode(encode(last_good())).decode(), "_other": "!"})
    assert found.last_good == {"pull": last_good()}
    assert found.problems.keys() == {"bad", "_other"}


def test_equal_contents_are_not_written_again() -> None:
    known = StateDocument({"pull": last_good(version="7")})
    later = replace(last_good(version="9"), time=datetime.now(UTC))
    assert update(known, {"pull": later}).values == {}


@pytest.mark.parametrize("changed", [last_good("new"), last_good(name="other")], ids=["content", "sources"])
def test_another_content_or_other_sources_are_written(changed: LastGood) -> None:
    known = StateDocument({"pull": last_good()})
    assert update(known, {"pull": changed}).values == {"pull": encode(changed)}


def test_what_is_no_longer_wanted_or_not_readable_is_removed() -> None:
    known = StateDocument({"pull": last_good(), "dropped": last_good()}, {"bad": "why", "mended": "why"})
    found = update(known, {"pull": last_good(), "mended": last_good()})
    assert found.values == {"dropped": None, "bad": None, "mended": encode(last_good())}


def test_what_does_not_fit_is_left_out_and_named_and_as_many_as_possible_are_kept() -> None:
    large = {f"large-{number}": last_good("x" * 200_000) for number in range(3)}
    small = {f"small-{number}": last_good(str(number)) for number in range(20)}
    found = update(StateDocument({"large-2": large["large-2"]}), large | small)
    assert found.left_out == ("large-2",)
    assert {name for name, value in found.values.items() if value is not None} == {"large-0", "large-1", *small}
    assert found.values["large-2"] is None
    assert sum(len(value or b"") for value in found.values.values()) <= state_document.LARGEST_STATE


@pytest.mark.parametrize(("ours", "theirs", "later"), [("9", "10", False), ("10", "9", True), ("9", "9", False)])
def test_the_later_of_two_contents_is_told_by_the_versions_of_its_sources(ours: str, theirs: str, later: bool) -> None:
    assert last_good(version=ours).is_later(last_good(version=theirs)) is later


@pytest.mark.parametrize(
    ("copy", "due"),
    [
        (None, True),
        (Copy("team", "pull", "uid", "6", Mark(), "sha256:other"), True),
        (Copy("team", "pull", "uid", "8", Mark(), "sha256:other"), False),
        (Copy("team", "pull", "uid", "8", Mark(), "sha256:same"), True),
        (Copy("team", "pull", "uid", "", Mark(), "sha256:other"), False),
    ],
)
def test_only_copies_that_are_provably_older_must_hold_the_last_good_content(copy: Copy | None, due: bool) -> None:
    assert last_good(version="7").is_due(copy, "sha256:same") is due


def made_from(version: str, changed_at: str = "8") -> Copy:
    sources = encode_sources([SourceVersion("harbor", "uid", version)])
    return Copy("team", "pull", "uid", changed_at, Mark(), "sha256:other", sources=sources)


@pytest.mark.parametrize(
    ("copy", "due"),
    [(made_from("6"), True), (made_from("8", "6"), False), (made_from("7"), False), (made_from("7", "6"), True)],
    ids=["older sources", "newer sources", "the same sources", "the same sources, written before"],
)
def test_the_sources_that_a_copy_names_decide_if_it_must_hold_the_last_good_content(copy: Copy, due: bool) -> None:
    assert last_good(version="7").is_due(copy, "sha256:same") is due
