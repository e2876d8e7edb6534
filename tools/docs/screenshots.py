"""``python -m tools.docs.screenshots [pages|rotations]``: pictures for the documentation.

Those of commands show what they print on a terminal: each runs as a real process on a terminal of its own, on the
examples that the documentation has too. With ``pages``, a browser shows the status page and the page of ``coverage`` of
a real cluster. With ``rotations``, ``rotate`` follows two rotations of another one. Those pictures have times in them,
so they are only taken on request.
"""

from __future__ import annotations

import io
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from tests.cluster.processes import COMMAND
from tests.integration.neighbours.browser import browsing
from tests.integration.site.playground import COPY
from tests.integration.site.stage import staged
from tools.docs.recording import record
from tools.docs.rotating import rotations

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
    return record([COMMAND, *arguments], ROOT, COLUMNS)[-1]


def picture(arguments: list[str]) -> str:
    """Return an SVG of a command and what it prints; the same for the same output."""
    return draw(arguments[0], f"pullsecrets {' '.join(arguments)}", on_a_terminal(arguments))


def draw(name: str, command: str, text: str) -> str:
    """Return an SVG of a terminal with a command and a text."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text(f"$ {command}", style="bold"))
    console.print(Text.from_ansi(text))
    svg = console.export_svg(title=f"pullsecrets {name.partition('-')[0]}", unique_id=f"pullsecrets-{name}")
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


ROTATE = f"rotate {COPY} --from-file config.json"


def take_rotations() -> None:
    """Write the pictures of a rotation that is held, of the next one on its way, and of its end."""
    with rotations() as follow:
        held = follow(lacking=True, columns=COLUMNS)
        complete = follow(lacking=False, columns=COLUMNS)
    # The bar is full at the end, so it is shown before.
    under_way = next(moment for moment in complete if re.search(r"rolling-out: 1[0-9] of .*copies.*\x1b\[0m$", moment))
    for name, text in (("held", held[-1]), ("rolling-out", under_way), ("complete", complete[-1])):
        write(f"rotate-{name}", draw(f"rotate-{name}", f"kubectl pullsecrets {ROTATE}", text))


def write(name: str, svg: str) -> None:
    """Write one picture, and print its name."""
    file = IMAGES / f"{name}.svg"
    file.write_text(svg)
    sys.stdout.write(f"{file.relative_to(ROOT)}\n")


def main() -> None:
    """Write the pictures."""
    match sys.argv[1:]:
        case ["pages"]:
            take_pages()
        case ["rotations"]:
            take_rotations()
        case _:
            for name, command in COMMANDS.items():
                write(name, picture(command.split()))


if __name__ == "__main__":
    main()
