"""Define the address of the API server and the credentials for it.

This module and :mod:`webhook.kube.kubeconfig` read two cases: the ServiceAccount of a Pod, and kubeconfig files with
only addresses, certificates and tokens. The ``kubernetes`` package reads all other kubeconfig files (exec plugins,
OIDC, proxies, merged files). It is imported only for these, because it costs half a second and 40 MiB.

Source: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
"""

from __future__ import annotations

import os
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import getproxies

import msgspec
import urllib3

if TYPE_CHECKING:
    from collections.abc import Callable

POOL_SIZE = 64
"""Idle connections that are kept of requests, and of watches: as many as sync may have workers. Others are closed."""

TOKEN_SECONDS = 60.0
"""Seconds for which a token from a file is cached. The kubelet replaces it long before it expires."""

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Folder where the kubelet puts the credentials that a Pod needs for the API server."""


@dataclass(frozen=True, slots=True)
class Access:
    """One API server, and one identity at it.

    ``authorization()`` returns the value of the header; it is empty if a certificate identifies the client. It may
    raise OSError or ValueError when new credentials are due and cannot be obtained.
    """

    host: str
    pool: urllib3.PoolManager
    authorization: Callable[[], str] = field(default=str, repr=False)


class Tls(msgspec.Struct, frozen=True):
    """TLS settings of a connection: file names, except for ``ca_data``, which is PEM text."""

    ca_file: str | None = None
    ca_data: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def check(self) -> None:
        """Load everything once. Otherwise the first request finds a broken file, and it looks like a silent API server.

        Raises:
            OSError: a file does not exist or is not a certificate; includes ssl.SSLError.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.ca_file or self.ca_data:
            context.load_verify_locations(cafile=self.ca_file, cadata=self.ca_data)
        if self.cert_file:
            # The password is empty but given, so that OpenSSL does not prompt for that of an encrypted key.
            context.load_cert_chain(self.cert_file, self.key_file, password="")

    def pool(self) -> urllib3.PoolManager:
        """Return a pool of connections with these settings."""
        return urllib3.PoolManager(
            maxsize=POOL_SIZE,
            # Always: a kubeconfig that skips the verification is left to the package.
            cert_reqs=ssl.CERT_REQUIRED,
            ca_certs=self.ca_file,
            ca_cert_data=self.ca_data,
            cert_file=self.cert_file,
            key_file=self.key_file,
        )


class TokenFile:
    """A bearer token in a file that another process renews; safe to call from any thread."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._read_at = clock()
        self._header = self._read()

    def __call__(self) -> str:
        """Return the header's value.

        The file is read again after a minute; if it cannot be read, the previous token stays.
        """
        now = self._clock()
        if now - self._read_at >= TOKEN_SECONDS:
            # Before the read, so that a file that cannot be read is tried once a minute, and not with each request.
            self._read_at = now
            # As client-go does: the API server decides whether the old token is still valid.
            with suppress(OSError, ValueError):
                self._header = self._read()
        return self._header

    def _read(self) -> str:
        token = self._path.read_text().strip()
        if not token:
            raise ValueError("the token file is empty")
        return f"Bearer {token}"

    def __repr__(self) -> str:
        return f"TokenFile({str(self._path)!r})"


def in_cluster(folder: Path = SERVICE_ACCOUNT) -> Access | None:
    """Return the access of this Pod's ServiceAccount; None outside of a Pod, or if the Pod has only a part of it.

    Raises:
        OSError: a certificate or the token exists, but cannot be used.
        ValueError: the token is empty.
    """
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "")
    authority, token = folder / "ca.crt", folder / "token"
    # A proxy is left to the package, which also reads no_proxy.
    if not (host and port and authority.is_file() and token.is_file()) or goes_through_a_proxy():
        return None
    tls = Tls(ca_file=str(authority))
    tls.check()
    # A cluster with IPv6 has a plain address in the variable, and a URL needs brackets around it.
    address = f"[{host}]" if ":" in host else host
    return Access(f"https://{address}:{port}", tls.pool(), TokenFile(token))


def goes_through_a_proxy() -> bool:
    """Return True if the environment names a proxy."""
    return bool(getproxies().keys() - {"no"})
