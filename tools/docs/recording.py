"""Record what a command shows on a terminal while it runs: each moment, not only the end."""

from __future__ import annotations

import codecs
import os
import pty
import re
import subprocess
from typing import TYPE_CHECKING

from tests.cluster.processes import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_CONTROL = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-ln-z])|(\r|\n)")
"""Everything but colours and styles, which end with m and stay in the text."""

_INCOMPLETE = re.compile(r"\x1b(\[[?0-9;]*)?$")


class Screen:
    """The lines of a terminal, for programs that clear a line before they write it again."""

    def __init__(self) -> None:
        self._lines = [""]
        self._row = 0
        self._rest = ""

    @property
    def text(self) -> str:
        """The text that is shown now."""
        return "\n".join(self._lines).rstrip()

    def feed(self, text: str) -> None:
        """Take the next output of the program."""
        text = self._rest + text
        incomplete = _INCOMPLETE.search(text)
        self._rest = incomplete[0] if incomplete else ""
        text = text.removesuffix(self._rest)
        position = 0
        for control in _CONTROL.finditer(text):
            self._lines[self._row] += text[position : control.start()]
            position = control.end()
            if control[3] == "\n":
                self._move(1)
            elif control[2] == "A":
                self._move(-int(control[1] or 1))
            elif control[2] == "K":
                self._lines[self._row] = ""
        self._lines[self._row] += text[position:]

    def _move(self, rows: int) -> None:
        self._row = max(0, self._row + rows)
        self._lines += [""] * (self._row + 1 - len(self._lines))


def record(arguments: Sequence[str | Path], folder: Path, columns: int) -> list[str]:
    """Run a command in a folder, on a terminal of so many columns; return all that it has shown, moment by moment."""
    terminal = {"COLUMNS": f"{columns}", "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    environment = {**clean_environment(), **terminal}
    environment.pop("NO_COLOR", None)
    screen, moments = Screen(), [""]
    for text in _output(arguments, folder, environment):
        screen.feed(text)
        moments.append(screen.text)
    return moments


def _output(arguments: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    ours, theirs = pty.openpty()
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with subprocess.Popen(arguments, stdout=theirs, stderr=theirs, cwd=folder, env=environment):
            os.close(theirs)
            while chunk := _read(ours):
                yield decoder.decode(chunk)
    finally:
        os.close(ours)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux reports this when no process has the other end open
        return b""
