from __future__ import annotations

import pytest

from webhook.rules.names import without_hash


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("harbor-7ct58987ht", "harbor"),
        ("team-a-harbor-m2kg5bh942", "team-a-harbor"),
        ("harbor", None),
        ("registry-credentials", None),
        ("harbor-7ct58987h", None),
        ("harbor-7ct58987ht2", None),
        ("harbor-7ct58987h1", None),
        ("harbor-2026112800", None),
        ("-7ct58987ht", None),
    ],
)
def test_a_hash_of_kustomize_is_recognised_by_its_length_and_alphabet(name: str, expected: str | None) -> None:
    assert without_hash(name) == expected
