"""Implement ``pullsecrets plan``: show changes to manifests or to a cluster, with reasons."""
# ruff: noqa: TC001 - typer evaluates the annotations

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from webhook.cli import options
from webhook.cli.cluster import chosen_configuration
from webhook.cli.paragraphs import write_paragraphs
from webhook.cli.printing import standard_output, tell
from webhook.cli.render import Form, render, render_wide, write_document, write_names
from webhook.errors import UsageError
from webhook.report.protocol import Paragraph
from webhook.rules.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from webhook.cli.files import PlacementFlags as AskedOfFiles
    from webhook.report.preview.manifest import Manifest
    from webhook.report.preview.preview import Preview
    from webhook.report.rotation_forecast import RotationForecast

EXIT_CHANGES = 1
EXIT_PROBLEM = 2
EXIT_UNDECIDED = 4


class PlanFormat(StrEnum):
    """The formats of ``--output``."""

    TABLE = "table"
    WIDE = "wide"
    """A table of every row, with the owner and the reason for each pull secret."""
    NAME = "name"
    """The names of the objects that would change, or that need a person."""
    JSON = "json"
    YAML = "yaml"
    MANIFESTS = "manifests"


def plan(  # noqa: PLR0913 - one parameter is one flag
    filename: options.Filenames = None,
    config: options.LiveConfig = None,
    values: options.ChartValues = None,
    kubeconfig: options.OfCluster = None,
    *,
    namespace: options.Namespace = "",
    all_namespaces: options.AllNamespaces = False,
    selector: options.Selector = "",
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="ns/NAME", help="Assume that this namespace opts in; repeatable."),
    ] = None,
    unlabel: Annotated[
        list[str] | None,
        typer.Option("--unlabel", metavar="ns/NAME", help="Assume that this namespace opts out; repeatable."),
    ] = None,
    rotate: Annotated[
        str,
        typer.Option(
            "--rotate", metavar="NAME", help="Assume a new content of this pull secret: predict bytes and duration."
        ),
    ] = "",
    assume_label: options.AssumedLabels = None,
    context: options.Context = "",
    release: options.ReleaseName = "",
    release_namespace: options.ReleaseNamespace = "",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List every row, also if there are many.")] = False,
    output: Annotated[
        PlanFormat,
        typer.Option(
            "--output",
            "-o",
            envvar="PULLSECRETS_OUTPUT",
            help="The output format; wide has every row and more columns, name lists the objects to change.",
        ),
    ] = PlanFormat.TABLE,
) -> None:
    """Show changes to a cluster or to manifests, with reasons.

    Exit 0: no changes, 1: changes, 2: an error, or with -f a problem, 4: undecided.

    \b
    pullsecrets plan -A                              show what sync would do now, and Pods without a reference
    pullsecrets plan -A --config new.yaml            show the effect of a changed configuration
    pullsecrets plan -A --values values.yaml         show the effect of changed values of the chart
    pullsecrets plan --label ns/team-a               show the effect of the label
    pullsecrets plan --rotate registry-credentials   show the size and the duration of a rotation
    pullsecrets plan -f manifests/ --config configuration.yaml
    pullsecrets plan -f - -n my-app                  read the output of helm template from a pipe
    """  # noqa: D301 - \b is for the help text
    configuration = chosen_configuration(config, values)
    if rotate:
        if any((filename, namespace, selector, label, unlabel, assume_label)):
            raise UsageError("--rotate is about all copies of a pull secret: give no files, namespaces or labels")
        from webhook.cli.plan_live import rotation_of  # noqa: PLC0415 - --help is quick without what decides

        _show_rotation(rotation_of(rotate, configuration, kubeconfig, context, release_namespace, release), output)
        return
    if filename:
        if any((all_namespaces, selector, label, unlabel)):
            raise UsageError("-f reads files; -A, -l, --label and --unlabel need a cluster: give one or the other")
        from webhook.cli.files import PlacementFlags as AskedOfFiles  # noqa: PLC0415 - --help is quick without what decides

        file_flags = AskedOfFiles(configuration, kubeconfig, context, release_namespace, release, assume_label or ())
        result = _of_files(filename, file_flags, namespace or "default", output)
    else:
        if assume_label:
            raise UsageError("--assume-label needs manifests: give them with -f, or use --label ns/NAME")
        from webhook.cli.plan_live import ScopeFlags, of_cluster  # noqa: PLC0415 - --help is quick without what decides

        if output is PlanFormat.MANIFESTS:
            raise UsageError("-o manifests prints the files of -f: give files, or another --output")
        flags = ScopeFlags(namespace, all_namespaces, selector, tuple(label or ()), tuple(unlabel or ()))
        result = of_cluster(flags, configuration, kubeconfig, context, release_namespace, release)
    _show(result, output, verbose=verbose)
    if code := _exit_code(result, of_files=bool(filename)):
        raise typer.Exit(code)


