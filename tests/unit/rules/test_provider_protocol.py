from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.errors import CredentialsNotIssued
from webhook.rules.dockerconfig import LARGEST_COPY
from webhook.rules.provider_protocol import (
    API_VERSION,
    MAX_ENTRIES,
    Collected,
    applies_to,
    decode_answer,
    encode_request,
    issued,
)
from webhook.rules.registry_key import read_key
from webhook.rules.renewing import LONGEST_LIFETIME, IssueReason

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
SECRET = "s3cr3t-p4ssw0rd"  # noqa: S105 - invented


def answer(**changes: object) -> dict[str, Any]:
    whole = {
        "apiVersion": API_VERSION,
        "kind": "CredentialProviderResponse",
        "cacheKeyType": "Registry",
        "cacheDuration": "6h0m0s",
        "auth": {ECR: {"username": "AWS", "password": SECRET}},
    }
    return {**whole, **changes}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in answer().items() if key != name}


def failure(content: bytes) -> str:
    with pytest.raises(CredentialsNotIssued) as caught:
        decode_answer(content)
    assert caught.value.reason == IssueReason.PROVIDER_ANSWER_INVALID
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_a_request_is_what_the_kubelet_writes() -> None:
    assert json.loads(encode_request(ECR)) == {
        "kind": "CredentialProviderRequest",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "image": ECR,
    }
    assert json.loads(encode_request(ECR, "jwt", [("role", "arn")])) == {
        "kind": "CredentialProviderRequest",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "image": ECR,
        "serviceAccountToken": "jwt",
        "serviceAccountAnnotations": {"role": "arn"},
    }


def test_an_answer_has_a_lifetime_and_hides_its_password() -> None:
    read = decode_answer(json.dumps(answer()).encode())

    assert read.lifetime == 21600
    assert SECRET not in repr(read)


@pytest.mark.parametrize("duration", [None, "0", "0s", "-5m"])
def test_an_answer_that_must_not_be_cached_names_no_lifetime(duration: str | None) -> None:
    assert decode_answer(json.dumps(answer(cacheDuration=duration)).encode()).lifetime is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (answer(apiVersion="credentialprovider.kubelet.k8s.io/v1beta1"), "another apiVersion"),
        (answer(kind="CredentialProviderRequest"), "another kind"),
        (without("apiVersion"), "another apiVersion"),
        (without("cacheKeyType"), "cacheKeyType"),
        (answer(cacheKeyType="Pod"), "cacheKeyType"),
        (answer(cacheDuration=300), "values of other types"),
        (answer(cacheDuration="six hours"), "cacheDuration"),
        (answer(expiresAt="2026-01-01T00:00:00Z"), "unknown"),
        (answer(auth={ECR: {"username": "AWS", "password": SECRET, "auth": "x"}}), "unknown"),
        (answer(auth=[ECR]), "values of other types"),
        (answer(auth={f"r{n}.example.com": {} for n in range(MAX_ENTRIES + 1)}), "more than 100 entries"),
        ([], "not a JSON object"),
        ("text", "not a JSON object"),
    ],
)
def test_decoding_is_as_strict_as_that_of_the_kubelet(content: object, problem: str) -> None:
    assert problem in failure(json.dumps(content).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        json.dumps(answer()).encode()[:-2],
        json.dumps(answer()).encode() + b"{}",
        json.dumps(answer()).replace('"kind"', '"cacheKeyType": "Image", "kind"').encode(),
        b"[" * 100_000,
    ],
)
def test_text_that_is_not_one_strict_document_is_refused(content: bytes) -> None:
    failure(content)


@given(st.binary(max_size=300))
def test_no_output_breaks_the_decoder(content: bytes) -> None:
    with pytest.raises(CredentialsNotIssued):
        decode_answer(content)


def collected(image: str, *images: str, **changes: object) -> Collected:
    found = Collected(default_lifetime=3600)
    found.add(image, decode_answer(json.dumps(answer(**changes)).encode()), (image, *images))
    return found


def auths(found: Collected) -> dict[str, dict[str, str]]:
    document: dict[str, dict[str, dict[str, str]]] = json.loads(issued(found, NOW).payload)
    return document["auths"]


def test_an_answer_becomes_the_content_of_a_pull_secret() -> None:
    credential = issued(collected(ECR), NOW)

    assert json.loads(credential.payload)["auths"][ECR]["password"] == SECRET
    assert credential.expires_at == NOW + timedelta(hours=6)
    assert SECRET not in repr(credential)


def test_globs_ports_and_paths_are_kept_as_every_reader_of_a_pull_secret_reads_them() -> None:
    login = {"username": "u", "password": "p"}
    keys = ["*.azurecr.io", "ours.azurecr.io/team", "registry.example.com:5000"]

    found = collected("ours.azurecr.io", "registry.example.com:5000", auth=dict.fromkeys(keys, login))

    assert sorted(auths(found)) == sorted(keys)


def test_of_the_entries_of_google_those_for_the_images_are_used() -> None:
    # kubernetes/cloud-provider-gcp, pkg/gcpcredential/gcpcredential.go: populateConfig; the duration is 0.
    image = "europe-west1-docker.pkg.dev/project"
    keys = ["europe-west1-docker.pkg.dev", "container.cloud.google.com", "gcr.io", "*.gcr.io", "*.pkg.dev"]
    login = {"username": "_token", "password": SECRET}

    found = collected(image, auth=dict.fromkeys(keys, login), cacheKeyType="Image", cacheDuration="0s")

    assert sorted(auths(found)) == ["*.pkg.dev", "europe-west1-docker.pkg.dev"]
    assert issued(found, NOW).expires_at == NOW + timedelta(hours=1), "the default lifetime"


