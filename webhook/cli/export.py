"""Implement ``pullsecrets export``: write the configuration for another tool."""
# ruff: noqa: TC001, TC003 - typer evaluates the annotations

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from webhook import __version__
from webhook.cli import options
from webhook.cli.printing import standard_output
from webhook.errors import UsageError
from webhook.rules.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

    from webhook.report.policy_export import Manifest

COMMENT_WIDTH = 118
_STATIC_VERSIONS = "for Kubernetes 1.37 and newer"
_GUARDS_OF_RELEASE = (
    "helm get manifest NAME -n NAMESPACE | pullsecrets export validating-admission-policy --static -f -"
)


class ExportFormat(StrEnum):
    """The formats of an export."""

    MUTATING_ADMISSION_POLICY = "mutating-admission-policy"
    VALIDATING_ADMISSION_POLICY = "validating-admission-policy"


def export(
    target: Annotated[ExportFormat, typer.Argument(metavar="TARGET", help="The kind of policies to write.")],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            envvar="PULLSECRETS_CONFIG",
            metavar="FILE",
            help="The configuration document; needed for mutating-admission-policy.",
        ),
    ] = None,
    filename: Annotated[
        list[str] | None,
        typer.Option(
            "--filename",
            "-f",
            metavar="FILE",
            help="The rendered chart, for validating-admission-policy: a file, a folder (recursive), or -; repeatable.",
        ),
    ] = None,
    *,
    static: Annotated[
        bool, typer.Option("--static", help="Write manifests for the folder that the API server reads itself.")
    ] = False,
    release_namespace: options.OwnReleaseNamespace,
    release: Annotated[
        str,
        typer.Option(
            "--release", envvar="PULLSECRETS_RELEASE", metavar="NAME", help="The prefix of the objects' names."
        ),
    ] = "pull-secret-webhook",
) -> None:
    """Write policies with which the API server itself does the webhook's work at admission.

    \b
    pullsecrets export mutating-admission-policy --config configuration.yaml --release-namespace psw > policies.yaml
    kubectl apply --server-side -f policies.yaml

    \b
    pullsecrets export mutating-admission-policy --static --config configuration.yaml --release-namespace psw
    pullsecrets export validating-admission-policy --static -f release.yaml
    """  # noqa: D301 - \b is for the help text
    if target is ExportFormat.VALIDATING_ADMISSION_POLICY:
        if not static:
            raise UsageError(f"the chart itself installs the guard policies: {target} needs --static")
        _write(*_guards(filename or []))
        return
    if config is None:
        raise UsageError(f"{target} needs the configuration document: give it with --config")
    _write(*_injection(config, release_namespace, release, is_static=static))


def _injection(
    config: Path, release_namespace: str, release: str, *, is_static: bool
) -> tuple[list[Manifest], list[str]]:
    """Return the policies that inject references, and the remarks about them."""
    from webhook.cli.cluster import load  # noqa: PLC0415 - --help is quick without what decides
    from webhook.report import policy_export  # noqa: PLC0415 - as above
    from webhook.rules.names import problem_of_subdomain  # noqa: PLC0415 - as above

    if problem := problem_of_subdomain(release):
        raise UsageError(f'--release: "{release}" {problem}')
    configuration = load(config, release_namespace)
    documents = policy_export.manifests(configuration, release)
    if not documents:
        raise UsageError(f"{config}: the configuration has no pull secrets, so there is nothing to export")
    remarks = list(policy_export.remarks(configuration, release_namespace))
    if not is_static:
        return documents, ["for Kubernetes 1.36 and newer", *remarks]
    more = policy_export.static_remarks("MutatingAdmissionPolicy")
    return policy_export.static(documents), [_STATIC_VERSIONS, *more, *remarks]


def _guards(filenames: Sequence[str]) -> tuple[list[Manifest], list[str]]:
    """Return the guard policies of a release in static form, and the remarks about them."""
    from webhook.files.manifests import read_manifests  # noqa: PLC0415 - as above
    from webhook.report import policy_export  # noqa: PLC0415 - as above

    if not filenames:
        raise UsageError(f"the guard policies come from the rendered chart: {_GUARDS_OF_RELEASE}")
    documents = policy_export.guards(manifest.body for manifest in read_manifests(filenames))
    if not documents:
        raise UsageError(
            "the manifests have no guard policies: render the chart with guard.enabled=true and --kube-version=1.37"
        )
    more = policy_export.static_remarks(policy_export.GUARD)
    return policy_export.static(documents), [_STATIC_VERSIONS, *more, *policy_export.guard_remarks()]


def _write(documents: Iterable[Manifest], remarks: Sequence[str]) -> None:
    from webhook.files.yaml import dump  # noqa: PLC0415 - as above

    versions, *others = remarks
    with standard_output() as file:
        _comment([f"Written by pullsecrets {__version__}, {versions}.", *others], file)
        dump(documents, file)


def _comment(sentences: Iterable[str], file: TextIO) -> None:
    import textwrap  # noqa: PLC0415 - only here

    for sentence in sentences:
        lines = textwrap.wrap(escaped(sentence), COMMENT_WIDTH, initial_indent="# ", subsequent_indent="#   ")
        file.write("\n".join(lines) + "\n")
