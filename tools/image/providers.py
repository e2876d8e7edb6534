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
    places = [Path(named)] if Path(named).exists() else [Path(part) for part in shlex.split(named)]
    for file in [file for place in places for file in _files(place)]:
        target = folder / file.name
        if target.exists():
            raise ImageFailed(f"PROVIDERS has two files with the name {file.name}")
        with file.open("rb") as content:
            if not content.read(4).startswith(_BEGINNINGS):
                raise ImageFailed(f"PROVIDERS: {file} is not a program of Linux, and not a script that begins with #!")
        shutil.copyfile(file, target)
    return folder


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    found = sorted(file for file in place.iterdir() if file.is_file()) if place.is_dir() else []
    if not found:
        raise ImageFailed(f"PROVIDERS: {place} is neither a file nor a folder with files")
    return found
