"""The credential providers of an image: gathered in one folder, as sync runs them."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from tools.image.errors import ImageFailed

_BEGINNINGS = (b"\x7fELF", b"#!")
"""A program begins with one of these; an archive or a note in the folder would be a provider that cannot be started."""


def gather(named: str, folder: Path) -> Path:
    """Copy the programs into a folder, and return it; ``named`` is a folder, or files separated by blanks."""
    paths = [Path(named)] if Path(named).exists() else [Path(part) for part in shlex.split(named)]
    for file in [file for path in paths for file in _files(path)]:
        target = folder / file.name
        if target.exists():
            raise ImageFailed(f"PROVIDERS has two files with the name {file.name}")
        with file.open("rb") as content:
            if not content.read(4).startswith(_BEGINNINGS):
                raise ImageFailed(f"PROVIDERS: {file} is not a program of Linux, and not a script that begins with #!")
        shutil.copyfile(file, target)
    return folder


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else []
    if not files:
        raise ImageFailed(f"PROVIDERS: {path} is neither a file nor a folder with files")
    return files
