from __future__ import annotations

import json
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.core.credential import DOCKER_HUB_KEY, Credential, SourceReason
from webhook.core.dockerconfig import (
    COPY_KEY,
    COPY_TYPE,
    LARGEST_COPY,
    LEGACY_KEY,
    LEGACY_TYPE,
    Clash,
    Credentials,
    content_hash,
    merge,
    parse_source,
    render,
)
from webhook.core.ownership import labels_for
from webhook.errors import SourceInvalid

MARKER = "hunter2-marker"
ALICE = Credential("alice", MARKER)
BOB = Credential("bob", MARKER + "-2")


def auth(text: str) -> str:
    return b64encode(text.encode()).decode()


def parse_bytes(
    content: bytes, secret_type: str = COPY_TYPE, key: str = COPY_KEY, labels: dict[str, str] | None = None
) -> Credentials:
    return parse_source("harbor", secret_type, {key: b64encode(content).decode()}, labels or {})


def parse_auths(auths: object) -> Credentials:
    return parse_bytes(json.dumps({"auths": auths}).encode())


def test_what_kubectl_creates_is_read() -> None:
    entry = {"username": "alice", "password": MARKER, "email": "a@example.com", "auth": auth(f"alice:{MARKER}")}

    assert dict(parse_auths({"ghcr.io": entry})) == {"ghcr.io": ALICE}


@pytest.mark.parametrize(
    "entry",
    [
        {"auth": auth(f"alice:{MARKER}")},
        {"auth": auth(f"alice:{MARKER}").rstrip("=")},
        {"auth": auth(f"alice:{MARKER}")[:8] + "\n" + auth(f"alice:{MARKER}")[8:] + "\n"},
        {"username": "alice", "password": MARKER},
        {"username": "alice", "password": MARKER, "auth": ""},
        {"username": "alice", "password": MARKER, "auth": None},
        {"username": "someone", "password": "else", "auth": auth(f"alice:{MARKER}")},
        {"auth": auth(f"alice:{MARKER}"), "identitytoken": "ignored", "email": False},
    ],
    ids=["auth", "unpadded", "broken-into-lines", "fields", "empty-auth", "null-auth", "auth-wins", "other-fields"],
)
def test_an_entry_is_read_as_the_kubelet_reads_it(entry: object) -> None:
    assert parse_auths({"ghcr.io": entry})["ghcr.io"] == ALICE


def test_a_password_may_hold_colons_and_any_script() -> None:
    assert parse_auths({"ghcr.io": {"auth": auth("alice:a:b:ü€")}})["ghcr.io"] == Credential("alice", "a:b:ü€")


def test_the_legacy_dockercfg_is_converted() -> None:
    content = json.dumps({"https://index.docker.io/v1/": {"auth": auth(f"alice:{MARKER}")}}).encode()

    assert dict(parse_bytes(content, LEGACY_TYPE, LEGACY_KEY)) == {DOCKER_HUB_KEY: ALICE}


GOOD = json.dumps({"auths": {"ghcr.io": {"auth": auth(f"alice:{MARKER}")}}}).encode()


def test_a_copy_is_refused_as_a_source() -> None:
    with pytest.raises(SourceInvalid) as caught:
        parse_bytes(GOOD, labels=labels_for("another", "release"))

    assert caught.value.reason == SourceReason.IS_A_COPY


@pytest.mark.parametrize("secret_type", ["Opaque", "", "kubernetes.io/basic-auth"])
def test_a_secret_of_another_type_is_refused(secret_type: str) -> None:
    with pytest.raises(SourceInvalid, match='source Secret "harbor" has the type') as caught:
        parse_bytes(GOOD, secret_type)

    assert caught.value.reason == SourceReason.TYPE_UNSUPPORTED


@pytest.mark.parametrize("data", [{}, {LEGACY_KEY: "e30="}, {COPY_KEY: ""}])
def test_a_secret_without_its_key_is_refused(data: dict[str, str]) -> None:
    with pytest.raises(SourceInvalid) as caught:
        parse_source("harbor", COPY_TYPE, data, {})

    assert caught.value.reason == SourceReason.KEY_ABSENT


def test_broken_base64_is_refused() -> None:
    with pytest.raises(SourceInvalid) as caught:
        parse_source("harbor", COPY_TYPE, {COPY_KEY: MARKER + "!"}, {})

    assert caught.value.reason == SourceReason.BASE64_INVALID


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json " + MARKER.encode(),
        b'{"auths": {"' + MARKER.encode() + b'": {',
        b"\xff" + MARKER.encode(),
        b"\xef\xbb\xbf" + GOOD,
        GOOD.decode().encode("utf-16"),
        GOOD + b"{}",
        b'{"auths": NaN}',
        b"[" * 100_000,
        b'{"\\ud800": 1}',
    ],
)
def test_broken_json_is_refused(content: bytes) -> None:
    with pytest.raises(SourceInvalid) as caught:
        parse_bytes(content)

    assert caught.value.reason in {SourceReason.JSON_INVALID, SourceReason.KEY_ABSENT}


