"""What the workflows of the forge may do, and whose code they run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

WORKFLOWS = sorted((Path(__file__).parents[2] / ".github" / "workflows").iterdir())


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
