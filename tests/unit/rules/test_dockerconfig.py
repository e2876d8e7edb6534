from __future__ import annotations

import json
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.errors import SourceInvalid
from webhook.rules.credential import Credential, SourceReason
from webhook.rules.dockerconfig import (
    COPY_KEY,
    COPY_TYPE,
    LARGEST_COPY,
    LEGACY_KEY,
    LEGACY_TYPE,
    MAX_NOTES,
    Clash,
    Credentials,
    content_hash,
    merge,
    parse_source,
    render,
)
from webhook.rules.ownership import labels_for
from webhook.rules.registry_key import DOCKER_HUB_KEY

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
        {"auth": auth(f"alice:{MARKER}"), "identitytoken": None, "email": False},
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
        b'{"auths": {"ghcr.io": {"username": "a\nb"}}}',
        b"\xef\xbb\xbf" + GOOD,
        GOOD.decode().encode("utf-16"),
        GOOD + b"{}",
        b'{"auths": NaN}',
        b"[" * 100_000,
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
        {"auths": {}, "credsStore": "desktop"},
    ],
)
def test_a_document_without_any_registry_is_refused(document: object) -> None:
    with pytest.raises(SourceInvalid) as caught:
        parse_bytes(json.dumps(document).encode())

    assert caught.value.reason == SourceReason.AUTHS_INVALID


@pytest.mark.parametrize("key", ["", "oci://ghcr.io", f"alice{MARKER}:x", "ghcr.io\n", "x" * 3000])
def test_a_key_that_no_image_can_match_is_left_out_and_never_shown_where_it_may_hold_a_credential(key: str) -> None:
    read = parse_auths({"ghcr.io": {"auth": auth(f"alice:{MARKER}")}, key: {"auth": auth(f"alice:{MARKER}")}})

    assert dict(read) == {"ghcr.io": ALICE}
    assert [note.reason for note in read.left_out.first] == [SourceReason.REGISTRY_INVALID]
    assert MARKER not in f"{read.left_out} {read.left_out!r}"


UNUSABLE: list[tuple[object, SourceReason, str]] = [
    (None, SourceReason.CREDENTIAL_UNUSABLE, "credential helper"),
    ([MARKER], SourceReason.ENTRY_INVALID, "not a JSON object"),
    ({"auth": 5}, SourceReason.ENTRY_INVALID, '"auth" that is not text'),
    ({"username": ["alice"]}, SourceReason.ENTRY_INVALID, '"username" that is not text'),
    ({"auth": MARKER + "!"}, SourceReason.ENTRY_INVALID, "not base64 of user:password"),
    ({"auth": f"alice:{MARKER}"}, SourceReason.ENTRY_INVALID, "encode it"),
    ({"auth": auth(auth(f"alice:{MARKER}"))}, SourceReason.ENTRY_INVALID, "encoded twice"),
    ({"auth": auth("alice:~~~???").replace("+", "-").replace("/", "_")}, SourceReason.ENTRY_INVALID, "for URLs"),
    ({"auth": auth(f"alice:{MARKER}") + "="}, SourceReason.ENTRY_INVALID, "not base64 of user:password"),
    ({"auth": auth(MARKER)}, SourceReason.ENTRY_INVALID, "no colon"),
    ({"auth": b64encode(b"alice:\xff").decode()}, SourceReason.ENTRY_INVALID, "UTF-8"),
    ({}, SourceReason.CREDENTIAL_UNUSABLE, "credential helper"),
    ({"auth": auth(f":{MARKER}")}, SourceReason.CREDENTIAL_UNUSABLE, "empty user name"),
    ({"auth": auth("alice:")}, SourceReason.CREDENTIAL_UNUSABLE, "empty password"),
    ({"username": "alice"}, SourceReason.CREDENTIAL_UNUSABLE, "empty password"),
    ({"identitytoken": MARKER}, SourceReason.CREDENTIAL_UNUSABLE, "service principal"),
    ({"auth": auth("0000:"), "identitytoken": MARKER}, SourceReason.CREDENTIAL_UNUSABLE, "service principal"),
    ({"registrytoken": MARKER}, SourceReason.CREDENTIAL_UNUSABLE, "registrytoken"),
    ({"username": "alice\n", "password": MARKER}, SourceReason.CREDENTIAL_UNUSABLE, "control character"),
    ({"username": "al\tice", "password": MARKER}, SourceReason.CREDENTIAL_UNUSABLE, "control character"),
    ({"username": "al\x85ice", "password": MARKER}, SourceReason.CREDENTIAL_UNUSABLE, "control character"),
    ({"username": "alice", "password": MARKER + "\0"}, SourceReason.CREDENTIAL_UNUSABLE, "NUL"),
    ({"username": "alice", "password": "ghp_0123456789abcdef\n"}, SourceReason.CREDENTIAL_UNUSABLE, "line break"),
    ({"username": "jwt", "password": "eyJhbGci.eyJzdWIi.c2ln\r\n"}, SourceReason.CREDENTIAL_UNUSABLE, "line break"),
]


