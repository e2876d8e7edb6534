"""``python -m tools.docs.screenshots [pages]``: pictures for the documentation.

Those of commands show what they print on a terminal: each runs as a real process on a terminal of its own, on the
examples that the documentation has too. With ``pages``, a browser shows the status page and the page of ``coverage`` of
a real cluster. Those pictures have times in them, so they are only taken on request.
"""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from tests.cluster.processes import COMMAND, clean_environment
from tests.integration.neighbours.browser import browsing
from tests.integration.site.stage import staged

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
COLUMNS = 140
_FONT = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
FILES = "-f examples/team-a.yaml -f examples/unlabelled.yaml --config examples/configuration.yaml"
COMMANDS = {
    "plan": f"plan {FILES}",
    "explain": f"explain pod/migrate -n team-b {FILES}",
}


def on_a_terminal(arguments: list[str]) -> str:
    """Return what a command prints on a terminal, colours and all."""
    ours, theirs = pty.openpty()
    environment = {**clean_environment(), "COLUMNS": str(COLUMNS), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen([COMMAND, *arguments], stdout=theirs, stderr=theirs, cwd=ROOT, env=environment) as process:
        os.close(theirs)
        printed = b""
        while chunk := _read(ours):
            printed += chunk
        process.wait()
    os.close(ours)
    return printed.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when nobody has the other end open any more
        return b""


def picture(arguments: list[str]) -> str:
    """Return an SVG of a command and what it prints; the same for the same output."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text(f"$ pullsecrets {' '.join(arguments)}", style="bold"))
    console.print(Text.from_ansi(on_a_terminal(arguments).rstrip()))
    svg = console.export_svg(title=f"pullsecrets {arguments[0]}", unique_id=f"pullsecrets-{arguments[0]}")
    # The font would be fetched from elsewhere; any monospaced one will do.
    return _FONT.sub("", svg)


@dataclass(frozen=True, slots=True)
class Screen:
    """A picture of a page: its size in pixels, light or dark mode, and perhaps the heading where it begins."""

    name: str
    width: int
    height: int
    dark: bool = False
    heading: str = ""


SCREENS = (
    Screen("status-page", 1280, 1180),
    Screen("status-page-dark", 1280, 1180, dark=True),
    Screen("status-page-narrow", 390, 1180),
    Screen("status-page-sources", 1280, 330, heading="Sources"),
)


_SCROLL = (
    "[...document.querySelectorAll('h2')].find(each => each.textContent === '{heading}')?.scrollIntoView();"
    "document.documentElement.style.overflow = 'hidden'"  # without the scroll bar
)


def take_pages() -> None:
    """Write the pictures of pages."""
    with staged() as stage, TemporaryDirectory() as folder, browsing(Path(folder), scripts=True) as browser:
        for screen in SCREENS:
            browser.emulate(screen.width, screen.height, dark=screen.dark)
            browser.open(stage.url)
            browser.run(_SCROLL.format(heading=screen.heading))
            browser.screenshot(IMAGES / f"{screen.name}.png")
        coverage = Path(folder) / "coverage.html"
        coverage.write_text(stage.coverage())
        browser.emulate(1280, 620)
        browser.open(coverage.as_uri())
        browser.screenshot(IMAGES / "coverage.png")


def main() -> None:
    """Write the pictures."""
    if sys.argv[1:] == ["pages"]:
        take_pages()
        return
    for name, command in COMMANDS.items():
        file = IMAGES / f"{name}.svg"
        file.write_text(picture(command.split()))
        sys.stdout.write(f"{file.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
