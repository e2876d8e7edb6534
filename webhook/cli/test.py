"""Implement ``pullsecrets test``: compare the plan of manifests or of a cluster with expectations, in a pipeline."""
# ruff: noqa: TC001, TC003 - typer evaluates the annotations

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from webhook.cli import options
from webhook.cli.cluster import chosen_configuration, reading, release_query_of
from webhook.cli.printing import standard_output, tell
from webhook.cli.render import Form, render
from webhook.cli.target import parse_target
from webhook.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook.cli.files import PlacementFlags
    from webhook.inspect.reader import Reader
    from webhook.inspect.release import InstalledRelease
    from webhook.report.coverage import Coverage
    from webhook.report.expectations import Expectation
    from webhook.report.preview.preview import Preview

EXIT_FAILED = 1


def run_test(  # noqa: PLR0913 - one parameter is one flag
    expectations: Annotated[
        Path,
        typer.Option("--expectations", "-e", metavar="FILE", help="The expected results, a YAML file."),
    ],
    filename: options.Filenames = None,
    config: options.LiveConfig = None,
    values: options.ChartValues = None,
    kubeconfig: options.OfCluster = None,
    *,
    namespace: options.Namespace = "",
    assume_label: options.AssumedLabels = None,
    context: options.Context = "",
    release: options.ReleaseName = "",
    release_namespace: options.ReleaseNamespace = "",
    output: Annotated[
        Form, typer.Option("--output", "-o", envvar="PULLSECRETS_OUTPUT", help="The output format.")
    ] = Form.TABLE,
) -> None:
    """Compare a plan with expectations; exit 0: all passed, 1: some failed, 2: an error.

    \b
    pullsecrets test -f manifests/ -e expectations.yaml --config configuration.yaml
    pullsecrets test -f manifests/ -e expectations.yaml --values values.yaml
    pullsecrets test -e expectations.yaml            the plan of a cluster, and the coverage of its workloads
    """  # noqa: D301 - \b is for the help text
    from webhook.files.expectations import read_expectations  # noqa: PLC0415 - --help is quick without what decides
    from webhook.report.expectations import compare  # noqa: PLC0415 - as above

    expected = read_expectations(expectations, _title)
    configuration = chosen_configuration(config, values)
    coverage = None
    if filename:
        if any(expectation.coverage is not None for expectation in expected):
            raise UsageError(
                "the field coverage is about the running Pods of a cluster, and -f gives manifests: leave out -f, or "
                "move these expectations to a file of their own"
            )
        from webhook.cli.files import PlacementFlags  # noqa: PLC0415 - as above

        flags = PlacementFlags(configuration, kubeconfig, context, release_namespace, release, assume_label or ())
        actual = _of_files(filename, flags, namespace or "default")
    elif assume_label or namespace:
        raise UsageError("--assume-label and -n need manifests: give them with -f; expectations name their namespaces")
    else:
        from webhook.inspect.release import find_release  # noqa: PLC0415 - as above

        with reading(kubeconfig, context) as reader:
            names = list(dict.fromkeys(expectation.namespace for expectation in expected))
            installed = find_release(reader, release_query_of(configuration, release_namespace, release, names[0]))
            actual = _of_cluster(reader, installed, names)
            coverage = _coverage_of(reader, installed, expected)
    report = compare(expected, actual, coverage)
    with standard_output() as file:
        render(report, output, file)
    tell(report.summary())
    if report.failed:
        raise typer.Exit(EXIT_FAILED)


def _title(text: str) -> str:
    target = parse_target(text, "KIND/NAME, such as Pod/web")
    is_secret = target.kind.lower() in ("secret", "secrets")
    return f"{'Secret' if is_secret else target.kind}/{target.name}"


def _of_files(filenames: Sequence[str], flags: PlacementFlags, namespace: str) -> Preview:
    from webhook.cli.files import manifest_context  # noqa: PLC0415 - as above
    from webhook.files.manifests import read_manifests  # noqa: PLC0415 - as above
    from webhook.report.preview.preview import preview  # noqa: PLC0415 - as above

    manifests = read_manifests(filenames, namespace)
    around = manifest_context(manifests, flags)
    return preview(manifests, around.configuration, around.release_namespace, datetime.now(UTC), around.namespaces)


def _of_cluster(reader: Reader, installed: InstalledRelease, namespaces: Sequence[str]) -> Preview:
    """Return the plans of these namespaces as one."""
    from webhook.inspect.forecast import NamespaceQuery, forecast  # noqa: PLC0415 - as above
    from webhook.report.preview.preview import Preview  # noqa: PLC0415 - as above

    plans = [forecast(reader, installed, NamespaceQuery(name), datetime.now(UTC), issues=True) for name in namespaces]
    return Preview(tuple(row for plan in plans for row in plan.rows))


def _coverage_of(reader: Reader, installed: InstalledRelease, expected: Sequence[Expectation]) -> Coverage | None:
    """Return the coverage of the namespaces for which one is expected; None if that is none."""
    from webhook.inspect.workloads import read_coverage  # noqa: PLC0415 - as above
    from webhook.report.coverage import Coverage  # noqa: PLC0415 - as above

    names = dict.fromkeys(expectation.namespace for expectation in expected if expectation.coverage is not None)
    if not names:
        return None
    coverages = [read_coverage(reader, installed, name, "") for name in names]
    return Coverage(tuple(image for coverage in coverages for image in coverage.images))
