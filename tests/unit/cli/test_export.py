"""``pullsecrets export`` as a person sees it; the API server's part is in tests/integration/test_export.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from webhook.cli import main

EXAMPLE = Path(__file__).parents[3] / "examples" / "configuration.yaml"


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def export(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def run(*arguments: str) -> Result:
        with pytest.raises(SystemExit) as caught:
            main(["export", "mutating-admission-policy", *arguments])
        return Result(int(caught.value.code or 0), *capsys.readouterr())

    return run


def test_policies_and_bindings_are_written_as_yaml(export: Callable[..., Result]) -> None:
    done = export(f"--config={EXAMPLE}", "--release-namespace=pull-secrets", "--release=psw")
    assert (done.code, done.err) == (0, "")
    documents = list(yaml.safe_load_all(done.out))
    assert [(each["kind"], each["metadata"]["name"]) for each in documents] == [
        ("MutatingAdmissionPolicy", "psw-pods"),
        ("MutatingAdmissionPolicyBinding", "psw-pods"),
        ("MutatingAdmissionPolicy", "psw-serviceaccounts"),
        ("MutatingAdmissionPolicyBinding", "psw-serviceaccounts"),
    ]


def test_what_the_policies_do_not_do_is_said_above_them(export: Callable[..., Result]) -> None:
    done = export(f"--config={EXAMPLE}", "--release-namespace=pull-secrets")
    comments = " ".join(line.strip("# ") for line in done.out.splitlines() if line.startswith("#"))
    assert "need pullsecrets sync" in comments
    assert "reasons are not reported" in comments
    assert "without a report" in comments
    assert "retired pull secrets are not included: old-registry-credentials" in comments
    assert "a Pod with thousands of images is admitted unchanged" in comments
    assert "--release-namespace" not in comments
    assert "--release-namespace" in export(f"--config={EXAMPLE}").out


def test_without_pull_secrets_there_is_nothing_to_export(export: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "configuration.yaml"
    file.write_text("apiVersion: pullsecrets.webhook/v1alpha1\nkind: Configuration\n")
    done = export(f"--config={file}")
    sentence = f"error: {file}: the configuration has no pull secrets, so there is nothing to export\n"
    assert done == (2, "", sentence)


def test_a_release_that_names_no_object_is_refused(export: Callable[..., Result]) -> None:
    done = export(f"--config={EXAMPLE}", "--release=My Release")
    assert done.code == 2
    assert done.err.startswith('error: --release: "My Release" is not a valid name')
