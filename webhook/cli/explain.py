"""Implement ``pullsecrets explain``: explain why an object gets its pull secrets or not.

The first line is the verdict, its reason and the next command. The gates that need attention follow, or all of them.
"""
# ruff: noqa: TC001 - typer evaluates the annotations

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from webhook.cli import options
from webhook.cli.cluster import reading, release_query_of, usual_namespace
from webhook.cli.printing import standard_output
from webhook.cli.render import Form, render
from webhook.cli.target import Target, complete_target, kind_of_several, parse_target
from webhook.cli.verdict import ExplainFormat, write_explanation
from webhook.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook.cli.files import PlacementFlags
    from webhook.inspect.reader import Reader
    from webhook.inspect.release import InstalledRelease
    from webhook.report.explain.step import Explanation

EXIT_STOPPED = 1


def explain(  # noqa: PLR0913 - one parameter is one flag
    target: Annotated[
        str,
        typer.Argument(
            metavar="KIND/NAME",
            help="pod/NAME, deploy/NAME, sa/NAME, ns/NAME, reason/ID, or a code of check; or KIND NAME; or a kind.",
            autocompletion=complete_target,
        ),
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name, if the first argument is a kind.")] = "",
    filename: options.Filenames = None,
    config: options.LiveConfig = None,
    kubeconfig: options.OfCluster = None,
    *,
    namespace: options.Namespace = "",
    all_namespaces: options.AllNamespaces = False,
    selector: Annotated[
        str, typer.Option("--selector", "-l", metavar="LABELS", help="Explain all objects of a kind with these labels.")
    ] = "",
    assume_label: options.AssumedLabels = None,
    context: options.Context = "",
    release: options.ReleaseName = "",
    release_namespace: options.ReleaseNamespace = "",
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show all gates, and not only those that need attention.")
    ] = False,
    output: Annotated[
        ExplainFormat,
        typer.Option(
            "--output",
            "-o",
            envvar="PULLSECRETS_OUTPUT",
            help="The output format; wide is a table with -v; name is for a kind.",
        ),
    ] = ExplainFormat.TABLE,
) -> None:
    """Explain why an object gets its pull secrets; exit 0: it gets what is due, 1: it does not, 2: an error.

    \b
    pullsecrets explain pod/web -n team-a            a Pod as it is in the cluster
    pullsecrets explain deploy api -n team-a         a workload: its template and its running Pods
    pullsecrets explain ns/team-a                    a namespace, its copies and its ServiceAccounts
    pullsecrets explain pods -l app=api -n team-a    all Pods with a label; those that need attention are first
    pullsecrets explain sa -A                        all ServiceAccounts of the cluster
    pullsecrets explain sa/default -f manifests/ --config configuration.yaml
    pullsecrets explain reason/image-not-matched     the meaning of a reason id, and advice
    pullsecrets explain PSW052                       the meaning of a code of check, and advice
    """  # noqa: D301 - \b is for the help text
    if kind := kind_of_several(target, name, has_flag=all_namespaces or bool(selector) or output is ExplainFormat.NAME):
        from webhook.cli.explain_several import SelectionFlags as AskedOfSeveral  # noqa: PLC0415 - as below
        from webhook.cli.explain_several import explain_several  # noqa: PLC0415 - as below

        if filename or assume_label:
            raise UsageError("-f and --assume-label explain one object: name it, such as pod/NAME")
        several = AskedOfSeveral(kind, namespace, selector, everywhere=all_namespaces)
        release_query = release_query_of(config, release_namespace, release, several.namespace_in(kubeconfig, context))
        if explain_several(several, release_query, kubeconfig, context, output, verbose=verbose):
            raise typer.Exit(EXIT_STOPPED)
        return
    if is_code(target):
        with standard_output() as file:
            file.write(code_meaning(target))
        return
    named = parse_target(f"{target}/{name}" if name else target)
    if named.kind == "reason":
        with standard_output() as file:
            file.write(_meaning(named.name))
        return
    if filename:
        from webhook.cli.files import PlacementFlags  # noqa: PLC0415 - --help is quick without what decides

        flags = PlacementFlags(config, kubeconfig, context, release_namespace, release, assume_label or ())
        explanation = _from_files(named, filename, flags, namespace or "default")
    else:
        if assume_label:
            raise UsageError("--assume-label needs manifests: give them with -f")
        chosen = namespace or usual_namespace(kubeconfig, context)
        with reading(kubeconfig, context) as reader:
            from webhook.inspect.explain_input import explain_live  # noqa: PLC0415 - as above
            from webhook.inspect.release import find_release  # noqa: PLC0415 - as above

            installed = find_release(reader, release_query_of(config, release_namespace, release, chosen))
            explanation = _other(reader, installed, named, chosen) or explain_live(
                reader, installed, named.kind, named.name, chosen
            )
    with standard_output() as file:
        if output in (ExplainFormat.TABLE, ExplainFormat.WIDE):
            wide = output is ExplainFormat.WIDE
            write_explanation(replace(explanation, verbose=verbose or wide), file, wide=wide)
        else:
            render(explanation, Form(output), file)
    if explanation.stop is not None:
        raise typer.Exit(EXIT_STOPPED)


