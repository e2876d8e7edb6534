"""Somebody who has a page of the documentation open, and types its commands as they are written."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.e2e.site import Site
from tests.unit import documented
from tests.unit.documented import DOCS, ROOT

SECONDS = 300

_PROGRAMS = ROOT / ".venv" / "bin"
"""Helm, and pullsecrets as a plugin of kubectl."""


class Typed(NamedTuple):
    """How a block of commands ended."""

    code: int
    out: str
    err: str


def blocks(page: str, language: str = "sh") -> list[str]:
    """Return the blocks of code of a page of docs/, as a reader copies them."""
    return [block.strip() for block in documented.blocks(DOCS / page, language)]


class Reader:
    """Has a shell in the checkout's top folder, the variables that pages ask for, and a folder for files."""

    def __init__(self, site: Site, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        (folder / "charts").symlink_to(ROOT / "charts")
        path = f"{_PROGRAMS}:{site.environment['PATH']}"
        self._environment = {**site.environment, **variables, "PATH": path, "KUBECONFIG": str(site.kubeconfig)}

    def types(self, commands: str, **variables: str) -> Typed:
        """Run a block of commands to its end."""
        done = subprocess.run(
            ["sh", "-e", "-c", commands],
            env={**self._environment, **variables},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        return Typed(done.returncode, done.stdout, done.stderr)
