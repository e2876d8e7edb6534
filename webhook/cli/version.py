"""Implement ``pullsecrets version``: print the version."""

from __future__ import annotations

import typer

from webhook import __version__


def version() -> None:
    """Print the version.

    \b
    pullsecrets version
    """  # noqa: D301 - \b is for the help text
    print_version(wanted=True)


def print_version(wanted: bool) -> None:
    """Print the version and end the process, if ``wanted``."""
    if wanted:
        typer.echo(f"pullsecrets {__version__}")
        raise typer.Exit
