"""What a process imports before it begins to work: what is slow to import comes when it is needed, or never."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from webhook import __version__

LATER = {"cryptography", "uvicorn", "starlette"}
"""Imported beside the first lists: by the thread of the plain-HTTP port, and for the certificate."""

NEVER = {"fastapi", "kubernetes", "rich", "pygments", "requests", "oauthlib", "google", "websocket"}
"""Not at all where a Pod's own ServiceAccount, or a plain kubeconfig, is enough."""


def imported_by(program: str, *arguments: str) -> set[str]:
    """Return the top-level names of the modules that a program imports in a process of its own."""
    program += "\nimport sys\nprint(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_loop_is_ready_to_start_without_what_is_slow_to_import() -> None:
    found = imported_by("import webhook.ops.logs, webhook.sync.process")
    assert {"webhook", "msgspec", "urllib3"} <= found
    assert not found & (LATER | NEVER)


def test_connecting_with_a_plain_kubeconfig_needs_no_more(kubeconfig: Path) -> None:
    imports = "import sys, pathlib, webhook.ops.logs\nfrom webhook.kube.connect import connect"
    program = f"{imports}\nconnect(pathlib.Path(sys.argv[1]))"
    assert not imported_by(program, str(kubeconfig)) & (LATER | NEVER)


def test_a_command_that_reads_a_cluster_keeps_its_log_out_of_its_result(kubeconfig: Path) -> None:
    program = (
        "import sys, pathlib\nfrom webhook.cli.cluster import reading\n"
        "with reading(pathlib.Path(sys.argv[1]), ''):\n"
        "    from webhook.kube.connectivity import log\n"
        "    log.warning('away', password='opensesame')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(kubeconfig)], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "away" in done.stderr
    assert "opensesame" not in done.stderr


def test_what_is_imported_later_draws_in_nothing_that_is_never_needed() -> None:
    later = "webhook.ops.app, webhook.ops.listener, webhook.sync.certificates"
    found = imported_by(f"import webhook.ops.logs, webhook.sync.process, {later}")
    assert found > LATER
    assert not found & NEVER


PROGRAM = """\
import sys
from webhook.cli import main
try:
    main({arguments})
except SystemExit:
    print(*sys.modules, file=sys.stderr)
"""
SERVERS = {"asyncio", "cryptography", "fastapi", "kubernetes", "rich", "structlog", "urllib3", "uvicorn"}
NO_CLUSTER = ["--kubeconfig", "/nonexistent"]

COMMANDS: dict[str, tuple[list[str], int, set[str]]] = {
    "the overview": (["--help"], 200, SERVERS | {"msgspec", "pydantic", "yaml"}),
    "the help of a command": (["plan", "--help"], 330, SERVERS | {"yaml"}),
    "the version": (["version"], 330, SERVERS | {"msgspec", "yaml"}),
    "a plan of files": (
        ["plan", "-f", "examples/team-a.yaml", "--config", "examples/configuration.yaml"],
        450,
        SERVERS,
    ),
    "a check": (["check", *NO_CLUSTER], 550, {"fastapi", "kubernetes", "rich", "uvicorn"}),
    "an explanation": (["explain", "pod/web", *NO_CLUSTER], 550, {"fastapi", "kubernetes", "rich", "uvicorn"}),
}
"""Arguments, the largest number of modules, and modules that must not be among them."""


@pytest.mark.parametrize(("arguments", "most", "unwanted"), COMMANDS.values(), ids=COMMANDS)
def test_a_command_loads_only_what_it_needs(arguments: list[str], most: int, unwanted: set[str]) -> None:
    command = [sys.executable, "-c", PROGRAM.format(arguments=arguments)]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True)
    modules = set(done.stderr.splitlines()[-1].split())
    assert "webhook.cli" in modules
    assert sorted(modules & unwanted) == []
    assert len(modules) <= most


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert __version__ == project["version"] == version("pull-secret-webhook")