def is_code(target: str) -> bool:
    """Return whether this is written like a code of ``check``, such as PSW052."""
    return target[:3].upper() == "PSW" and target[3:].isdigit()


def code_meaning(target: str) -> str:
    """Return the meaning of a code of ``check``, and advice. Raises UsageError for an unknown code."""
    from webhook.inspect.checks.codes import CODES, link  # noqa: PLC0415 - as above

    code = target.upper()
    if code not in CODES:
        raise UsageError(f"there is no check {code}; docs/check.md lists all")
    definition = CODES[code]
    text = f"{code}: {definition.title}\n{definition.meaning}\nwhat to do: {definition.advice}\nsee: {link(code)}\n"
    return text.replace("`", "")


def _meaning(reason: str) -> str:
    """Return the meaning of a reason id, and advice. Raises UsageError for an unknown id."""
    from difflib import get_close_matches  # noqa: PLC0415 - as above

    from webhook.report.reasons import CATALOG  # noqa: PLC0415 - as above

    if reason not in CATALOG:
        close = get_close_matches(reason, CATALOG, n=1)
        hint = f"did you mean {close[0]}?" if close else "docs/reasons.md lists all"
        raise UsageError(f"there is no reason id {reason}; {hint}")
    text = CATALOG[reason]
    return f"{reason}: {text.meaning}\nwhat to do: {text.advice}\n".replace("`", "")


def _from_files(target: Target, filenames: Sequence[str], flags: PlacementFlags, namespace: str) -> Explanation:
    from webhook.cli.files import manifest_context  # noqa: PLC0415 - as above
    from webhook.files.manifests import read_manifests  # noqa: PLC0415 - as above
    from webhook.report.explain.explanation import explain_manifest  # noqa: PLC0415 - as above

    manifests = read_manifests(filenames, namespace)
    around = manifest_context(manifests, flags)
    release_namespace = around.release_namespace
    explanation = explain_manifest(
        manifests,
        around.configuration,
        release_namespace,
        target.kind,
        target.name,
        namespace,
        datetime.now(UTC),
        around.namespaces,
    )
    if explanation is None:
        where = "" if target.kind == "Namespace" else f" in namespace {namespace}"
        raise UsageError(f"the files do not contain {target.kind} {target.name}{where}: check -f and -n")
    return explanation


def _other(reader: Reader, installed: InstalledRelease, target: Target, namespace: str) -> Explanation | None:
    """Return the explanation of a copy, or for a kind that the product does not handle; None for other kinds."""
    from webhook.inspect.explain_input import explain_secret  # noqa: PLC0415 - as above
    from webhook.report.explain.explanation import explain_other  # noqa: PLC0415 - as above

    if target.kind.lower() in ("secret", "secrets"):
        return explain_secret(reader, installed, target.name, namespace)
    return None if target.is_known else explain_other(target.kind, target.name, namespace)