@pytest.mark.parametrize(("entry", "reason", "words"), UNUSABLE)
def test_an_entry_that_nobody_could_use_is_left_out_and_the_others_are_copied(
    entry: object, reason: SourceReason, words: str
) -> None:
    read = parse_auths({"ghcr.io": entry, "quay.io": {"auth": auth("bob:x")}})

    assert dict(read) == {"quay.io": Credential("bob", "x")}
    assert [(note.entry, note.reason) for note in read.left_out.first] == [('registry "ghcr.io"', reason)]
    assert words in str(read.left_out)
    assert MARKER not in f"{read.left_out} {read.left_out!r}"


@pytest.mark.parametrize(("entry", "reason", "words"), UNUSABLE)
def test_a_source_of_which_nothing_would_be_left_is_refused_with_the_registry_named(
    entry: object, reason: SourceReason, words: str
) -> None:
    with pytest.raises(SourceInvalid, match=words) as caught:
        parse_auths({"ghcr.io": entry})

    assert caught.value.reason == reason
    assert str(caught.value).startswith('source Secret "harbor": registry "ghcr.io" ')
    assert MARKER not in str(caught.value)
    assert caught.value.__context__ is None


def test_of_very_many_entries_that_are_left_out_the_first_are_named_and_all_are_counted() -> None:
    read = parse_auths({f"r{number:04}.io": {} for number in range(1000)} | {"quay.io": {"auth": auth("bob:x")}})

    assert read.left_out.number == 1000
    assert len(read.left_out.first) == MAX_NOTES
    assert str(read.left_out).endswith("; and 997 more")
    assert len(str(read.left_out)) < 500


GOOGLE_KEY = json.dumps({"type": "service_account", "private_key": "-----BEGIN\nX\n-----END\n"}, indent=2) + "\n"


@pytest.mark.parametrize(
    ("password", "warning"),
    [
        (GOOGLE_KEY.rstrip("\n"), ""),
        ("\n".join(["QUJD" * 19] * 3), ""),
        ("tab\tand\x1bescape", ""),
        ("päß€𝄞", ""),
        (MARKER + "\n", "line break at the end"),
        (GOOGLE_KEY, "line break at the end"),
    ],
)
@pytest.mark.parametrize("by_auth", [True, False])
def test_a_password_is_copied_unchanged(password: str, warning: str, *, by_auth: bool) -> None:
    entry = {"auth": auth(f"_json_key:{password}")} if by_auth else {"username": "_json_key", "password": password}
    read = parse_auths({"gcr.io": entry})

    assert dict(parse_bytes(render(read))) == {"gcr.io": Credential("_json_key", password)}
    assert not read.left_out
    assert warning in str(read.warnings)
    assert bool(read.warnings) is bool(warning)


def test_a_colon_in_a_user_name_reaches_the_readers_as_it_is() -> None:
    read = parse_auths({"ghcr.io": {"username": "a:b", "password": MARKER}})

    assert json.loads(render(read))["auths"] == {"ghcr.io": {"username": "a:b", "password": MARKER}}
    assert "colon in its user name" in str(read.warnings)


