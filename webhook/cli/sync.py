"""Implement ``pullsecrets sync``: the controller beside the webhook."""
# ruff: noqa: TC001, TC003 - typer evaluates the annotations

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from webhook.cli import options
from webhook.cli.lifetimes import parse_duration, parse_lifetimes
from webhook.errors import UsageError
from webhook.ops.log_format import LogLevel
from webhook.rules.names import problem_of_subdomain

if TYPE_CHECKING:
    from webhook.sync.settings import CertificateNames


SHORTEST_LOGIN_SECONDS = 60.0


def sync(  # noqa: PLR0913 - one parameter is one flag
    config: options.Config,
    kubeconfig: options.Kubeconfig = None,
    *,
    namespace: options.OwnNamespace,
    release: options.OwnRelease = "pull-secret-webhook",
    bind_address: options.BindAddress = "0.0.0.0",  # noqa: S104 - the kubelet comes from another network
    metrics_port: options.MetricsPort = 8080,
    allowed_host: options.AllowedHosts = None,
    status_page: Annotated[
        bool,
        typer.Option(
            "--status-page/--no-status-page",
            envvar="PULLSECRETS_STATUS_PAGE",
            help="Show a status page at / of the plain-HTTP port.",
        ),
    ] = True,
    cluster_name: Annotated[
        str,
        typer.Option(
            "--cluster-name",
            envvar="PULLSECRETS_CLUSTER_NAME",
            metavar="NAME",
            help="The name of the cluster on the status page.",
        ),
    ] = "",
    login_interval: Annotated[
        str,
        typer.Option(
            "--login-interval",
            envvar="PULLSECRETS_LOGIN_INTERVAL",
            metavar="DURATION",
            help="The interval of credential tests at registries; off by default.",
        ),
    ] = "",
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            envvar="PULLSECRETS_WORKERS",
            min=1,
            max=64,
            help="Maximum number of namespaces that are reconciled in parallel.",
        ),
    ] = 16,
    writes_per_second: Annotated[
        int,
        typer.Option(
            "--writes-per-second",
            envvar="PULLSECRETS_WRITES_PER_SECOND",
            min=1,
            max=10000,
            help="Limit of writes to the API server per second, for all workers together.",
        ),
    ] = 1000,
    leader_elect: Annotated[
        bool,
        typer.Option(
            "--leader-elect/--no-leader-elect",
            envvar="PULLSECRETS_LEADER_ELECT",
            help="Write only while holding the Lease. Without it, run only one process.",
        ),
    ] = True,
    lease_name: Annotated[
        str,
        typer.Option(
            "--lease-name", envvar="PULLSECRETS_LEASE_NAME", metavar="NAME", help="The Lease for leader election."
        ),
    ] = "pull-secret-webhook-sync",
    config_map: Annotated[
        str,
        typer.Option(
            "--config-map",
            envvar="PULLSECRETS_CONFIG_MAP",
            metavar="NAME",
            help="The ConfigMap mounted as --config; a replica whose file differs from it does not lead.",
        ),
    ] = "",
    state_secret: Annotated[
        str,
        typer.Option(
            "--state-secret",
            envvar="PULLSECRETS_STATE_SECRET",
            metavar="NAME",
            help="The Secret in the release namespace that stores the last good contents.",
        ),
    ] = "pull-secret-webhook-state",  # noqa: S107 - the name of a Secret
    providers: Annotated[
        Path | None,
        typer.Option(
            "--providers",
            envvar="PULLSECRETS_PROVIDERS",
            metavar="FOLDER",
            help="The folder with the credential providers of sources that renew themselves.",
        ),
    ] = None,
    webhook_configuration: Annotated[
        str,
        typer.Option(
            "--webhook-configuration",
            envvar="PULLSECRETS_WEBHOOK_CONFIGURATION",
            metavar="NAME",
            help="The MutatingWebhookConfiguration whose caBundle is kept up to date.",
        ),
    ] = "pull-secret-webhook",
    tls_secret: Annotated[
        str,
        typer.Option(
            "--tls-secret",
            envvar="PULLSECRETS_TLS_SECRET",
            metavar="NAME",
            help="The Secret in the release namespace for the issued serving certificate; without it, none is issued.",
        ),
    ] = "",
    ca_secret: Annotated[
        str,
        typer.Option("--ca-secret", envvar="PULLSECRETS_CA_SECRET", metavar="NAME", help="The Secret of the CA."),
    ] = "pull-secret-webhook-ca",  # noqa: S107 - the name of a Secret
    tls_san: Annotated[
        list[str] | None,
        typer.Option(
            "--tls-san",
            envvar="PULLSECRETS_TLS_SAN",
            metavar="NAME",
            help="A DNS name or IP address at which the API server calls the webhook; repeatable.",
        ),
    ] = None,
    ca_lifetime: Annotated[
        str,
        typer.Option(
            "--ca-lifetime",
            envvar="PULLSECRETS_CA_LIFETIME",
            metavar="DURATION",
            help="The lifetime of a CA.",
        ),
    ] = "365d",
    tls_lifetime: Annotated[
        str,
        typer.Option(
            "--tls-lifetime",
            envvar="PULLSECRETS_TLS_LIFETIME",
            metavar="DURATION",
            help="The lifetime of a serving certificate; it is renewed after two thirds of that.",
        ),
    ] = "30d",
    ca_settle: Annotated[
        str,
        typer.Option(
            "--ca-settle",
            envvar="PULLSECRETS_CA_SETTLE",
            metavar="DURATION",
            help="The time a new CA is in the caBundle before a certificate that it signed is served.",
        ),
    ] = "10s",
    log_format: options.LogFormatOption,
    log_level: options.LogLevelOption = LogLevel.INFO,
) -> None:
    """Keep copies, existing ServiceAccounts, the certificate and the caBundle up to date.

    \b
    pullsecrets sync --config configuration.yaml --namespace pull-secrets --release psw
    pullsecrets sync --config configuration.yaml --namespace pull-secrets --no-leader-elect
    """  # noqa: D301 - \b is for the help text
    if not namespace:
        raise UsageError("the release namespace is not known outside a Pod: give it with --namespace")
    certificates = _certificates(tls_secret, ca_secret, webhook_configuration, tuple(tls_san or ()))
    lifetimes = parse_lifetimes(ca_lifetime, tls_lifetime, ca_settle)
    from webhook.ops.logs import configure  # noqa: PLC0415 - as above; before any other import of structlog
    from webhook.rules.ownership import Release  # noqa: PLC0415 - as above
    from webhook.sync.process import run  # noqa: PLC0415 - --help is quick without it
    from webhook.sync.settings import SyncSettings  # noqa: PLC0415 - as above

    configure(log_format, log_level)
    run(
        SyncSettings(
            config=config,
            kubeconfig=kubeconfig,
            release=Release(release, namespace),
            bind_address=bind_address,
            metrics_port=metrics_port,
            allowed_hosts=tuple(allowed_host or ()),
            status_page=status_page,
            cluster_name=cluster_name,
            login_seconds=_login_seconds(login_interval),
            workers=workers,
            writes_per_second=writes_per_second,
            lease_name=lease_name if leader_elect else None,
            config_map=config_map,
            state_secret=state_secret,
            providers=providers,
            certificates=certificates,
            lifetimes=lifetimes,
        )
    )


def _login_seconds(interval: str) -> float | None:
    """Return ``--login-interval``, or None for never. Raises UsageError if it would overload registries."""
    if not interval:
        return None
    seconds = parse_duration(interval, "--login-interval").total_seconds()
    if seconds < SHORTEST_LOGIN_SECONDS:
        raise UsageError(f"--login-interval {interval} is too short and could overload registries: give at least 1m")
    return seconds


def _certificates(leaf: str, authority: str, configuration: str, sans: tuple[str, ...]) -> CertificateNames | None:
    """Return the certificates to issue. Raises UsageError when a name is missing or invalid."""
    from webhook.sync.settings import CertificateNames  # noqa: PLC0415 - --help is quick without the loop

    if not leaf:
        return None
    if not sans:
        raise UsageError("--tls-secret needs a name for the certificate: give at least one --tls-san")
    for san in sans:
        if not (_is_ip_address(san) or problem_of_subdomain(san) is None):
            raise UsageError(
                f"--tls-san {san} is neither a DNS name nor an IP address: give one of them, such as name.namespace.svc"
            )
    return CertificateNames(leaf, authority, configuration, sans)


def _is_ip_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