def test_of_the_entries_of_azure_the_one_for_anonymous_pulls_is_not_used() -> None:
    # kubernetes-sigs/cloud-provider-azure, pkg/credentialprovider/azure_credentials.go: GetCredentials.
    ours = {"username": "00000000-0000-0000-0000-000000000000", "password": SECRET}
    entries = {"*.azurecr.*": {"username": "", "password": ""}, "example.azurecr.io": ours}

    found = collected("example.azurecr.io", auth=entries, cacheDuration="1h0m0s")

    assert list(auths(found)) == ["example.azurecr.io"]
    assert issued(found, NOW).expires_at == NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("key", "login", "problem"),
    [
        ("evil.example.com", {"username": "u", "password": SECRET}, "does not match any of the configured images"),
        (ECR, {"username": "", "password": SECRET}, "has an empty user name"),
        (ECR, {"username": "AWS"}, "has an empty password"),
        ("*", {"username": "u", "password": SECRET}, "does not match"),
        (f"{ECR}/team:1", {"username": "u", "password": SECRET}, "has a tag"),
        (f"{ECR}:5000", {"username": "u", "password": SECRET}, "does not match"),
    ],
)
def test_an_answer_without_a_usable_entry_is_refused_with_the_reason(key: str, login: object, problem: str) -> None:
    with pytest.raises(CredentialsNotIssued, match=problem) as caught:
        collected(ECR, auth={key: login})
    assert caught.value.reason == IssueReason.PROVIDER_ANSWER_UNUSABLE
    assert SECRET not in str(caught.value)


def test_an_entry_for_a_registry_that_is_not_configured_is_left_out_beside_usable_ones() -> None:
    login = {"username": "u", "password": "p"}

    found = collected(ECR, auth={"evil.example.com": login, ECR: login})

    assert list(auths(found)) == [ECR]
    assert issued(found, NOW).ignored == ('registry "evil.example.com" does not match any of the configured images',)


def test_without_entries_there_is_no_credential() -> None:
    for auth in (None, dict[str, object]()):
        with pytest.raises(CredentialsNotIssued, match="it has no entries"):
            collected(ECR, auth=auth)


def test_the_shortest_lifetime_of_all_answers_counts_and_an_endless_one_is_bounded() -> None:
    found = collected(ECR, cacheDuration="999999h")
    assert found.lifetime == LONGEST_LIFETIME
    other = answer(cacheDuration="10m", auth={"ghcr.io": {"username": "u", "password": "p"}})

    found.add("ghcr.io", decode_answer(json.dumps(other).encode()), (ECR, "ghcr.io"))

    assert found.lifetime == 600
    assert issued(found, NOW).expires_at == NOW + timedelta(minutes=10)


def jwt(expires: datetime) -> str:
    claims = urlsafe_b64encode(json.dumps({"exp": int(expires.timestamp())}).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{claims}.c2ln"


def test_a_token_counts_until_its_own_time_whatever_duration_the_answer_names() -> None:
    login = {"username": "jwt", "password": jwt(NOW + timedelta(minutes=5))}

    assert issued(collected(ECR, auth={ECR: login}), NOW).expires_at == NOW + timedelta(minutes=5)


def test_a_token_that_has_expired_is_not_issued() -> None:
    login = {"username": "jwt", "password": jwt(NOW - timedelta(minutes=5))}

    with pytest.raises(CredentialsNotIssued, match="already expired"):
        issued(collected(ECR, auth={ECR: login}), NOW)


def test_a_credential_that_no_secret_can_hold_is_not_issued() -> None:
    login = {"username": "u", "password": "p" * (LARGEST_COPY // 2)}

    with pytest.raises(CredentialsNotIssued, match="has more than 1048576 bytes") as caught:
        issued(collected(ECR, auth={ECR: login}), NOW)
    assert caught.value.reason == IssueReason.PROVIDER_ANSWER_UNUSABLE


def test_the_default_lifetime_counts_without_a_duration() -> None:
    assert collected(ECR, cacheDuration=None).lifetime == 3600
    assert collected(ECR, cacheDuration="0").lifetime == 3600


@pytest.mark.parametrize(
    ("cache_key_type", "covered"),
    [
        ("Image", {f"{ECR}/a": True, f"{ECR}/b": False, "ghcr.io": False}),
        ("Registry", {f"{ECR}/a": True, f"{ECR}/b": True, "ghcr.io": False}),
        ("Global", {f"{ECR}/a": True, f"{ECR}/b": True, "ghcr.io": True}),
    ],
)
def test_the_type_of_the_cache_key_names_the_images_that_need_no_other_answer(
    cache_key_type: str, covered: dict[str, bool]
) -> None:
    found = collected(f"{ECR}/a", cacheKeyType=cache_key_type)

    assert {image: found.covers(image) for image in covered} == covered


@pytest.mark.parametrize(
    ("key", "image", "applies"),
    [
        ("ghcr.io", "ghcr.io", True),
        ("ghcr.io", "ghcr.io/org", True),
        ("ghcr.io/org", "ghcr.io", True),
        ("ghcr.io/org", "ghcr.io/other", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a.b.example.com", False),
        ("example.com", "example.com:5000", False),
        ("https://index.docker.io/v1/", "docker.io", True),
        ("docker.io", "docker.io/library", True),
        ("docker.io", "ghcr.io", False),
    ],
)
def test_an_entry_applies_to_its_registry_and_path(key: str, image: str, applies: bool) -> None:
    assert applies_to(read_key(key), image) is applies