def _show_rotation(result: RotationForecast, output: PlanFormat) -> None:
    """Print the prediction; without copies there is nothing to change."""
    if output not in (PlanFormat.TABLE, PlanFormat.JSON, PlanFormat.YAML):
        raise UsageError(f"--rotate has no objects for -o {output}: give -o json, -o yaml or no --output")
    with standard_output() as file:
        if output is PlanFormat.TABLE:
            write_paragraphs(result.paragraphs(), file)
        else:
            write_document(result.document(), Form(output), file)
    tell(result.summary())
    if result.has_changes:
        raise typer.Exit(EXIT_CHANGES)


def _exit_code(result: Preview, *, of_files: bool) -> int:
    if of_files and result.has_problems:
        return EXIT_PROBLEM
    if result.is_undecided:
        return EXIT_UNDECIDED
    return EXIT_CHANGES if result.has_changes else 0


def _of_files(filenames: Sequence[str], flags: AskedOfFiles, default_namespace: str, output: PlanFormat) -> Preview:
    from webhook.cli.files import manifest_context  # noqa: PLC0415 - as above
    from webhook.files.manifests import read_manifests  # noqa: PLC0415 - as above
    from webhook.report.preview.preview import preview  # noqa: PLC0415 - as above

    manifests = read_manifests(filenames, default_namespace)
    around = manifest_context(manifests, flags)
    _tell(manifests, output)
    return preview(manifests, around.configuration, around.release_namespace, datetime.now(UTC), around.namespaces)


def _show(result: Preview, output: PlanFormat, *, verbose: bool) -> None:
    from webhook.files.yaml import dump  # noqa: PLC0415 - as above

    with standard_output() as file:
        if output is PlanFormat.MANIFESTS:
            dump((manifest.body for manifest in result.patched if not manifest.is_core("Secret")), file)
        elif output is PlanFormat.WIDE:
            render_wide(result, file)
        elif output is PlanFormat.NAME:
            write_names(result.titles(), file)
        elif output is PlanFormat.TABLE and result.namespaces:
            _write_overview(result, file, verbose=verbose)
        else:
            render(result, Form(output), file)
    tell(result.summary())


def _write_overview(result: Preview, file: TextIO, *, verbose: bool) -> None:
    """Write the summary by pull secret, and the rows if there are few."""
    from webhook.report.preview.preview import FEW_ROWS, overview  # noqa: PLC0415 - as above
    from webhook.report.preview.row import Effect  # noqa: PLC0415 - as above

    paragraphs = list(overview(result, verbose=verbose))
    write_paragraphs([*paragraphs, Paragraph("")] if paragraphs else [], file)
    if not verbose and len(result.rows) <= FEW_ROWS and all(row.effect is Effect.PROBLEM for row in result.rows):
        return  # the summary lists all of them
    if len(result.rows) <= FEW_ROWS or verbose:
        render(result, Form.TABLE, file)
    else:
        file.write(f"{len(result.rows):,} rows are not shown (-v lists them)\n")


def _tell(manifests: Sequence[Manifest], output: PlanFormat) -> None:
    """Warn on standard error about repeated objects and omitted Secrets."""
    from webhook.files.manifests import repeated  # noqa: PLC0415 - as above

    for manifest, before in repeated(manifests):
        tell(
            f"warning: {manifest.title} in namespace {manifest.namespace} occurs twice, the last one is used:"
            f" {before.origin}, and {manifest.origin}"
        )
    secrets = sum(manifest.is_core("Secret") for manifest in manifests)
    if output is PlanFormat.MANIFESTS and secrets:
        tell(f"# {counted(secrets, 'Secret')} left out, because credentials are not printed")
