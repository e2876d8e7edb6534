"""Implement ``pullsecrets check``: check an installation."""
# ruff: noqa: TC001, TC003 - typer evaluates the annotations

from __future__ import annotations

import time
from collections import Counter
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from webhook.cli import options
from webhook.cli.cluster import reading, registries_with, release_query_of
from webhook.cli.lifetimes import parse_duration
from webhook.cli.paragraphs import write_paragraphs
from webhook.cli.printing import standard_output, tell
from webhook.cli.render import Form, render
from webhook.errors import UsageError
from webhook.report.protocol import Severity
from webhook.rules.text import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO
    from xml.etree import ElementTree as ET

    from webhook.inspect.checks.result import Check, CheckResult, Checkup
    from webhook.inspect.reader import Reader

EXIT_FINDINGS = 1
EXIT_UNKNOWN = 2
RELEASE, RELEASE_NAMESPACE = "pull-secret-webhook", "pull-secrets"
"""The release that ``--pre`` is about by default."""

POLL_SECONDS = 2.0
"""Seconds between two checks with ``--wait``; each costs the API server some two hundred requests."""


class CheckFormat(StrEnum):
    """The formats of ``--output``."""

    TABLE = "table"
    SHORT = "short"
    JSON = "json"
    YAML = "yaml"
    JUNIT = "junit"


def check(  # noqa: PLR0913 - one parameter is one flag
    kubeconfig: options.OfCluster = None,
    *,
    context: options.Context = "",
    release: options.ReleaseName = "",
    release_namespace: options.ReleaseNamespace = "",
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Exit 0 although some checks could not run, if the others are OK.")
    ] = False,
    pre: Annotated[bool, typer.Option("--pre", help="Check the cluster before an installation.")] = False,
    values: options.ChartValues = None,
    wait: Annotated[bool, typer.Option("--wait", help="Repeat until there are no findings.")] = False,
    timeout: Annotated[str, typer.Option("--timeout", metavar="DURATION", help="The time limit of --wait.")] = "2m",
    registries: Annotated[
        bool, typer.Option("--registries", help="Also test each credential against its registry.")
    ] = False,
    images: Annotated[
        list[str] | None,
        typer.Option("--image", metavar="IMAGE", help="Also test that nodes can pull this image."),
    ] = None,
    registry_ca_file: options.RegistryCaFile = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List the checks that are ok, too.")] = False,
    output: Annotated[
        CheckFormat, typer.Option("--output", "-o", envvar="PULLSECRETS_OUTPUT", help="The output format.")
    ] = CheckFormat.TABLE,
) -> None:
    """Check an installation; exit 0: healthy, 1: findings, 2: checks could not run.

    \b
    pullsecrets check                                the only release in the cluster
    pullsecrets check --release psw --release-namespace pull-secrets
    pullsecrets check --pre --values values.yaml     before an installation
    pullsecrets check -o short                       one line for each finding
    pullsecrets check --wait --timeout 5m            after an installation or upgrade
    pullsecrets check -o junit > check.xml           for a pipeline
    pullsecrets check --registries                   also test credentials at registries
    pullsecrets check --image ghcr.io/org/app:1      also test that nodes can pull an image
    """  # noqa: D301 - \b is for the help text
    if values and not pre:
        raise UsageError("--values is for --pre: an installation has its configuration in the cluster")
    if pre and (wait or registries or images):
        raise UsageError("--pre checks a cluster without an installation: leave out --wait, --registries and --image")
    if registry_ca_file is not None and not (registries or images):
        raise UsageError("--registry-ca-file is for --registries and --image: give one of them, too")
    seconds = parse_duration(timeout, "--timeout").total_seconds() if wait else 0.0
    with reading(kubeconfig, context) as reader:
        if pre:
            report = _before(reader, release, release_namespace, values or ())
        else:
            from webhook.inspect.checks.run import check as look  # noqa: PLC0415 - --help is quick without what checks

            checks = _requested_checks(registry_ca_file, _references(images or []), logs_in=registries)
            report = _wait_for_health(
                lambda: look(reader, release_query_of(None, release_namespace, release), checks), seconds
            )
    with standard_output() as file:
        if output is CheckFormat.JUNIT:
            write_junit(report, file)
        elif output is CheckFormat.TABLE:
            write_paragraphs(report.paragraphs(verbose=verbose), file)
        else:
            render(report, Form.TABLE if output is CheckFormat.SHORT else Form(output), file)
    tell(report.summary())
    if report.exit_code and not (allow_unknown and report.exit_code == EXIT_UNKNOWN):
        raise typer.Exit(report.exit_code)


