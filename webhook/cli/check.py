"""Implement ``pullsecrets check``: check an installation."""
# ruff: noqa: TC001, TC003 - typer evaluates the annotations

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from webhook.cli import options
from webhook.cli.cluster import reading, wanted
from webhook.cli.lifetimes import parse_duration
from webhook.cli.output import ReportForm
from webhook.cli.printing import standard_output, tell
from webhook.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.inspect.checks.result import Report
    from webhook.registries.login import Registries

EXIT_FINDINGS = 1
LOOK_SECONDS = 2.0
"""Seconds between two checks with ``--wait``; each costs the API server some two hundred requests."""


def check(  # noqa: PLR0913 - one parameter is one flag
    kubeconfig: options.OfCluster = None,
    *,
    context: options.Context = "",
    namespace: options.ReleaseNamespace,
    release: options.ReleaseName = "",
    wait: Annotated[bool, typer.Option("--wait", help="Repeat until there are no findings.")] = False,
    timeout: Annotated[str, typer.Option("--timeout", metavar="DURATION", help="The time limit of --wait.")] = "2m",
    registries: Annotated[
        bool, typer.Option("--registries", help="Also test each credential against its registry.")
    ] = False,
    registry_ca_file: Annotated[
        Path | None,
        typer.Option(
            "--registry-ca-file",
            metavar="FILE",
            help="CA certificates of registries, PEM, in addition to those of the system.",
        ),
    ] = None,
    output: Annotated[
        ReportForm, typer.Option("--output", "-o", envvar="PULLSECRETS_OUTPUT", help="The output format.")
    ] = ReportForm.TABLE,
) -> None:
    """Check an installation; exit 0: healthy, 1: findings, 2: checks could not run.

    \b
    pullsecrets check                                the only release in the cluster
    pullsecrets check --release psw --namespace pull-secrets
    pullsecrets check --wait --timeout 5m            after an installation or upgrade
    pullsecrets check -o junit > check.xml           for a pipeline
    pullsecrets check --registries                   also test credentials at registries
    """  # noqa: D301 - \b is for the help text
    from webhook.cli.render_report import render, summary  # noqa: PLC0415 - --help is quick without what checks
    from webhook.inspect.checks.run import check as look  # noqa: PLC0415 - as above

    seconds = parse_duration(timeout, "--timeout").total_seconds() if wait else 0.0
    with reading(kubeconfig, context) as reader:
        asked = _registries(registry_ca_file) if registries else None
        report = _awaited(lambda: look(reader, wanted(None, namespace, release), asked), seconds)
    with standard_output() as file:
        render(report, output, file)
    tell(summary(report))
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def _registries(ca_file: Path | None) -> Registries:
    from webhook.registries.login import Registries  # noqa: PLC0415 - as above

    try:
        return Registries(ca_file)
    except OSError as error:
        reason = error.strerror or "no PEM"
        raise UsageError(
            f"--registry-ca-file {ca_file} does not contain a readable certificate ({reason}): give another file"
        ) from None


def _awaited(look: Callable[[], Report], seconds: float) -> Report:
    """Check until there are no findings, or the time is over. Return the last report."""
    deadline = time.monotonic() + seconds
    report = look()
    while report.exit_code == EXIT_FINDINGS and time.monotonic() + LOOK_SECONDS < deadline:
        time.sleep(LOOK_SECONDS)
        report = look()
    return report
