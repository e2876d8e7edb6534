"""Implement ``pullsecrets usage``: list the workloads, images and namespaces that use a credential."""
# ruff: noqa: TC001 - typer evaluates the annotations

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from webhook.cli import options
from webhook.cli.cluster import reading, release_query_of
from webhook.cli.render import ObjectForm, print_objects
from webhook.cli.report_page import report_page
from webhook.errors import UsageError

if TYPE_CHECKING:
    from webhook.inspect.reader import Reader
    from webhook.inspect.release import InstalledRelease
    from webhook.report.protocol import ObjectReport


OneNamespace = Annotated[
    str,
    typer.Option(
        "--namespace",
        "-n",
        envvar="PULLSECRETS_NAMESPACE",
        metavar="NAME",
        help="Read only this namespace; the default is all.",
    ),
]


def usage(  # noqa: PLR0913 - one parameter is one flag
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A source, a pull secret or a Secret; the default is all.")
    ] = "",
    kubeconfig: options.OfCluster = None,
    *,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="List images of Docker Hub that are pulled without a credential.")
    ] = False,
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
            help="The output format; wide adds credentials or workloads, name lists the workloads.",
        ),
    ] = ObjectForm.TABLE,
) -> None:
    """List the workloads that use a credential; exit 0: done, 2: an error.

    \b
    pullsecrets usage                      each credential, with the number of its workloads and Pods
    pullsecrets usage harbor               workloads and images that use a source
    pullsecrets usage harbor -n team-a
    pullsecrets usage --anonymous          images of Docker Hub that are pulled without a credential
    """  # noqa: D301 - \b is for the help text
    refuse_both(namespace, selector)
    if name and anonymous:
        raise UsageError(f"--anonymous is about images without a credential: leave out {name}")
    from webhook.cli.progress import progress  # noqa: PLC0415 - --help is quick without what looks
    from webhook.inspect.release import find_release  # noqa: PLC0415 - as above

    with progress() as on_page, reading(kubeconfig, context, on_page) as reader:
        installed = find_release(reader, release_query_of(None, release_namespace, release, namespace))
        report = _report(reader, installed, name, namespace, selector, anonymous=anonymous)
    title = "Images without a credential" if anonymous else "Usage of credentials"
    print_objects(report, output, lambda: report_page(title, report))


def refuse_both(namespace: str, selector: str) -> None:
    """Raise UsageError if both -n and -l are given."""
    if namespace and selector:
        raise UsageError("-n selects one namespace, -l selects several: give one of them")


def _report(
    reader: Reader, installed: InstalledRelease, name: str, namespace: str, selector: str, *, anonymous: bool
) -> ObjectReport:
    from webhook.inspect.credentials import read_owners, renewing_secrets  # noqa: PLC0415 - as above
    from webhook.inspect.usage import read_pod_groups  # noqa: PLC0415 - as above
    from webhook.report.usage import (  # noqa: PLC0415 - as above
        anonymous_totals,
        credential_totals,
        usage_of,
    )
    from webhook.rules.text import listed  # noqa: PLC0415 - as above

    groups = read_pod_groups(reader, installed, namespace, selector)
    if anonymous:
        return anonymous_totals(groups)
    configuration, owners = installed.configuration, read_owners(reader, installed)
    if not name:
        return credential_totals(groups, owners, configuration)
    configured = (*configuration.source_names, *(entry.name for entry in configuration.pull_secrets))
    renewing = renewing_secrets(installed)
    if name not in configured:
        name = renewing.get(name, name)
    if name not in configured and not any(name == secret.name for group in groups for secret in group.secrets):
        name_list = listed(sorted({*configured, *renewing})) or "none"
        chosen = f" in namespace {namespace}" if namespace else f" in the namespaces of -l {selector}"
        where = chosen if namespace or selector else ""
        raise UsageError(
            f"{name} is not a source or a pull secret of release {installed.release.name}, and no Pod{where} "
            f"references a Secret with this name; the release has {name_list}. Next: kubectl pullsecrets usage"
        )
    return usage_of(name, groups, owners, configuration)