@pytest.mark.parametrize(
    "document",
    [
        [],
        "text",
        1,
        {},
        {"auths": None},
        {"auths": []},
        {"auths": {}},
        {"auths": "x"},
        {"credHelpers": {"gcr.io": "x"}},
    ],
)
def test_a_document_without_any_registry_is_refused(document: object) -> None:
    with pytest.raises(SourceInvalid) as caught:
        parse_bytes(json.dumps(document).encode())

    assert caught.value.reason == SourceReason.AUTHS_INVALID


@pytest.mark.parametrize("key", ["", "oci://ghcr.io", f"alice:{MARKER}@ghcr.io", "ghcr.io\n", "x" * 3000])
def test_a_key_that_is_no_registry_is_refused_and_never_shown_where_it_may_hold_a_credential(key: str) -> None:
    with pytest.raises(SourceInvalid, match="host") as caught:
        parse_auths({"ghcr.io": {"auth": auth(f"alice:{MARKER}")}, key: {"auth": auth(f"alice:{MARKER}")}})

    assert caught.value.reason == SourceReason.REGISTRY_INVALID
    assert MARKER not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "reason", "words"),
    [
        (None, SourceReason.ENTRY_INVALID, "not a JSON object"),
        ([MARKER], SourceReason.ENTRY_INVALID, "not a JSON object"),
        ({"auth": 5}, SourceReason.ENTRY_INVALID, '"auth" that is not text'),
        ({"username": ["alice"]}, SourceReason.ENTRY_INVALID, '"username" that is not text'),
        ({"auth": MARKER + "!"}, SourceReason.ENTRY_INVALID, "not base64 of user:password"),
        ({"auth": auth(f"alice:{MARKER}") + "="}, SourceReason.ENTRY_INVALID, "not base64 of user:password"),
        ({"auth": auth(MARKER)}, SourceReason.ENTRY_INVALID, "not base64 of user:password"),
        ({"auth": b64encode(b"alice:\xff").decode()}, SourceReason.ENTRY_INVALID, "UTF-8"),
        ({}, SourceReason.CREDENTIAL_UNUSABLE, "credential helper"),
        ({"auth": auth(f":{MARKER}")}, SourceReason.CREDENTIAL_UNUSABLE, "empty user name"),
        ({"auth": auth("alice:")}, SourceReason.CREDENTIAL_UNUSABLE, "empty password"),
        ({"username": "alice"}, SourceReason.CREDENTIAL_UNUSABLE, "empty password"),
        ({"identitytoken": MARKER}, SourceReason.CREDENTIAL_UNUSABLE, "token"),
        ({"auth": auth("0000:"), "identitytoken": MARKER}, SourceReason.CREDENTIAL_UNUSABLE, "token"),
        ({"registrytoken": MARKER}, SourceReason.CREDENTIAL_UNUSABLE, "token"),
        ({"auth": auth(f"alice:{MARKER}\n")}, SourceReason.CREDENTIAL_UNUSABLE, "line break"),
        ({"username": "a:b", "password": MARKER}, SourceReason.CREDENTIAL_UNUSABLE, "colon"),
    ],
)
def test_an_entry_that_nobody_could_use_refuses_the_source_with_the_registry_named(
    entry: object, reason: SourceReason, words: str
) -> None:
    with pytest.raises(SourceInvalid, match=words) as caught:
        parse_auths({"quay.io": {"auth": auth("bob:x")}, "ghcr.io": entry})

    assert caught.value.reason == reason
    assert str(caught.value).startswith('source Secret "harbor": registry "ghcr.io" ')
    assert MARKER not in str(caught.value)
    assert caught.value.__context__ is None


def test_of_two_spellings_the_canonical_one_is_taken_and_the_other_reported() -> None:
    credentials = parse_auths(
        {"https://ghcr.io": {"auth": auth("bob:x")}, "ghcr.io": {"auth": auth(f"alice:{MARKER}")}}
    )

    assert dict(credentials) == {"ghcr.io": ALICE}
    assert credentials.clashes == (Clash("ghcr.io", "ghcr.io", ("https://ghcr.io",)),)


