"""The commands print to terminals of any width, with or without colours, and report a failing standard output."""

from __future__ import annotations

import io
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from webhook.cli import main

ROOT = Path(__file__).parents[3]
PLAN = ("plan", "-f", "examples/team-a.yaml", "--config", "examples/configuration.yaml")
EXPLAIN = ("explain", "pod/migrate", "-v", "-n", "team-b", "-f", "examples/unlabelled.yaml", *PLAN[3:])
WORDS = {
    PLAN: ("ServiceAccount/api", "+ registry-credentials", "namespace-selected"),
    EXPLAIN: ("opt-in label", "SKIP", "namespace-not-opted-in"),
}
COLOUR = re.compile(r"\x1b\[(?:\d+;)*[39]\dm")

COMMAND = "Next: "
"""The beginning of a line with a command, which is not folded, so that it can be copied."""

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


class Terminal(io.StringIO):
    """Standard output that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command that ends with 1 in this process; return what it prints on a terminal, or in a pipe."""

    def run(arguments: tuple[str, ...], columns: int, *, terminal: bool = True, **variables: str) -> str:
        for name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {"COLUMNS": str(columns), "TERM": "xterm", **variables}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr("sys.stdout", output := Terminal() if terminal else io.StringIO())
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        assert ended.value.code == 1
        return output.getvalue()

    return run


def test_a_real_terminal_gets_what_this_process_prints(printed: Callable[..., str]) -> None:
    """So the other tests need neither a process nor a terminal."""
    real = on_a_terminal(PLAN, 80)
    assert real.replace("\r\n", "\n") == printed(PLAN, 80)


@each
@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_table_fits_and_cuts_nothing(printed: Callable[..., str], arguments: tuple[str, ...], columns: int) -> None:
    text = plain(printed(arguments, columns))
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(len(line) for line in lines if not line.lstrip().startswith(COMMAND)) <= columns
    assert "…" not in text
    shown = "".join(stacked(text)) if arguments == PLAN and columns < 200 else " ".join(text.split())
    assert [word for word in WORDS[arguments] if word not in shown and word.replace(" ", "") not in shown] == []
    if arguments == PLAN:
        assert text.lstrip().startswith("NAMESPACE  OBJECT" if columns == 200 else "RESULT")


def stacked(text: str) -> tuple[str, str]:
    """Return the letters of the two columns of a narrow table: cells are folded within them."""
    lines = text.splitlines()
    second = lines[0].index("RESULT")
    return "".join("".join(line[:second].split()) for line in lines), "".join(
        "".join(line[second:].split()) for line in lines
    )


@each
@pytest.mark.parametrize("columns", [40, 200])
def test_colours_are_there_unless_they_are_not_wanted(
    printed: Callable[..., str], arguments: tuple[str, ...], columns: int
) -> None:
    assert COLOUR.search(printed(arguments, columns))
    assert not COLOUR.search(printed(arguments, columns, NO_COLOR="1"))
    assert "\x1b" not in printed(arguments, columns, TERM="dumb")


@each
def test_in_a_pipe_there_is_one_line_for_each_row_however_narrow(
    printed: Callable[..., str], arguments: tuple[str, ...]
) -> None:
    text = printed(arguments, 40, terminal=False, FORCE_COLOR="")
    assert "\x1b" not in text
    assert all(word in text for word in WORDS[arguments])
    assert not [line for line in text.splitlines() if line.startswith(" ")]


# Where standard output goes

REASON = ("explain", "reason/injected")
EXPORT = ("export", "mutating-admission-policy", *PLAN[3:], "--release-namespace", "pull-secrets")

whoever = pytest.mark.parametrize(
    ("arguments", "code"),
    [(PLAN, 1), (EXPLAIN, 1), (REASON, 0), (EXPORT, 0), (("version",), 0), (("help",), 0), (("completion", "bash"), 0)],
    ids=["plan", "explain", "reason", "export", "version", "help", "completion"],
)


def by_a_shell(arguments: tuple[str, ...], redirected: str) -> subprocess.CompletedProcess[str]:
    command = f"{shlex.join([*PROGRAM, *arguments])} {redirected}"
    return subprocess.run(["sh", "-c", command], cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)


@pytest.mark.parametrize(("arguments", "code"), [(PLAN, 1), (EXPORT, 0)], ids=["plan", "export"])
def test_nobody_reads_on(arguments: tuple[str, ...], code: int) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*PROGRAM, *arguments], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)


@pytest.mark.parametrize(("arguments", "code"), [(PLAN, 1), (EXPORT, 0)], ids=["plan", "export"])
def test_it_is_closed_from_the_start(arguments: tuple[str, ...], code: int) -> None:
    done = by_a_shell(arguments, ">&-")
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)


@whoever
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk_is_told(arguments: tuple[str, ...], code: int) -> None:  # noqa: ARG001 (it is another here)
    done = by_a_shell(arguments, ">/dev/full")
    assert done.returncode == 2
    assert done.stderr == "error: the result cannot be written to standard output: No space left on device\n"
