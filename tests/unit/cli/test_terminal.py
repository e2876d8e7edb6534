"""The commands as real processes on a real terminal, of any width and with or without colours."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PLAN = ("plan", "-f", "examples/team-a.yaml", "--config", "examples/configuration.yaml")
EXPLAIN = ("explain", "pod/migrate", "-n", "team-b", "-f", "examples/unlabelled.yaml", *PLAN[3:])
WORDS = {
    PLAN: ("ServiceAccount/api", "+ registry-credentials", "namespace-selected"),
    EXPLAIN: ("opt-in label", "STOP", "namespace-not-opted-in"),
}
COLOUR = re.compile(r"\x1b\[(?:\d+;)*3\dm")

PROGRAM = [sys.executable, "-c", "from webhook.cli import main; main()"]

each = pytest.mark.parametrize("arguments", [PLAN, EXPLAIN], ids=["plan", "explain"])


def on_a_terminal(arguments: tuple[str, ...], columns: int, **variables: str) -> str:
    """Return what a command that ends with 1 prints on its standard output, a terminal."""
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as terminal:  # noqa: PTH123 - a descriptor has no path
        inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
        process = subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=ROOT,
            env={**inherited, "COLUMNS": str(columns), "TERM": "xterm", **variables},
            stdout=theirs,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        text = b""
        try:
            while chunk := terminal.read(65536):
                text += chunk
        except OSError:
            pass  # how Linux tells that nobody has the other end open any more
        assert process.wait() == 1
    return text.decode()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@each
@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_table_fits_and_cuts_nothing(arguments: tuple[str, ...], columns: int) -> None:
    text = plain(on_a_terminal(arguments, columns))
    assert max(len(line.rstrip()) for line in text.splitlines()) <= columns
    assert "…" not in text
    shown = text if columns == 200 else "".join(stacked(text))
    assert [word for word in WORDS[arguments] if word not in shown and word.replace(" ", "") not in shown] == []


def stacked(text: str) -> tuple[str, str]:
    """Return the letters of the two columns of a narrow table: cells are folded within them."""
    lines = text.splitlines()
    second = lines[0].index("RESULT")
    return "".join("".join(line[:second].split()) for line in lines), "".join(
        "".join(line[second:].split()) for line in lines
    )


def test_what_belongs_together_is_stacked_where_it_is_narrow() -> None:
    for columns, first in ((40, "RESULT"), (80, "RESULT"), (200, "NAMESPACE  OBJECT")):
        assert plain(on_a_terminal(PLAN, columns)).lstrip().startswith(first)


@each
@pytest.mark.parametrize("columns", [40, 200])
def test_colours_are_there_unless_they_are_not_wanted(arguments: tuple[str, ...], columns: int) -> None:
    assert COLOUR.search(on_a_terminal(arguments, columns))
    assert not COLOUR.search(on_a_terminal(arguments, columns, NO_COLOR="1"))
    assert "\x1b" not in on_a_terminal(arguments, columns, TERM="dumb")


@each
def test_in_a_pipe_there_is_one_line_for_each_row_however_narrow(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from webhook.cli import main; main()", *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "40", "FORCE_COLOR": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    assert all(word in done.stdout for word in WORDS[arguments])
    assert not [line for line in done.stdout.splitlines() if line.startswith(" ")]


# Where standard output goes

REASON = ("explain", "reason/injected")
EXPORT = ("export", "mutating-admission-policy", *PLAN[3:], "--namespace", "pull-secrets")

whoever = pytest.mark.parametrize(
    ("arguments", "code"),
    [(PLAN, 1), (EXPLAIN, 1), (REASON, 0), (EXPORT, 0)],
    ids=["plan", "explain", "reason", "export"],
)


def by_a_shell(arguments: tuple[str, ...], redirected: str) -> subprocess.CompletedProcess[str]:
    command = f"{shlex.join([*PROGRAM, *arguments])} {redirected}"
    return subprocess.run(["sh", "-c", command], cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)


@whoever
def test_nobody_reads_on(arguments: tuple[str, ...], code: int) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*PROGRAM, *arguments], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)


@whoever
def test_it_is_closed_from_the_start(arguments: tuple[str, ...], code: int) -> None:
    done = by_a_shell(arguments, ">&-")
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)


@whoever
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk_is_told(arguments: tuple[str, ...], code: int) -> None:  # noqa: ARG001 (it is another here)
    done = by_a_shell(arguments, ">/dev/full")
    assert done.returncode == 2
    assert done.stderr == "error: the result cannot be written to standard output: No space left on device\n"
