"""Implement ``pullsecrets revoke --dry-run``: predict the pulls that fail without a credential."""
# ruff: noqa: TC003 - typer evaluates the annotations

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from webhook.cli import options
from webhook.cli.cluster import reading, registries_with, release_query_of
from webhook.cli.render import ObjectForm, print_objects
from webhook.cli.report_page import report_page
from webhook.cli.usage import OneNamespace, refuse_both
from webhook.errors import UsageError

if TYPE_CHECKING:
    from webhook.inspect.reader import Reader
    from webhook.inspect.release import InstalledRelease
    from webhook.registries.login import Registries
    from webhook.report.revocation import Revocation, RevokedCredential

EXIT_FAILS = 1
EXIT_UNDECIDED = 4


def revoke(  # noqa: PLR0913 - one parameter is one flag
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The source whose credential is to be revoked.")],
    kubeconfig: options.OfCluster = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Required: only predict, because this command changes no registry.")
    ] = False,
    previous: Annotated[
        bool, typer.Option("--previous", help="Use the credential that the last rotation in stages has replaced.")
    ] = False,
    from_file: Annotated[
        Path | None,
        typer.Option(
            "--from-file",
            metavar="FILE",
            help="Use the credential in this Docker configuration instead of that of the source.",
        ),
    ] = None,
    ask_registry: Annotated[
        bool,
        typer.Option("--ask-registry", help="Test the other credentials, and pulls without one, at the registries."),
    ] = False,
    registry_ca_file: options.RegistryCaFile = None,
    namespace: OneNamespace = "",
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
            help="The output format; wide adds the other credentials, name lists the workloads that would fail.",
        ),
    ] = ObjectForm.TABLE,
) -> None:
    """Predict the pulls that fail without a credential; exit 0: none, 1: some, 2: an error, 4: undecided.

    \b
    pullsecrets revoke harbor --dry-run
    pullsecrets revoke harbor --dry-run --ask-registry      also test the other credentials at registries
    pullsecrets revoke harbor --dry-run --previous          after a rotation in stages
    pullsecrets revoke harbor --dry-run --from-file old.json
    """  # noqa: D301 - \b is for the help text
    if not dry_run:
        raise UsageError(
            "pullsecrets never changes a registry: add --dry-run to see which pulls would fail, and revoke the "
            "credential at its registry"
        )
    refuse_both(namespace, selector)
    if previous and from_file:
        raise UsageError("--previous and --from-file are both a credential: give one of them")
    if registry_ca_file is not None and not ask_registry:
        raise UsageError("--registry-ca-file is for --ask-registry: give both")
    from webhook.cli.progress import progress  # noqa: PLC0415 - --help is quick without what looks
    from webhook.inspect.release import find_release  # noqa: PLC0415 - as above

    registries = registries_with(registry_ca_file) if ask_registry else None
    with progress() as on_page, reading(kubeconfig, context, on_page) as reader:
        installed = find_release(reader, release_query_of(None, release_namespace, release, namespace))
        revoked = _revoked(reader, installed, source, from_file, previous=previous)
        report = _predict(reader, installed, revoked, registries, (namespace, selector))
    print_objects(report, output, lambda: report_page(f"Without the credential of {source}", report))
    if report.fails:
        raise typer.Exit(EXIT_FAILS)
    if report.is_undecided:
        raise typer.Exit(EXIT_UNDECIDED)


def _revoked(
    reader: Reader, installed: InstalledRelease, name: str, file: Path | None, *, previous: bool
) -> RevokedCredential:
    from webhook.inspect import credentials  # noqa: PLC0415 - as above
    from webhook.report.revocation import RevokedCredential  # noqa: PLC0415 - as above

    credentials.find_entries(installed, name)
    if file is not None:
        content = credentials.file_content(options.read_small(file), file)
        return RevokedCredential(f"the credential in {file}", content)
    if previous:
        return RevokedCredential(
            f"the previous credential of {name}", credentials.previous_content(reader, installed, name)
        )
    source = credentials.find_source(installed, name)
    return RevokedCredential(f"the credential of {name}", credentials.present_content(reader, installed, source))


def _predict(
    reader: Reader,
    installed: InstalledRelease,
    revoked: RevokedCredential,
    registries: Registries | None,
    where: tuple[str, str],
) -> Revocation:
    from webhook.inspect.credentials import ask, read_owners  # noqa: PLC0415 - as above
    from webhook.inspect.usage import read_pod_groups  # noqa: PLC0415 - as above
    from webhook.report.revocation import predict, questions  # noqa: PLC0415 - as above

    groups = read_pod_groups(reader, installed, *where)
    answers = None if registries is None else ask(registries, questions(groups, revoked))
    return predict(groups, revoked, read_owners(reader, installed), answers)
