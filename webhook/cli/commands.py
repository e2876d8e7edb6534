"""List the commands, and load one only when it runs.

Typer evaluates the signature of each command that it knows, and the modules of all commands need half of the packages.
That took two thirds of the time of ``pullsecrets --help``. The list has the line of each command in the overview, so
that the overview needs no command either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer

from webhook.cli.help import Command, Group

if TYPE_CHECKING:
    from typer.core import TyperCommand

OVERVIEW = {
    "serve": "Answer the API server's admission reviews over HTTPS.",
    "sync": "Keep copies, ServiceAccounts and the certificate up to date.",
    "plan": "Show changes to a cluster or to manifests, with reasons.",
    "test": "Compare a plan with expectations, in a pipeline.",
    "explain": "Explain why an object gets its pull secrets or not.",
    "check": "Check an installation.",
    "coverage": "List running workloads that would fail on a fresh node.",
    "usage": "List the workloads that use a credential.",
    "revoke": "Predict the pulls that fail without a credential.",
    "export": "Write equivalent policies for the API server.",
    "renew": "Have sync renew a credential now.",
    "rotate": "Follow, promote or abort the rotation of a pull secret.",
    "cleanup": "Remove everything that the release has created.",
    "completion": "Print a completion script for a shell.",
    "version": "Print the version.",
    "help": "Print the help of a command.",
}
"""Each command is the function with its name in the module with its name."""

_FUNCTIONS = {"test": "run_test", "help": "help_of"}
"""The commands whose function has another name."""


@cache
def load(name: str) -> TyperCommand:
    """Return the command with this name. Raises KeyError if there is none."""
    line = OVERVIEW[name]
    function = getattr(import_module(f"webhook.cli.{name}"), _FUNCTIONS.get(name, name))
    alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    alone.command(name=name, cls=Command, short_help=line)(function)
    command: Any = typer.main.get_command(alone)
    return command  # type: ignore[no-any-return]


class Commands(Mapping[str, "TyperCommand"]):
    """All commands by their names; a look at one loads it."""

    def __getitem__(self, name: str) -> TyperCommand:
        return load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(OVERVIEW)

    def __len__(self) -> int:
        return len(OVERVIEW)


class TopLevel(Group):
    """The program itself."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - typer's own
        super().__init__(**attributes)
        self.commands: Any = Commands()

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - typer's context is not public
        """Return the names in the order of the overview."""
        return list(OVERVIEW)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401, ARG002 - as above
        """Write the overview."""
        with formatter.section("Commands"):
            formatter.write_dl(list(OVERVIEW.items()))
