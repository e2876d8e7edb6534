"""The floor of the sync bench: the same writes by client-go without rate limits (``baselines/floor``), and no more."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.bench import contestants
from tests.cluster.processes import clean_environment

_FOLDERS = {"floor": "floor"}


def build() -> Path:
    """Return the program, built once for this user; GoMissing if there is no Go."""
    return contestants.build(_FOLDERS)["floor"]


class Floor:
    """One run of the program with the identity of sync; it writes immediately, and ends with the block."""

    def __init__(self, program: Path, kubeconfig: Path, selector: str, workers: int, content: Path) -> None:
        arguments = [f"--kubeconfig={kubeconfig}", f"--label={selector}", f"--workers={workers}"]
        self._process = subprocess.Popen(
            [program, *arguments, f"--content={content}"],
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def rotate(self, content: Path) -> None:
        """Begin to write another content."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{content}\n")
        self._process.stdin.flush()

    def wait(self) -> None:
        """Wait for the last write; a write that failed is an error."""
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "complete\n":
            raise ChildProcessError(f"the floor ended with code {self._process.wait()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with self._process:
            self._process.terminate()


def save(file: Path, copy: Mapping[str, Any]) -> Path:
    """Write what a copy of ours consists of to a file, in the form that the program reads."""
    metadata = copy["metadata"]
    content = {
        "name": metadata["name"],
        "labels": metadata["labels"],
        "annotations": metadata.get("annotations", {}),
        "type": copy["type"],
        "data": copy["data"],
    }
    file.write_text(json.dumps(content))
    return file
