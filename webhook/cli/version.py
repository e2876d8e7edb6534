"""Implement ``pullsecrets version``: print the version."""

from __future__ import annotations

import typer

from webhook import __version__


def version() -> None:
    """Print the version.

    \b
    pullsecrets version
    """  # noqa: D301 - \b is for the help text
    print_version(is_requested=True)


def print_version(is_requested: bool) -> None:
    """Print the version and end the process, if ``is_requested``."""
    if is_requested:
        typer.echo(f"pullsecrets {__version__}")
        raise typer.Exit