def test_tokens_beside_a_password_are_kept_for_knative() -> None:
    entry = {"auth": auth(f"alice:{MARKER}"), "identitytoken": "identity", "registrytoken": "registry"}
    read = parse_auths({"ghcr.io": entry})

    assert dict(read) == {"ghcr.io": Credential("alice", MARKER, "identity", "registry")}
    assert dict(parse_bytes(render(read))) == dict(read)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ('{"auths":{"a.io":{"auth":"YTpi"},"a.io":{"auth":"YTpj"}}}', {"a.io": Credential("a", "c")}),
        ('{"auths":{"a.io":{"auth":"YTpi","auth":"YTpj"}}}', {"a.io": Credential("a", "c")}),
        ('{"AUTHS":{"a.io":{"UserName":"a","PASSWORD":"b","password":null}}}', {"a.io": Credential("a", "b")}),
        (
            '{"auths":{"a.io":{"auth":"YTpi"}},"Auths":{"b.io":{"auth":"YTpj"}}}',
            {"a.io": Credential("a", "b"), "b.io": Credential("a", "c")},
        ),
        (
            '{"auths":{"b.io":{"auth":"YTpj"}},"auths":null,"auths":{"a.io":{"auth":"YTpi"}}}',
            {"a.io": Credential("a", "b")},
        ),
        ('{"auths":{"a.io":{"username":"a","password":"\\ud800"}}}', {"a.io": Credential("a", "\ufffd")}),
        ('{"auths":{"a.io":{"auth":"YTpi"}},"n":[1e999,' + "9" * 5000 + "]}", {"a.io": Credential("a", "b")}),
    ],
)
def test_a_document_is_read_as_go_reads_it(document: str, expected: dict[str, Credential]) -> None:
    assert dict(parse_bytes(document.encode())) == expected


@pytest.mark.parametrize(
    "document", ['{"auths":{"a.io":{},"a.io":{"auth":"YTpj"}}}', '{"auths":{"a.io":{"auth":"","auth":"YTpj"}}}']
)
def test_a_repeated_key_is_reported(document: str) -> None:
    assert "more than once" in str(parse_bytes(document.encode()).warnings)


@pytest.mark.parametrize(
    ("secret_type", "data", "words"),
    [
        ("Opaque", {COPY_KEY: "e30="}, "with the type kubernetes.io/dockerconfigjson.*External Secrets"),
        ("Opaque", {LEGACY_KEY: "e30="}, "with the type kubernetes.io/dockercfg"),
        (
            LEGACY_TYPE,
            {LEGACY_KEY: auth('{"auths":{"a.io":{"auth":"YTpj"}}}')},
            "with the type kubernetes.io/dockerconfigjson",
        ),
        (COPY_TYPE, {COPY_KEY: auth('{"a.io":{"auth":"YTpj"}}')}, "with the type kubernetes.io/dockercfg"),
        (COPY_TYPE, {COPY_KEY: auth(auth('{"auths":{"a.io":{"auth":"YTpj"}}}'))}, "encoded twice"),
        (COPY_TYPE, {LEGACY_KEY: "e30="}, "but under"),
    ],
)
def test_a_message_names_the_cause_and_the_way_out(secret_type: str, data: dict[str, str], words: str) -> None:
    with pytest.raises(SourceInvalid, match=words):
        parse_source("harbor", secret_type, data, {})


def test_a_registry_that_only_a_helper_knows_is_reported() -> None:
    document = {
        "auths": {"quay.io": {"auth": auth("bob:x")}, "https://index.docker.io/v1/": {}},
        "credHelpers": {"gcr.io": "g"},
    }
    read = parse_bytes(json.dumps(document | {"credsStore": "desktop"}).encode())

    assert list(read) == ["quay.io"]
    assert [note.entry for note in read.left_out.first] == [
        'registry "https://index.docker.io/v1/"',
        'registry "gcr.io"',
    ]


HUB_ENTRY = {"auth": auth(f"alice:{MARKER}")}
BOBS = {"auth": auth(f"bob:{MARKER}-2")}


