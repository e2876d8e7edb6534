"""A plugin folder with the fake provider in it."""

from __future__ import annotations

import sys
from pathlib import Path

NAME = "fake-provider"
_SOURCE = Path(__file__).with_name("fake.py")


def plugin_folder(folder: Path) -> Path:
    """Put the fake provider into a folder, as an executable file, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / NAME
    program.write_text(f"#!{sys.executable} -IS\n{_SOURCE.read_text()}")
    program.chmod(0o755)
    return folder


def processes(program: Path) -> list[str]:
    """Return the numbers of the processes that run a program of the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(program).encode() in command:
                found.append(entry.name)
    return found
