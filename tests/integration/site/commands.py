"""The commands for the person on call, run as such a person runs them, with a kubeconfig of its own."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.cluster.processes import COMMAND, clean_environment
from tests.integration.site import forked
from tests.integration.site.playground import Playground

SECONDS = 120


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def run(kubeconfig: Path, *arguments: str) -> Ran:
    """Run ``pullsecrets`` with these arguments to its end."""
    return Ran(*forked.run([*arguments, f"--kubeconfig={kubeconfig}"], clean_environment(), SECONDS))


def of_release(playground: Playground, *arguments: str, kubeconfig: Path | None = None) -> Ran:
    """Run a command about the release of a playground, as cluster-admin unless told otherwise."""
    return run(kubeconfig or playground.cluster.kubeconfig, *arguments, f"--release={playground.installation.release}")


def on_a_terminal(kubeconfig: Path | None, *arguments: str, columns: int = 80, **variables: str) -> Ran:
    """Run ``pullsecrets`` as a person sees it: both streams are one terminal; ``out`` has no colours."""
    options = [] if kubeconfig is None else [f"--kubeconfig={kubeconfig}"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, *arguments, *options],
        env={**clean_environment(), "COLUMNS": str(columns), "TERM": "xterm", **variables},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    text = b""
    with open(ours, "rb", buffering=0) as terminal:  # noqa: PTH123 - a descriptor has no path
        try:
            while chunk := terminal.read(65536):
                text += chunk
        except OSError:
            pass  # the other end is closed
    code = process.wait(SECONDS)
    return Ran(code, re.sub(r"\x1b\[[0-9;]*m", "", text.decode()).replace("\r", ""), "")
