"""Implement ``pullsecrets cleanup``: remove everything that the release has created, before it is uninstalled."""
# ruff: noqa: TC001 - typer evaluates the annotations

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from webhook.cli import options
from webhook.cli.lifetimes import parse_duration
from webhook.cli.printing import standard_output, tell
from webhook.cli.render import Form, render
from webhook.errors import UsageError
from webhook.ops.log_format import LogLevel

if TYPE_CHECKING:
    from webhook.report.removals import RemovalReport

EXIT_LEFT = 1

LINES = 100
"""The largest number of leftovers that are listed. A longer list would not help people who clean up by hand."""


def cleanup(  # noqa: PLR0913 - one parameter is one flag
    config: options.Config,
    kubeconfig: options.Kubeconfig = None,
    *,
    context: options.Context = "",
    release: options.OwnRelease = "pull-secret-webhook",
    release_namespace: options.OwnReleaseNamespace,
    webhook_configuration: Annotated[
        str,
        typer.Option(
            "--webhook-configuration",
            envvar="PULLSECRETS_WEBHOOK_CONFIGURATION",
            metavar="NAME",
            help="The MutatingWebhookConfiguration; the Lease and the certificate Secrets are named after it.",
        ),
    ] = "pull-secret-webhook",
    timeout: Annotated[
        str,
        typer.Option(
            "--timeout",
            envvar="PULLSECRETS_TIMEOUT",
            metavar="DURATION",
            help="The time limit; leftovers are listed.",
        ),
    ] = "4m",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", envvar="PULLSECRETS_DRY_RUN", help="Only list the objects that would be removed."),
    ] = False,
    ignore_not_found: Annotated[
        bool,
        typer.Option(
            "--ignore-not-found",
            envvar="PULLSECRETS_IGNORE_NOT_FOUND",
            help="Exit 0 if the cluster has no object of the release.",
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", envvar="PULLSECRETS_YES", help="Do not ask for confirmation on a terminal.")
    ] = False,
    output: Annotated[
        Form, typer.Option("--output", "-o", envvar="PULLSECRETS_OUTPUT", help="The output format.")
    ] = Form.TABLE,
    log_format: options.LogFormatOption,
    log_level: options.LogLevelOption = LogLevel.INFO,
) -> None:
    """Stop injection and sync, then remove references, copies and certificate; exit 0: done, 1: leftovers.

    \b
    pullsecrets cleanup --config configuration.yaml --release-namespace pull-secrets --release psw
    """  # noqa: D301 - \b is for the help text
    if not release_namespace:
        raise UsageError("the release namespace is not known outside a Pod: give it with --release-namespace")
    seconds = parse_duration(timeout, "--timeout").total_seconds()
    from webhook.ops.logs import configure  # noqa: PLC0415 - as above; before any other import of structlog
    from webhook.rules.ownership import Release  # noqa: PLC0415 - as above
    from webhook.sync.cleanup import CleanupSettings, run  # noqa: PLC0415 - --help is quick without it

    configure(log_format, log_level)
    report = run(
        CleanupSettings(
            config=config,
            kubeconfig=kubeconfig,
            context=context or None,
            release=Release(release, release_namespace),
            webhook_configuration=webhook_configuration,
            timeout=seconds,
            dry_run=dry_run,
            ignore_not_found=ignore_not_found,
            confirm=_confirm if sys.stdin.isatty() and not (yes or dry_run) else None,
        )
    )
    if report.objects or report.is_planned or output is not Form.TABLE:
        _show(report, output)
    if report.objects and not report.is_planned:
        raise typer.Exit(EXIT_LEFT)


def _show(report: RemovalReport, output: Form) -> None:
    is_cut = output is Form.TABLE and not report.is_planned and len(report.objects) > LINES
    with standard_output() as file:
        render(replace(report, objects=report.objects[:LINES]) if is_cut else report, output, file)
    if is_cut:
        tell(f"and {len(report.objects) - LINES:,} more (-o json lists all)")
    if report.is_planned:
        tell(report.summary())
    elif report.objects:
        tell(f"error: {report.summary()}")


def _confirm(planned: RemovalReport) -> bool:
    for removable in planned.objects[:LINES]:
        tell(f"  {removable}")
    if len(planned.objects) > LINES:
        tell(f"  … and {len(planned.objects) - LINES} more")
    try:
        return typer.confirm("Stop injection and sync, and remove these?", err=True)
    except typer.Abort:  # by Ctrl-C or Ctrl-D
        return False
