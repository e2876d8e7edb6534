"""What a process imports before it begins to work: what is slow to import comes when it is needed, or never."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from webhook import __version__

LATER = {"cryptography", "fastapi", "uvicorn", "starlette"}
"""Imported beside the first lists: by the thread of the plain-HTTP port, and for the certificate."""

NEVER = {"kubernetes", "rich", "pygments", "requests", "oauthlib", "google", "websocket"}
"""Not at all where a Pod's own ServiceAccount, or a plain kubeconfig, is enough."""


def imported_by(program: str, *arguments: str) -> set[str]:
    """Return the top-level names of the modules that a program imports in a process of its own."""
    program += "\nimport sys\nprint(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_loop_is_ready_to_start_without_what_is_slow_to_import() -> None:
    found = imported_by("import webhook.cli, webhook.sync.process")
    assert {"webhook", "msgspec", "urllib3"} <= found
    assert not found & (LATER | NEVER)


def test_connecting_with_a_plain_kubeconfig_needs_no_more(kubeconfig: Path) -> None:
    program = (
        "import sys, pathlib, webhook.cli\nfrom webhook.kube.connect import connect\nconnect(pathlib.Path(sys.argv[1]))"
    )
    assert not imported_by(program, str(kubeconfig)) & (LATER | NEVER)


def test_what_is_imported_later_draws_in_nothing_that_is_never_needed() -> None:
    later = "webhook.ops.app, webhook.ops.listener, webhook.sync.certificates"
    found = imported_by(f"import webhook.cli, webhook.sync.process, {later}")
    assert found > LATER
    assert not found & NEVER


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert __version__ == project["version"] == version("pull-secret-webhook")
