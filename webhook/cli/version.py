"""Implement ``pullsecrets version``: print the version."""

from __future__ import annotations

import typer

from webhook import __version__
from webhook.cli.printing import standard_output


def version() -> None:
    """Print the version.

    \b
    pullsecrets version
    """  # noqa: D301 - \b is for the help text
    print_version(is_requested=True)


def print_version(is_requested: bool) -> None:
    """Print the version and end the process, if ``is_requested``."""
    if is_requested:
        with standard_output() as file:
            file.write(f"pullsecrets {__version__}\n")
        raise typer.Exit
