"""Implement ``pullsecrets completion``: print a shell's completion script for commands, flags and their values.

The scripts are typer's. The shell calls this program with an environment variable to get the candidates, so they always
match the program. kubectl calls ``kubectl_complete-pullsecrets`` with the words typed so far, as for each plugin.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stdout, suppress
from enum import StrEnum
from typing import Annotated

import typer

VARIABLE = "_PULLSECRETS_COMPLETE"
PROGRAM = "pullsecrets"
NO_FILES = 4
"""kubectl's directive: do not offer files in addition to the output (cobra, ShellCompDirectiveNoFileComp)."""


class Shell(StrEnum):
    """The supported shells."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="The shell to complete for.")]) -> None:
    """Print a completion script for a shell.

    \b
    source <(pullsecrets completion bash)            in ~/.bashrc
    source <(pullsecrets completion zsh)             in ~/.zshrc, after compinit
    pullsecrets completion fish > ~/.config/fish/completions/pullsecrets.fish
    """  # noqa: D301 - \b is for the help text
    from typer._completion_shared import get_completion_script  # noqa: PLC0415 - only here; it has no other name

    typer.echo(get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell))


def answers_a_shell() -> bool:
    """Return whether a shell called this process for candidates, and prepare typer for it."""
    if VARIABLE not in os.environ:
        return False
    from typer._completion_classes import completion_init  # noqa: PLC0415 - only here; it has no other name

    completion_init()
    return True


def for_kubectl() -> None:
    """Print candidates as kubectl expects them of plugins; the entry point ``kubectl_complete-pullsecrets``."""
    words = sys.argv[1:] or [""]
    os.environ |= {
        VARIABLE: "complete_bash",
        "COMP_WORDS": " ".join([PROGRAM, *words]),
        "COMP_CWORD": str(len(words)),
    }
    from webhook.cli import app  # noqa: PLC0415 - it imports this module

    answers_a_shell()
    printed = io.StringIO()
    with redirect_stdout(printed), suppress(SystemExit):
        app([], prog_name=PROGRAM)
    offered = printed.getvalue().strip()
    print(*filter(None, (offered, f":{NO_FILES if offered else 0}")), sep="\n")  # noqa: T201 - this is the answer
