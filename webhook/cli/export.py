"""Implement ``pullsecrets export``: write the configuration for another tool."""
# ruff: noqa: TC001 - typer evaluates the annotations

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from webhook import __version__
from webhook.cli import options
from webhook.cli.printing import standard_output
from webhook.errors import UsageError
from webhook.rules.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

COMMENT_WIDTH = 118


class Target(StrEnum):
    """The formats of an export."""

    MUTATING_ADMISSION_POLICY = "mutating-admission-policy"


def export(
    target: Annotated[Target, typer.Argument(metavar="TARGET", help="The format to write.")],  # noqa: ARG001 - the only one
    config: options.Config,
    *,
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
    """  # noqa: D301 - \b is for the help text
    from webhook.cli.cluster import load  # noqa: PLC0415 - --help is quick without what decides
    from webhook.files.yaml import dump  # noqa: PLC0415 - as above
    from webhook.report.policy_export import manifests, remarks  # noqa: PLC0415 - as above
    from webhook.rules.names import problem_of_subdomain  # noqa: PLC0415 - as above

    if problem := problem_of_subdomain(release):
        raise UsageError(f'--release: "{release}" {problem}')
    configuration = load(config, release_namespace)
    documents = manifests(configuration, release)
    if not documents:
        raise UsageError(f"{config}: the configuration has no pull secrets, so there is nothing to export")
    with standard_output() as file:
        _comment([f"Written by pullsecrets {__version__}, for Kubernetes 1.36 and newer."], file)
        _comment(remarks(configuration, release_namespace), file)
        dump(documents, file)


def _comment(sentences: Iterable[str], file: TextIO) -> None:
    import textwrap  # noqa: PLC0415 - only here

    for sentence in sentences:
        lines = textwrap.wrap(escaped(sentence), COMMENT_WIDTH, initial_indent="# ", subsequent_indent="#   ")
        file.write("\n".join(lines) + "\n")
