"""Implement ``pullsecrets renew``: request that the leader of sync renews a source now."""
# ruff: noqa: TC001 - typer evaluates the annotations

from __future__ import annotations

from typing import Annotated

import typer

from webhook.cli import options
from webhook.cli.cluster import reading, release_query_of
from webhook.cli.printing import standard_output
from webhook.errors import UsageError


def renew(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The name of a source that renews itself.")],
    kubeconfig: options.OfCluster = None,
    *,
    context: options.Context = "",
    release: options.ReleaseName = "",
    release_namespace: options.ReleaseNamespace = "",
) -> None:
    """Request a new credential of a source that renews itself; the leader of sync issues it.

    \b
    pullsecrets renew ecr
    pullsecrets renew ecr --release psw --release-namespace pull-secrets
    """  # noqa: D301 - \b is for the help text
    from webhook.inspect.release import find_release  # noqa: PLC0415 - --help is quick without it
    from webhook.inspect.rotation import request_renewal  # noqa: PLC0415 - as above
    from webhook.rules.text import listed  # noqa: PLC0415 - as above

    with reading(kubeconfig, context) as reader:
        installed = find_release(reader, release_query_of(None, release_namespace, release))
        renewing = {renewing_source.name: renewing_source for renewing_source in installed.configuration.renewing}
        copies = [
            entry.name
            for entry in installed.configuration.pull_secrets
            for token in entry.tokens
            if token.name == source
        ]
        if copies:
            raise UsageError(
                f"source {source} is a token in each copy {copies[0]}: delete the copy whose token must be renewed: "
                f"kubectl delete secret {copies[0]} --namespace NAMESPACE"
            )
        if source not in renewing:
            hint = f"its sources that do are {listed(sorted(renewing))}" if renewing else "it has no source that does"
            raise UsageError(f"release {installed.release.name} has no source {source} that renews itself: {hint}")
        secret = renewing[source].secret
        request_renewal(reader.client, installed.release.namespace, secret)
    namespace = installed.release.namespace
    with standard_output() as file:
        file.write(
            f"requested a new credential of source {source}; look at the result: "
            f"kubectl -n {namespace} describe secret {secret}\n"
        )
