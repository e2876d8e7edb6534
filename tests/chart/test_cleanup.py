"""What runs before the release is uninstalled."""

from __future__ import annotations

from typing import Any

import pytest
import typer.main

from tests.chart.rendered import FULLNAME, NAMESPACE, Rendered, render
from webhook.cli import app
from webhook.cli.lifetimes import parse_duration


def job(values: dict[str, Any] | None = None) -> dict[str, Any]:
    return render(values).one("Job", "-cleanup")


def pod(values: dict[str, Any] | None = None) -> dict[str, Any]:
    return dict(job(values)["spec"]["template"]["spec"])


@pytest.mark.parametrize(("component", "hook", "kind"), [("cleanup", "pre-delete", "Job"), ("check", "test", "Pod")])
def test_what_a_hook_runs_as_exists_only_while_it_runs(component: str, hook: str, kind: str) -> None:
    rendered = render()
    hooks = [item for item in rendered.objects if item["metadata"].get("annotations", {}).get("helm.sh/hook") == hook]
    rights = [item for item in hooks if item["kind"] != kind]
    kinds_of_rights = ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ServiceAccount"]
    assert sorted(item["kind"] for item in rights) == sorted(kinds_of_rights)
    for item in rights:
        assert item["metadata"]["name"] == f"{FULLNAME}-{component}"
        annotations = item["metadata"]["annotations"]
        assert (annotations["helm.sh/hook"], int(annotations["helm.sh/hook-weight"]) < 0) == (hook, True)
        assert {"hook-succeeded", "hook-failed"} <= {*annotations["helm.sh/hook-delete-policy"].split(",")}
    others = [item for item in rendered.objects if item not in hooks]
    assert [item for item in others if item["metadata"]["name"].endswith(f"-{component}")] == []


def test_the_command_line_knows_every_flag() -> None:
    command, *flags = pod({"cleanup": {"timeout": "1h30m"}})["containers"][0]["args"]
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    params = group.commands[command].make_context(command, list(flags)).params
    assert (params["release_namespace"], params["release"]) == (NAMESPACE, "psw")
    assert parse_duration(params["timeout"], "--timeout").total_seconds() == 5400


def test_the_job_ends_before_helm_gives_up_so_that_its_log_says_what_is_left() -> None:
    assert job()["spec"]["activeDeadlineSeconds"] < 5 * 60


@pytest.mark.parametrize(("timeout", "seconds"), [("1h30m", 5400), ("010m", 600)])
def test_the_program_gives_up_before_the_job_is_ended(timeout: str, seconds: int) -> None:
    found = job({"cleanup": {"timeout": timeout}})
    assert f"--timeout={timeout}" in found["spec"]["template"]["spec"]["containers"][0]["args"]
    assert found["spec"]["activeDeadlineSeconds"] == seconds + 45


def kinds(rendered: Rendered) -> set[str]:
    return {item["kind"] for item in rendered.objects}


@pytest.mark.parametrize(
    "values",
    [
        {"cleanup": {"enabled": False}},
        {"deployments": {"enabled": False}, "webhook": {"url": "https://127.0.0.1:9443"}},
    ],
    ids=["not wanted", "no image to run"],
)
def test_there_is_no_job_where_there_is_to_be_none(values: dict[str, Any]) -> None:
    assert "Job" not in kinds(render(values))
