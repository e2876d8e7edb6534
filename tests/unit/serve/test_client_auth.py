from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from certs.files import WatchedFiles
from webhook.serve.endpoint import ClientAuth, names_of

CERTIFICATE: dict[str, Any] = {
    "subject": ((("organizationName", "Example"),), (("commonName", "kube-apiserver"),)),
    "subjectAltName": (
        ("DNS", "apiserver.example.com"),
        ("URI", "spiffe://example.com/apiserver"),
        ("IP Address", "10.0.0.1"),
        ("email", "api@example.com"),
        ("DirName", ((("commonName", "other"),),)),
    ),
}
NAMES = [
    "kube-apiserver",
    "apiserver.example.com",
    "spiffe://example.com/apiserver",
    "10.0.0.1",
    "api@example.com",
]


def callers(*names: str) -> ClientAuth:
    return ClientAuth(WatchedFiles(Path("ca.crt")), frozenset(names))


def test_the_names_of_a_caller_are_its_common_and_its_alternative_names() -> None:
    assert names_of(CERTIFICATE) == NAMES
    assert names_of({}) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_caller_is_answered_by_any_of_its_names(name: str) -> None:
    assert callers("somebody", name).accepts(CERTIFICATE)


@pytest.mark.parametrize("name", ["other", "Example", "KUBE-APISERVER", "example.com", "*", "apiserver.example.co"])
def test_a_name_counts_letter_by_letter_and_nothing_else_counts(name: str) -> None:
    assert not callers(name).accepts(CERTIFICATE)


def test_without_names_everybody_is_answered_whom_tls_has_verified() -> None:
    assert callers().accepts(CERTIFICATE)
    assert callers().accepts({"subject": ()})
    assert not callers("kube-apiserver").accepts({"subject": ()})
