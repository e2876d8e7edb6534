from __future__ import annotations

from pathlib import Path

import pytest

from webhook.files.values import load_values
from webhook.rules.configuration import HealingSettings

RENEWING = """
pullSecrets:
  - name: pull
    sources:
      - harbor
      - credentialProvider: {name: ecr, command: ecr-credential-provider, images: [a.example.com]}
"""


@pytest.mark.parametrize(
    ("more", "fullname"),
    [
        ("", "name-of-the-release"),
        ("fullnameOverride: psw\n", "psw"),
        (f"fullnameOverride: {'x' * 54}-y\n", "x" * 54),
        ("fullnameOverride: ''\n", "name-of-the-release"),
    ],
)
def test_a_renewing_source_gets_the_secret_that_the_chart_names(tmp_path: Path, more: str, fullname: str) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(more + RENEWING)

    read = load_values([values]).configuration("name-of-the-release")

    assert read.source_names == ("harbor", f"{fullname}-issued-ecr")
    assert read.issued_names == {f"{fullname}-issued-ecr"}


def test_without_a_release_its_name_is_that_of_the_chart(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(RENEWING)

    assert load_values([values]).configuration().issued_names == {"pull-secret-webhook-issued-ecr"}


def test_each_part_of_the_document_is_read_from_the_values(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(f"{RENEWING}healing: {{enabled: true, perMinute: 7}}\nretired: [old]\nexcludedNamespaces: [a]\n")

    read = load_values([values]).configuration()

    assert read.healing == HealingSettings(enabled=True, per_minute=7)
    assert (read.retired, read.excludes("a")) == (("old",), True)
