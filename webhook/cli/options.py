"""Declare the flags that several commands share. Each is also an environment variable."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from webhook.errors import UsageError
from webhook.ops.log_format import LogFormat, LogLevel

ENVIRONMENT_PREFIX = "PULLSECRETS_"

SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""The file with the namespace of a Pod, written by the kubelet."""

_HIGHEST_PORT = 65535

LARGEST_FILE = 1_000_000
"""In bytes; a Secret cannot hold more."""


def default_log_format() -> LogFormat:
    """Return json in a Pod, where programs read the logs, and text elsewhere."""
    return LogFormat.JSON if "KUBERNETES_SERVICE_HOST" in os.environ else LogFormat.TEXT


def in_cluster_namespace() -> str:
    """Return the namespace of this process's Pod, or an empty string."""
    try:
        return SERVICE_ACCOUNT_NAMESPACE.read_text().strip()
    except OSError:
        return ""


def read_small(file: Path) -> bytes:
    """Return the content of the file of ``--from-file``; UsageError if it is unreadable, or too large for a Secret."""
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(f"--from-file {file} cannot be read: {error.strerror}") from None
    if len(content) > LARGEST_FILE:
        raise UsageError(f"--from-file {file} is larger than {LARGEST_FILE:,} bytes")
    return content


class TlsVersion(StrEnum):
    """The versions of TLS that are still considered secure."""

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
        help="The kubeconfig file; in a Pod, the default is its ServiceAccount.",
    ),
]
OwnRelease = Annotated[
    str,
    typer.Option(
        "--release",
        envvar="PULLSECRETS_RELEASE",
        metavar="NAME",
        help="The name of the Helm release; only copies labelled with it are changed.",
    ),
]
OwnNamespace = Annotated[
    str,
    typer.Option(
        "--namespace",
        envvar="PULLSECRETS_NAMESPACE",
        metavar="NAME",
        help="The namespace of this process, which has the sources and is always excluded. In a Pod, the default is "
        "its own.",
        default_factory=in_cluster_namespace,
        show_default=False,
    ),
]
OwnReleaseNamespace = Annotated[
    str,
    typer.Option(
        "--release-namespace",
        envvar="PULLSECRETS_RELEASE_NAMESPACE",
        metavar="NAME",
        help="The release namespace with the sources; always excluded. In a Pod, the default is its own.",
        default_factory=in_cluster_namespace,
        show_default=False,
    ),
]
BindAddress = Annotated[
    str,
    typer.Option(
        "--bind-address", envvar="PULLSECRETS_BIND_ADDRESS", metavar="IP", help="The IP address to listen on."
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
        help="Another DNS name of the plain-HTTP port, for example of an Ingress; repeatable.",
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
    LogLevel, typer.Option("--log-level", envvar="PULLSECRETS_LOG_LEVEL", help="The lowest level to log.")
]
Context = Annotated[
    str,
    typer.Option(
        "--context",
        envvar="PULLSECRETS_CONTEXT",
        metavar="NAME",
        help="The context of the kubeconfig; the default is its current one.",
    ),
]
OfCluster = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        envvar="PULLSECRETS_KUBECONFIG",
        metavar="FILE",
        help="The kubeconfig file; the default is kubectl's.",
    ),
]
ReleaseNamespace = Annotated[
    str,
    typer.Option(
        "--release-namespace",
        envvar="PULLSECRETS_RELEASE_NAMESPACE",
        metavar="NAME",
        help="The release namespace; detected in a cluster with one release.",
    ),
]
ReleaseName = Annotated[
    str,
    typer.Option(
        "--release",
        envvar="PULLSECRETS_RELEASE",
        metavar="NAME",
        help="The name of the Helm release; detected in a cluster with one release.",
    ),
]
LiveConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="PULLSECRETS_CONFIG",
        metavar="FILE",
        help="The configuration document; the default is the release's in the cluster.",
    ),
]
ChartValues = Annotated[
    list[Path] | None,
    typer.Option(
        "--values",
        metavar="FILE",
        help="Values of the chart, as for helm -f; a later file overrides an earlier one; repeatable.",
    ),
]
RegistryCaFile = Annotated[
    Path | None,
    typer.Option(
        "--registry-ca-file",
        metavar="FILE",
        help="CA certificates of registries, PEM, in addition to those of the system.",
    ),
]
Namespace = Annotated[
    str,
    typer.Option(
        "--namespace",
        "-n",
        envvar="PULLSECRETS_NAMESPACE",
        metavar="NAME",
        help="The namespace to read; the default is that of the kubeconfig's context.",
    ),
]
AllNamespaces = Annotated[bool, typer.Option("--all-namespaces", "-A", help="Read all namespaces.")]
Selector = Annotated[
    str, typer.Option("--selector", "-l", metavar="LABELS", help="Read the namespaces with these labels.")
]
Filenames = Annotated[
    list[str] | None,
    typer.Option(
        "--filename",
        "-f",
        metavar="FILE",
        help="Manifests instead of a cluster: a file, a folder (recursive), or -; repeatable.",
    ),
]
AssumedLabels = Annotated[
    list[str] | None,
    typer.Option(
        "--assume-label",
        metavar="KEY=VALUE",
        help="A label of namespaces that are not in the files of -f; replaces labels from a cluster; repeatable.",
    ),
]
