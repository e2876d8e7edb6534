"""Implement ``pullsecrets serve``: the admission webhook."""
# ruff: noqa: TC003 - typer evaluates the annotations

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from webhook.cli import options
from webhook.errors import UsageError
from webhook.ops.log_format import LogLevel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from webhook.serve.endpoint import ClientAuth
    from webhook.serve.process import CertificateSource


def serve(  # noqa: PLR0913 - one parameter is one flag
    config: options.Config,
    kubeconfig: options.Kubeconfig = None,
    *,
    namespace: options.OwnNamespace,
    bind_address: options.BindAddress = "0.0.0.0",  # noqa: S104 - the API server comes from another host
    secure_port: options.SecurePort = 8443,
    metrics_port: options.MetricsPort = 8080,
    allowed_host: options.AllowedHosts = None,
    tls_cert_file: Annotated[
        Path | None,
        typer.Option(
            "--tls-cert-file", envvar="PULLSECRETS_TLS_CERT_FILE", metavar="FILE", help="The certificate chain, PEM."
        ),
    ] = None,
    tls_private_key_file: Annotated[
        Path | None,
        typer.Option(
            "--tls-private-key-file",
            envvar="PULLSECRETS_TLS_PRIVATE_KEY_FILE",
            metavar="FILE",
            help="The private key of the certificate, PEM.",
        ),
    ] = None,
    tls_secret: Annotated[
        str,
        typer.Option(
            "--tls-secret",
            envvar="PULLSECRETS_TLS_SECRET",
            metavar="NAMESPACE/NAME",
            help="The Secret with certificate and key, instead of files.",
        ),
    ] = "",
    tls_min_version: Annotated[
        options.TlsVersion,
        typer.Option(
            "--tls-min-version", envvar="PULLSECRETS_TLS_MIN_VERSION", help="The lowest accepted TLS version."
        ),
    ] = options.TlsVersion.TLS_1_2,
    client_ca_file: Annotated[
        Path | None,
        typer.Option(
            "--client-ca-file",
            envvar="PULLSECRETS_CLIENT_CA_FILE",
            metavar="FILE",
            help="Accept only clients with a certificate from one of these authorities, a PEM file.",
        ),
    ] = None,
    client_allowed_name: Annotated[
        list[str] | None,
        typer.Option(
            "--client-allowed-name",
            envvar="PULLSECRETS_CLIENT_ALLOWED_NAME",
            metavar="NAME",
            help="Accept only clients with this name in their certificate; repeatable.",
        ),
    ] = None,
    drain_seconds: Annotated[
        int,
        typer.Option(
            "--drain-seconds",
            envvar="PULLSECRETS_DRAIN_SECONDS",
            min=0,
            max=3600,
            help="Time in which requests are still answered after SIGTERM.",
        ),
    ] = 8,
    log_format: options.LogFormatOption,
    log_level: options.LogLevelOption = LogLevel.INFO,
) -> None:
    """Answer the API server's admission reviews over HTTPS.

    \b
    pullsecrets serve --config configuration.yaml --tls-cert-file tls.crt --tls-private-key-file tls.key
    pullsecrets serve --config configuration.yaml --namespace pull-secrets --tls-secret pull-secrets/psw-tls
    """  # noqa: D301 - \b is for the help text
    from webhook.ops.logs import configure  # noqa: PLC0415 - as above; before any other import of structlog
    from webhook.serve.process import ServeOptions, run  # noqa: PLC0415 - --help is quick without the server

    serve_options = ServeOptions(
        config=config,
        kubeconfig=kubeconfig,
        namespace=namespace,
        bind_address=bind_address,
        secure_port=secure_port,
        metrics_port=metrics_port,
        allowed_hosts=tuple(allowed_host or ()),
        certificate=_certificate_source(tls_cert_file, tls_private_key_file, tls_secret),
        drain_seconds=drain_seconds,
        tls_min_version=_VERSIONS[tls_min_version],
        callers=_callers(client_ca_file, client_allowed_name or ()),
    )
    configure(log_format, log_level)
    run(serve_options)


_VERSIONS = {
    options.TlsVersion.TLS_1_2: ssl.TLSVersion.TLSv1_2,
    options.TlsVersion.TLS_1_3: ssl.TLSVersion.TLSv1_3,
}


def _callers(authorities: Path | None, names: Iterable[str]) -> ClientAuth | None:
    """Return the accepted clients, or None for all. Raises UsageError for names without an authority to verify them."""
    from certs.files import WatchedFiles  # noqa: PLC0415 - as above
    from webhook.serve.endpoint import ClientAuth  # noqa: PLC0415 - as above

    allowed = frozenset(names)
    if authorities is None:
        if allowed:
            raise UsageError(
                "--client-allowed-name needs --client-ca-file: a name is trusted only in a verified certificate"
            )
        return None
    return ClientAuth(WatchedFiles(authorities), allowed)


def _certificate_source(cert_file: Path | None, key_file: Path | None, secret: str) -> CertificateSource:
    """Return the source of the certificate. Raises UsageError unless the flags name exactly one."""
    from certs.files import CertificateFiles  # noqa: PLC0415 - as above
    from webhook.serve.process import CertificateSecret  # noqa: PLC0415

    if secret and (cert_file or key_file):
        raise UsageError("--tls-secret and --tls-cert-file exclude each other: give one of them")
    if secret:
        namespace, slash, name = secret.partition("/")
        if not (namespace and slash and name) or "/" in name:
            raise UsageError(f"--tls-secret {secret} is not of the form NAMESPACE/NAME")
        return CertificateSecret(namespace, name)
    if cert_file is None and key_file is None:
        raise UsageError(
            "the serving certificate is missing: give --tls-cert-file and --tls-private-key-file, or --tls-secret"
        )
    if cert_file is None or key_file is None:
        raise UsageError("--tls-cert-file and --tls-private-key-file belong together: give both")
    return CertificateFiles(cert_file, key_file)