@pytest.mark.parametrize(
    ("auths", "expected"),
    [
        ({"docker.io": HUB_ENTRY}, {DOCKER_HUB_KEY: ALICE}),
        ({"docker.io": HUB_ENTRY, "https://index.docker.io/v1/": HUB_ENTRY}, {DOCKER_HUB_KEY: ALICE}),
        ({"docker.io": HUB_ENTRY, "index.docker.io": BOBS}, {"docker.io": ALICE, DOCKER_HUB_KEY: BOB}),
        (
            {"docker.io": HUB_ENTRY, "docker.io/org": BOBS},
            {"docker.io": ALICE, "docker.io/org": BOB, DOCKER_HUB_KEY: ALICE},
        ),
        ({"docker.io": HUB_ENTRY, "*.io": BOBS}, {"*.io": BOB, "docker.io": ALICE, DOCKER_HUB_KEY: ALICE}),
        ({"docker.io": HUB_ENTRY, "ghcr.io": BOBS}, {"ghcr.io": BOB, DOCKER_HUB_KEY: ALICE}),
    ],
)
def test_docker_hub_is_offered_to_both_readers(auths: dict[str, object], expected: dict[str, Credential]) -> None:
    read = parse_auths(auths)

    assert dict(parse_bytes(render(read))) == expected
    assert not read.clashes


def test_of_two_spellings_the_canonical_one_is_taken_and_the_other_reported() -> None:
    credentials = parse_auths(
        {"https://ghcr.io": {"auth": auth("bob:x")}, "ghcr.io": {"auth": auth(f"alice:{MARKER}")}}
    )

    assert dict(credentials) == {"ghcr.io": ALICE}
    assert credentials.clashes == (Clash("ghcr.io", "ghcr.io", ("https://ghcr.io",)),)


def test_of_two_other_spellings_the_first_in_sorted_order_is_taken() -> None:
    entries = {"https://ghcr.io/v1/": {"auth": auth("bob:x")}, "http://ghcr.io": {"auth": auth(f"alice:{MARKER}")}}

    assert dict(parse_auths(entries)) == {"ghcr.io": ALICE}


def test_spellings_that_may_hide_a_credential_are_named_by_their_positions_in_the_source() -> None:
    keys = ("quay.io", "x:y@ghcr.io", "z:y@ghcr.io")
    credentials = parse_auths({key: {"auth": auth(f"{key[0]}:x")} for key in keys})
    names = [f"entry {position}, whose key is not shown," for position in (2, 3)]
    assert credentials.clashes == (Clash("ghcr.io", names[0], (names[1],)),)


def test_equal_credentials_under_two_spellings_are_no_clash() -> None:
    source = parse_auths({"https://ghcr.io": HUB_ENTRY, "ghcr.io": HUB_ENTRY})

    assert source.clashes == ()
    assert merge([("harbor", source), ("ghcr", source)]).clashes == ()


def test_the_first_source_wins_and_the_clash_is_reported() -> None:
    first, second = Credentials({"ghcr.io": ALICE}), Credentials({"ghcr.io": BOB, "quay.io": BOB})

    merged = merge([("harbor", first), ("ghcr", second), ("third", second)])

    assert dict(merged.credentials) == {"ghcr.io": ALICE, "quay.io": BOB}
    assert merged.clashes == (Clash("ghcr.io", "harbor", ("ghcr", "third")),)


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
    st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_characters=":", exclude_categories=("Cs", "Cc")),
    min_size=1,
    max_size=20,
)
registries = st.from_regex(r"[a-z0-9]{1,5}(\.[a-z]{1,5}){1,2}(:[0-9]{2,4})?(/[a-z]{1,4})?", fullmatch=True)
credentials_by_registry = st.dictionaries(registries, st.builds(Credential, word, word), min_size=1, max_size=6)


@given(credentials_by_registry)
def test_a_rendered_copy_parses_to_itself_and_does_not_depend_on_order(entries: dict[str, Credential]) -> None:
    payload = render(entries)

    assert render(dict(reversed(list(entries.items())))) == payload
    assert render(parse_bytes(payload)) == payload
    assert dict(parse_bytes(payload)) == entries


FEW_REGISTRIES = st.sampled_from(["a.example", "b.example", "b.example/team", "docker.io", "c.example:5000"])
"""So few that most sources name one of another source, too."""


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcd"),
            st.dictionaries(FEW_REGISTRIES, st.builds(Credential, word, word), min_size=1).map(Credentials),
        ),
        max_size=4,
    )
)
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
