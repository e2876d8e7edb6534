"""Implement ``pullsecrets coverage``: list workloads that would fail on a fresh node."""
# ruff: noqa: TC001 - typer evaluates the annotations

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from webhook.cli import options
from webhook.cli.cluster import reading, release_query_of, usual_namespace
from webhook.cli.render import ObjectForm, print_objects
from webhook.errors import UsageError

if TYPE_CHECKING:
    from webhook.report.coverage import Coverage

EXIT_EXPOSED = 1

_KINDS = {"exposed": "bad", "unknown": "mind", "covered": "good"}
"""The class of each result in a page, with failures first."""


def coverage(  # noqa: PLR0913 - one parameter is one flag
    config: options.LiveConfig = None,
    kubeconfig: options.OfCluster = None,
    *,
    namespace: options.Namespace = "",
    all_namespaces: options.AllNamespaces = False,
    selector: options.Selector = "",
    context: options.Context = "",
    release: options.ReleaseName = "",
    release_namespace: options.ReleaseNamespace = "",
    output: Annotated[
        ObjectForm,
        typer.Option(
            "--output",
            "-o",
            envvar="PULLSECRETS_OUTPUT",
            help="The output format; wide adds the Pods' references, name lists the workloads that would fail.",
        ),
    ] = ObjectForm.TABLE,
) -> None:
    """List running workloads that could not pull images on a fresh node; exit 0: none, 1: some, 2: an error.

    \b
    pullsecrets coverage -A
    pullsecrets coverage -n team-a
    pullsecrets coverage -A -o html > coverage.html
    """  # noqa: D301 - \b is for the help text
    if namespace and (all_namespaces or selector):
        raise UsageError("-n selects one namespace, -A and -l select several: give one of them")
    from webhook.cli.progress import progress  # noqa: PLC0415 - --help is quick without what looks
    from webhook.inspect.release import find_release  # noqa: PLC0415 - as above
    from webhook.inspect.workloads import read_coverage  # noqa: PLC0415 - as above

    where = "" if all_namespaces or selector else namespace or usual_namespace(kubeconfig, context)
    with progress() as on_page, reading(kubeconfig, context, on_page) as reader:
        installed = find_release(reader, release_query_of(config, release_namespace, release, where))
        report = read_coverage(reader, installed, where, selector)
    print_objects(report, output, lambda: html_page(report))
    if report.exposed:
        raise typer.Exit(EXIT_EXPOSED)


def html_page(coverage: Coverage) -> str:
    """Return one HTML page to share."""
    from webhook.ops.html import Banner, stack  # noqa: PLC0415 - loads Jinja2
    from webhook.ops.html import render as render_template  # noqa: PLC0415 - as above

    order = list(_KINDS)
    headline, _, detail = coverage.summary().partition("; ")
    numbers = Counter(image.exposure for image in coverage.images)
    kind = next((_KINDS[result] for result in order if numbers[result]), "good")
    return render_template(
        "coverage",
        verdict=Banner(kind, headline, detail),
        segments=stack({result: numbers[result] for result in order}, _KINDS),
        columns=[name.capitalize() for name in coverage.columns],
        rows=sorted(coverage.images, key=lambda image: order.index(image.exposure)),
        kinds=_KINDS,
    )
