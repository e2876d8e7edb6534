"""``pullsecrets plan``: what would happen to manifests, and why."""
# ruff: noqa: TC001 - typer evaluates the annotations

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from webhook.cli import options
from webhook.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from webhook.core.preview.manifest import Manifest

EXIT_CHANGES = 1


def plan(
    filename: Annotated[
        list[str],
        typer.Option(
            "--filename", "-f", metavar="FILE", help="Manifests: a file, a folder with all below it, or -; repeatable."
        ),
    ],
    config: options.Config,
    *,
    namespace: options.Namespace,
    default_namespace: Annotated[
        str,
        typer.Option(
            "--default-namespace",
            envvar="PULLSECRETS_DEFAULT_NAMESPACE",
            metavar="NAME",
            help="The namespace of manifests that name none.",
        ),
    ] = "default",
    output: Annotated[
        Output, typer.Option("--output", "-o", envvar="PULLSECRETS_OUTPUT", help="How to print it.")
    ] = Output.TABLE,
) -> None:
    """Tell what would happen to manifests, and why, without a cluster; exit 0: nothing, 1: changes, 2: an error."""
    from webhook.cli.render import render, summary  # noqa: PLC0415 - --help is quick without what decides
    from webhook.config.file import ConfigurationFile  # noqa: PLC0415 - as above
    from webhook.core.preview.outcome import preview  # noqa: PLC0415 - as above
    from webhook.manifests.reader import read_manifests  # noqa: PLC0415 - as above

    configuration = ConfigurationFile(config, namespace).load()
    manifests = read_manifests(filename, default_namespace)
    result = preview(manifests, configuration, namespace)
    _print(lambda: render(result, output, sys.stdout))
    _tell(manifests, output)
    typer.echo(summary(result), err=True)
    if result.has_changes:
        raise typer.Exit(EXIT_CHANGES)


def _print(write: Callable[[], None]) -> None:
    try:
        write()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough, as `| head` does. Python would fail once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(manifests: Sequence[Manifest], output: Output) -> None:
    """Print to standard error what a person must know of the files, beside the result."""
    from webhook.manifests.reader import repeated  # noqa: PLC0415 - as above

    for manifest, before in repeated(manifests):
        typer.echo(
            f"warning: {manifest.title} in namespace {manifest.namespace} is there twice, the last one counts:"
            f" {before.origin}, and {manifest.origin}",
            err=True,
        )
    secrets = sum(manifest.is_core("Secret") for manifest in manifests)
    if output is Output.MANIFESTS and secrets:
        typer.echo(f"# {secrets} Secret{'s' if secrets != 1 else ''} left out: no credential is printed", err=True)
