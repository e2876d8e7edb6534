from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cluster.processes import COMMAND
from tools.tables import commands
from webhook.cli.completion import Shell
from webhook.report.reasons import CATALOG

SCRIPTS = COMMAND.parent
ENVIRONMENT = {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"}


def in_bash(*words: str) -> list[str]:
    """Return what a real bash offers after these words, of which the last is not complete."""
    array = " ".join(f"'{word}'" for word in words)
    script = (
        "source <(pullsecrets completion bash); "
        f"COMP_WORDS=(pullsecrets {array}); COMP_CWORD={len(words)}; "
        f"_pullsecrets_completion pullsecrets; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "--norc", "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def by_kubectl(*words: str) -> list[str]:
    done = subprocess.run(
        [SCRIPTS / "kubectl_complete-pullsecrets", *words], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_every_command_is_offered() -> None:
    assert in_bash("") == list(commands())


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("pl",), ["plan"]),
        (("plan", "--unl"), ["--unlabel"]),
        (("check", "-o", ""), ["table", "short", "json", "yaml", "junit"]),
        (("explain", ""), ["pod/", "sa/", "ns/", "reason/"]),
        (("explain", "reason/copy-"), [f"reason/{reason}" for reason in CATALOG if reason.startswith("copy-")]),
    ],
)
def test_flags_values_and_reasons_are_completed(words: tuple[str, ...], offered: list[str]) -> None:
    assert in_bash(*words) == offered
    assert by_kubectl(*words) == [*offered, ":4"]


def test_where_nothing_is_known_kubectl_offers_files() -> None:
    assert by_kubectl("plan", "-f", "x") == [":0"]


@pytest.mark.parametrize("shell", list(Shell))
def test_the_script_is_one_that_the_shell_reads(shell: Shell, tmp_path: Path) -> None:
    program = shutil.which(shell)
    script = tmp_path / "script"
    script.write_bytes(subprocess.run([COMMAND, "completion", shell], capture_output=True, check=True).stdout)
    assert "pullsecrets" in script.read_text()
    if program is not None:  # bash is everywhere, the others only where somebody uses them
        subprocess.run([program, "-n", script], check=True)
