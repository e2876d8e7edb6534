from __future__ import annotations

from pathlib import Path

import pytest

from webhook.files.values import load_values

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
        ("", "pull-secret-webhook"),
        ("fullnameOverride: psw\n", "psw"),
        ("fullnameOverride: ''\n", "pull-secret-webhook"),
    ],
)
def test_a_renewing_source_gets_the_secret_that_the_chart_names(tmp_path: Path, more: str, fullname: str) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(more + RENEWING)

    read = load_values([values])

    assert read.source_names == ("harbor", f"{fullname}-issued-ecr")
    assert read.issued_names == {f"{fullname}-issued-ecr"}
