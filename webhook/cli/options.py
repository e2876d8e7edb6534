"""The flags that several commands have, each declared once. Each is also an environment variable."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from webhook.observe.logs import LogFormat, LogLevel

ENVIRONMENT_PREFIX = "PULLSECRETS_"

SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where the kubelet tells a Pod its namespace."""

_HIGHEST_PORT = 65535


def default_log_format() -> LogFormat:
    """Return json in a Pod, where programs read the logs, and text elsewhere."""
    return LogFormat.JSON if "KUBERNETES_SERVICE_HOST" in os.environ else LogFormat.TEXT


def in_cluster_namespace() -> str:
    """Return the namespace of the Pod that this process runs in, or an empty string."""
    try:
        return SERVICE_ACCOUNT_NAMESPACE.read_text().strip()
    except OSError:
        return ""


class TlsVersion(StrEnum):
    """The versions of TLS that are still in good standing."""

    TLS_1_2 = "1.2"
    TLS_1_3 = "1.3"


Config = Annotated[
    Path,
    typer.Option("--config", envvar="PULLSECRETS_CONFIG", metavar="FILE", help="The configuration document."),
]
Kubeconfig = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        envvar="PULLSECRETS_KUBECONFIG",
        metavar="FILE",
        help="How to reach the cluster; in a Pod, its ServiceAccount if not given.",
    ),
]
OwnRelease = Annotated[
    str,
    typer.Option(
        "--release",
        envvar="PULLSECRETS_RELEASE",
        metavar="NAME",
        help="The name of the Helm release; copies carry it, and only copies that do are ever changed.",
    ),
]
Namespace = Annotated[
    str,
    typer.Option(
        "--namespace",
        envvar="PULLSECRETS_NAMESPACE",
        metavar="NAME",
        help="The release namespace: it holds the sources, and is excluded; in a Pod, its own if not given.",
        default_factory=in_cluster_namespace,
        show_default=False,
    ),
]
BindAddress = Annotated[
    str,
    typer.Option(
        "--bind-address", envvar="PULLSECRETS_BIND_ADDRESS", metavar="IP", help="The address to listen on, both ports."
    ),
]
MetricsPort = Annotated[
    int,
    typer.Option(
        "--metrics-port",
        envvar="PULLSECRETS_METRICS_PORT",
        min=0,
        max=_HIGHEST_PORT,
        help="The plain-HTTP port of /livez, /readyz and /metrics.",
    ),
]
AllowedHosts = Annotated[
    list[str] | None,
    typer.Option(
        "--allowed-host",
        envvar="PULLSECRETS_ALLOWED_HOST",
        metavar="NAME",
        help="Another DNS name of the plain-HTTP port, as of an Ingress; may be given several times.",
    ),
]
SecurePort = Annotated[
    int,
    typer.Option(
        "--secure-port",
        envvar="PULLSECRETS_SECURE_PORT",
        min=0,
        max=_HIGHEST_PORT,
        help="The HTTPS port of /mutate.",
    ),
]
LogFormatOption = Annotated[
    LogFormat,
    typer.Option(
        "--log-format",
        envvar="PULLSECRETS_LOG_FORMAT",
        help="json is the default in a cluster, text elsewhere.",
        default_factory=default_log_format,
        show_default=False,
    ),
]
LogLevelOption = Annotated[
    LogLevel, typer.Option("--log-level", envvar="PULLSECRETS_LOG_LEVEL", help="The least severe level to log.")
]
Context = Annotated[
    str,
    typer.Option(
        "--context",
        envvar="PULLSECRETS_CONTEXT",
        metavar="NAME",
        help="The context of the kubeconfig to use; its current one if not given.",
    ),
]
OfCluster = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        envvar="PULLSECRETS_KUBECONFIG",
        metavar="FILE",
        help="How to reach the cluster; if not given, as kubectl finds it.",
    ),
]
ReleaseNamespace = Annotated[
    str,
    typer.Option(
        "--namespace",
        envvar="PULLSECRETS_NAMESPACE",
        metavar="NAME",
        help="The release namespace; found by itself in a cluster that has one release.",
        default_factory=in_cluster_namespace,
        show_default=False,
    ),
]
ReleaseName = Annotated[
    str,
    typer.Option(
        "--release",
        envvar="PULLSECRETS_RELEASE",
        metavar="NAME",
        help="The name of the Helm release; found by itself in a cluster that has one release.",
    ),
]
LiveConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="PULLSECRETS_CONFIG",
        metavar="FILE",
        help="The configuration document; if not given, that of the release in the cluster.",
    ),
]
InNamespace = Annotated[
    str,
    typer.Option("--in", "-n", envvar="PULLSECRETS_IN", metavar="NAMESPACE", help="The namespace to look at."),
]
AllNamespaces = Annotated[bool, typer.Option("--all-namespaces", "-A", help="Look at all of them.")]
Selector = Annotated[
    str, typer.Option("--selector", "-l", metavar="LABELS", help="Look at the namespaces with these labels.")
]
Filenames = Annotated[
    list[str] | None,
    typer.Option(
        "--filename",
        "-f",
        metavar="FILE",
        help="Manifests instead of a cluster: a file, a folder with all below it, or -; repeatable.",
    ),
]
AssumedLabels = Annotated[
    list[str] | None,
    typer.Option(
        "--assume-label",
        metavar="KEY=VALUE",
        help="A label of each namespace that the manifests of -f lack, instead of those in a cluster; repeatable.",
    ),
]
