"""Implement ``pullsecrets completion``: print a shell's completion script for commands, flags and their values.

The shell calls this program with an environment variable to get the candidates, so they always match the program.
kubectl calls ``kubectl_complete-pullsecrets`` with the words typed so far, as it does for each plugin.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stdout, suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "_PULLSECRETS_COMPLETE"
PROGRAM = "pullsecrets"
NO_FILES = 4
"""kubectl's directive: do not offer files in addition to the output (cobra, ShellCompDirectiveNoFileComp)."""


class Shell(StrEnum):
    """The supported shells."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_SCRIPTS: Mapping[Shell, str] = {
    Shell.BASH: f"""\
_{PROGRAM}() {{
    local IFS=$'\\n'
    COMPREPLY=($(env {VARIABLE}=complete_bash COMP_WORDS="${{COMP_WORDS[*]}}" COMP_CWORD="$COMP_CWORD" {PROGRAM}))
}}
complete -o default -F _{PROGRAM} {PROGRAM}
""",
    Shell.ZSH: f"""\
#compdef {PROGRAM}
_{PROGRAM}() {{
    eval "$(env {VARIABLE}=complete_zsh _TYPER_COMPLETE_ARGS="${{words[1,$CURRENT]}}" {PROGRAM})"
}}
compdef _{PROGRAM} {PROGRAM}
""",
    Shell.FISH: f"""\
function __{PROGRAM}
    env {VARIABLE}=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args _TYPER_COMPLETE_ARGS=(commandline -cp) {PROGRAM}
end
complete --command {PROGRAM} --arguments "(__{PROGRAM})"
""",
}


def completion(shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="The shell to complete for.")]) -> None:
    """Print a completion script for a shell.

    \b
    source <(pullsecrets completion bash)            in ~/.bashrc
    source <(pullsecrets completion zsh)             in ~/.zshrc, after compinit
    pullsecrets completion fish > ~/.config/fish/completions/pullsecrets.fish
    """  # noqa: D301 - \b is for the help text
    typer.echo(_SCRIPTS[shell], nl=False)


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
