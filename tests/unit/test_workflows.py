"""What the workflows of the forge may do, and whose code they run."""

from __future__ import annotations

import re
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


def test_whoever_breaks_the_documentation_is_told() -> None:
    (docs,) = (document(path)["jobs"]["docs"] for path in WORKFLOWS if path.name == "ci.yml")
    assert docs["steps"][-1] == {"run": "make docs"}
    assert re.search(r"^make check\nmake docs$", CI.read_text(), re.MULTILINE)
