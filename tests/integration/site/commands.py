"""The commands for the person on call, run as such a person runs them: a real process, with a kubeconfig of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.cluster.processes import COMMAND, clean_environment
from tests.integration.site.playground import Playground

SECONDS = 120


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def run(kubeconfig: Path, *arguments: str) -> Ran:
    """Run ``pullsecrets`` with these arguments to its end."""
    done = subprocess.run(
        [COMMAND, *arguments, f"--kubeconfig={kubeconfig}"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def of_release(playground: Playground, *arguments: str, kubeconfig: Path | None = None) -> Ran:
    """Run a command about the release of a playground, as cluster-admin unless told otherwise."""
    return run(kubeconfig or playground.cluster.kubeconfig, *arguments, f"--release={playground.installation.release}")
