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
    def run(*arguments: str, target: str = "mutating-admission-policy") -> Result:
        with pytest.raises(SystemExit) as caught:
            main(["export", target, *arguments])
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


def test_static_policies_differ_from_the_others_in_their_names_only(export: Callable[..., Result]) -> None:
    arguments = (f"--config={EXAMPLE}", "--release-namespace=pull-secrets", "--release=psw")
    plain, static = (list(yaml.safe_load_all(export(*arguments, *flag).out)) for flag in ((), ("--static",)))
    for document in plain:
        document["metadata"]["name"] += ".static.k8s.io"
        if "policyName" in document["spec"]:
            document["spec"]["policyName"] += ".static.k8s.io"
    assert static == plain


def test_guard_policies_are_taken_from_a_release_and_others_are_not(
    export: Callable[..., Result], tmp_path: Path
) -> None:
    def policy(name: str, component: str) -> dict[str, object]:
        labels = {"app.kubernetes.io/component": component}
        about = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name, "labels": labels}}
        return {"kind": "ValidatingAdmissionPolicy", **about, "spec": {"failurePolicy": "Fail"}}

    release = tmp_path / "release.yaml"
    release.write_text(yaml.safe_dump_all([policy("psw-secrets", "guard"), policy("other", "web")]))
    target = "validating-admission-policy"
    (found,) = yaml.safe_load_all(export("--static", f"-f{release}", target=target).out)
    assert found["metadata"] == {"name": "psw-secrets.static.k8s.io"}
    assert found["spec"] == {"failurePolicy": "Fail"}

    release.write_text(yaml.safe_dump(policy("other", "web")))
    for arguments, problem in [
        (("--static", f"-f{release}"), "the manifests have no guard policies"),
        (("--static",), "the guard policies come from the rendered chart"),
        ((f"-f{release}",), "validating-admission-policy needs --static"),
    ]:
        done = export(*arguments, target=target)
        assert done.code == 2
        assert problem in done.err


def test_the_policies_that_inject_need_a_configuration(export: Callable[..., Result]) -> None:
    assert export() == (
        2,
        "",
        "error: mutating-admission-policy needs the configuration document: give it with --config\n",
    )
