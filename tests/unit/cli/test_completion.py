from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.processes import COMMAND
from tools.tables import commands
from webhook.cli import complete_for_kubectl
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


@pytest.fixture
def by_kubectl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Return a function that returns the answer to kubectl after these words, in this process."""

    def answer(*words: str) -> list[str]:
        monkeypatch.setattr("os.environ", dict(os.environ))
        monkeypatch.setattr("sys.argv", ["kubectl_complete-pullsecrets", *words])
        complete_for_kubectl()
        return capsys.readouterr().out.split()

    return answer


def test_every_command_is_offered() -> None:
    assert in_bash("") == list(commands())


def test_reasons_are_completed_in_a_real_shell_and_by_the_installed_plugin() -> None:
    offered = [f"reason/{reason}" for reason in CATALOG if reason.startswith("copy-")]
    words = ("explain", "reason/copy-")
    assert in_bash(*words) == offered
    plugin = SCRIPTS / "kubectl_complete-pullsecrets"
    done = subprocess.run([plugin, *words], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*offered, ":4"]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("pl",), ["plan", ":4"]),
        (("plan", "--unl"), ["--unlabel", ":4"]),
        (("check", "-o", ""), ["table", "short", "json", "yaml", "junit", ":4"]),
        (("explain", ""), ["pod/", "sa/", "ns/", "reason/", ":4"]),
        (("plan", "-f", "x"), [":0"]),  # kubectl offers files
    ],
)
def test_commands_flags_and_values_are_completed(
    words: tuple[str, ...], answer: list[str], by_kubectl: Callable[..., list[str]]
) -> None:
    assert by_kubectl(*words) == answer


@pytest.mark.parametrize("shell", list(Shell))
def test_the_script_is_one_that_the_shell_reads(shell: Shell, tmp_path: Path) -> None:
    program = shutil.which(shell)
    script = tmp_path / "script"
    script.write_bytes(subprocess.run([COMMAND, "completion", shell], capture_output=True, check=True).stdout)
    assert "pullsecrets" in script.read_text()
    if program is not None:  # bash is everywhere, the others only where somebody uses them
        subprocess.run([program, "-n", script], check=True)