def test_of_two_other_spellings_the_first_in_sorted_order_is_taken() -> None:
    entries = {"index.docker.io": {"auth": auth("bob:x")}, "docker.io": {"auth": auth(f"alice:{MARKER}")}}

    assert dict(parse_auths(entries)) == {DOCKER_HUB_KEY: ALICE}


def test_the_first_source_wins_and_the_clash_is_reported() -> None:
    first, second = Credentials({"ghcr.io": ALICE}), Credentials({"ghcr.io": BOB, "quay.io": BOB})

    merged = merge([("harbor", first), ("ghcr", second), ("third", second)])

    assert dict(merged.credentials) == {"ghcr.io": ALICE, "quay.io": BOB}
    assert merged.clashes == (
        Clash("ghcr.io", "harbor", ("ghcr", "third")),
        Clash("quay.io", "ghcr", ("third",)),
    )


def test_spellings_within_a_source_are_reported_by_the_merge() -> None:
    source = Credentials({"ghcr.io": ALICE}, [Clash("ghcr.io", "ghcr.io", ("https://ghcr.io",))])

    assert merge([("harbor", source)]).clashes == (Clash("ghcr.io", "harbor (ghcr.io)", ("harbor (https://ghcr.io)",)),)


def test_a_copy_is_canonical_json() -> None:
    payload = render(Credentials({"quay.io": BOB, "ghcr.io": Credential("alice", "pä:ss")}))

    assert payload.decode() == (
        '{"auths":{"ghcr.io":{"auth":"' + auth("alice:pä:ss") + '","password":"pä:ss","username":"alice"},'
        '"quay.io":{"auth":"' + auth(f"bob:{MARKER}-2") + f'","password":"{MARKER}-2","username":"bob"' + "}}}"
    )


def test_over_one_mebibyte_is_refused_before_the_write() -> None:
    credentials = Credentials({f"r{number}.example.com": Credential("u", "p" * 1000) for number in range(500)})

    with pytest.raises(SourceInvalid, match=str(LARGEST_COPY)) as caught:
        render(credentials)
    assert caught.value.reason == SourceReason.COPY_TOO_LARGE


def test_the_content_hash_names_its_algorithm() -> None:
    assert content_hash(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_nothing_shows_a_credential() -> None:
    credentials = parse_auths({"ghcr.io": {"auth": auth(f"alice:{MARKER}")}})
    merged = merge([("harbor", credentials)])

    for value in (credentials, merged, credentials["ghcr.io"], list(credentials.items())):
        assert MARKER not in f"{value!r} {value}"
        assert "alice" not in f"{value!r} {value}"


word = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_characters=":\x7f"), min_size=1, max_size=20
)
registries = st.from_regex(r"[a-z0-9]{1,5}(\.[a-z]{1,5}){1,2}(:[0-9]{2,4})?(/[a-z]{1,4})?", fullmatch=True)
credentials_by_registry = st.dictionaries(registries, st.builds(Credential, word, word), min_size=1, max_size=6)


@given(credentials_by_registry)
def test_a_rendered_copy_parses_to_itself_and_does_not_depend_on_order(entries: dict[str, Credential]) -> None:
    payload = render(entries)

    assert render(dict(reversed(list(entries.items())))) == payload
    assert render(parse_bytes(payload)) == payload
    assert dict(parse_bytes(payload)) == entries


@given(st.lists(st.tuples(st.sampled_from("abcd"), credentials_by_registry.map(Credentials)), max_size=4))
def test_merging_loses_no_registry_and_the_first_wins(sources: list[tuple[str, Credentials]]) -> None:
    merged = merge(sources)

    assert set(merged.credentials) == {registry for _, credentials in sources for registry in credentials}
    for registry, credential in merged.credentials.items():
        assert credential == next(credentials[registry] for _, credentials in sources if registry in credentials)
    assert render(merge([("all", merged.credentials)]).credentials) == render(merged.credentials)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=8,
)
entry_like = st.fixed_dictionaries(
    {},
    optional={"auth": json_values, "username": json_values, "password": json_values, "identitytoken": json_values},
)


@given(
    st.binary(max_size=200)
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.text(max_size=20), entry_like, max_size=3).map(lambda a: json.dumps({"auths": a}).encode())
)
def test_any_content_is_read_or_refused_with_a_reason(content: bytes) -> None:
    for secret_type, key in ((COPY_TYPE, COPY_KEY), (LEGACY_TYPE, LEGACY_KEY)):
        reason = ""
        try:
            assert render(parse_bytes(content, secret_type, key))
        except SourceInvalid as error:
            reason = error.reason
        assert reason in {"", *SourceReason}
