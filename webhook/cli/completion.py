"""Implement ``pullsecrets completion``: print a shell's completion script for commands, flags and their values.

The scripts are typer's. The shell calls this program with an environment variable to get the candidates, so they always
match the program. kubectl calls ``kubectl_complete-pullsecrets`` with the words typed so far, as for each plugin.
"""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from webhook.cli.printing import standard_output

if TYPE_CHECKING:
    from collections.abc import Sequence

VARIABLE = "_PULLSECRETS_COMPLETE"
PROGRAM = "pullsecrets"


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

    with standard_output() as file:
        file.write(f"{get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell)}\n")


def pretend_shell(words: Sequence[str]) -> None:
    """Set the variables with which bash calls this process for candidates after these words."""
    os.environ |= {
        VARIABLE: "complete_bash",
        "COMP_WORDS": " ".join([PROGRAM, *words]),
        "COMP_CWORD": str(len(words)),
    }


def answers_a_shell() -> bool:
    """Return whether a shell called this process for candidates, and prepare typer for it."""
    if VARIABLE not in os.environ:
        return False
    from typer._completion_classes import completion_init  # noqa: PLC0415 - only here; it has no other name

    completion_init()
    return True