def _before(reader: Reader, release: str, namespace: str, values: Sequence[Path]) -> Checkup:
    from webhook.files.values import CHART, cut_fullname, read_values  # noqa: PLC0415 - as above
    from webhook.inspect.checks.before import check_before  # noqa: PLC0415 - as above
    from webhook.inspect.release import likely_fullnames  # noqa: PLC0415 - as above

    chosen, release = read_values(values, []), release or RELEASE
    certificates, fullname, name = (chosen.get(key) for key in ("certificates", "fullnameOverride", "nameOverride"))
    mode = certificates.get("mode") if isinstance(certificates, dict) else None
    usual = likely_fullnames(release, name if isinstance(name, str) and name else CHART)[0]
    return check_before(
        reader,
        release,
        namespace or RELEASE_NAMESPACE,
        cut_fullname(fullname) if isinstance(fullname, str) and fullname else usual,
        uses_cert_manager=mode == "cert-manager",
    )


def _references(images: list[str]) -> tuple[str, ...]:
    from webhook.rules.images import parse  # noqa: PLC0415 - as above

    for image in images:
        try:
            parse(image)
        except ValueError:
            raise UsageError(f"--image {image} is not an image reference: write it as in a Pod") from None
    return tuple(dict.fromkeys(images))


def _requested_checks(ca_file: Path | None, images: tuple[str, ...], *, logs_in: bool) -> tuple[Check, ...]:
    """Return the checks at registries that were requested."""
    from webhook.inspect.checks.sources import logins, pulls  # noqa: PLC0415 - as above

    if not logs_in and not images:
        return ()
    registries = registries_with(ca_file)
    return ((logins(registries),) if logs_in else ()) + ((pulls(registries, images),) if images else ())


def _wait_for_health(look: Callable[[], Checkup], seconds: float) -> Checkup:
    """Check until there are no findings, or the time is over. Return the last report."""
    deadline = time.monotonic() + seconds
    report = look()
    # A check that could not run does not pass by waiting: a person must grant a right, or reach a registry.
    while report.exit_code == EXIT_FINDINGS and time.monotonic() + POLL_SECONDS < deadline:
        time.sleep(POLL_SECONDS)
        report = look()
    return report


def write_junit(checkup: Checkup, file: TextIO) -> None:
    """Write the outcomes as JUnit, for a pipeline."""
    from xml.etree import ElementTree as ET  # noqa: PLC0415 - as above

    suite = ET.Element("testsuite", name="pullsecrets check")
    totals = Counter[str]()
    for code, group in groupby(checkup.outcomes, key=lambda outcome: outcome.code):
        outcomes = list(group)
        case = ET.SubElement(suite, "testcase", classname="pullsecrets.check", name=f"{code} {outcomes[0].title}")
        totals["tests"] += 1
        totals.update(_add_outcomes(case, outcomes))
    for name in ("tests", "failures", "skipped"):
        suite.set(name, str(totals[name]))
    suite.set("errors", "0")
    ET.indent(suite)
    file.write(f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(suite, encoding="unicode")}\n')


def _add_outcomes(case: ET.Element, outcomes: list[CheckResult]) -> list[str]:
    """Add the outcomes of one code. A test case has at most one failure, or is skipped."""
    from xml.etree import ElementTree as ET  # noqa: PLC0415 - as above

    faults = [outcome for outcome in outcomes if outcome.severity is Severity.FAULT]
    if faults:
        lines = [escaped(text) for outcome in faults for text in (outcome.detail, outcome.command) if text]
        ET.SubElement(case, "failure", message=lines[0]).text = "\n".join([*lines, faults[0].advice])
        return ["failures"]
    unknown = [escaped(outcome.detail) for outcome in outcomes if outcome.severity is Severity.UNKNOWN]
    if unknown:
        ET.SubElement(case, "skipped", message=unknown[0])
        return ["skipped"]
    notes = [escaped(outcome.detail) for outcome in outcomes if outcome.severity is Severity.NOTE]
    if notes:
        ET.SubElement(case, "system-out").text = "\n".join(notes)
    return []
