"""How to reach the API server, and as whom.

What a Pod of the chart needs, and kubeconfig files that hold no more than addresses, certificates and tokens, are read
here and in :mod:`webhook.kube.kubeconfig`. Whatever else a kubeconfig may say (exec plugins, OIDC, proxies, merged
files) is left to the ``kubernetes`` package, which is imported only then: it costs half a second and 40 MiB.

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

import urllib3

if TYPE_CHECKING:
    from collections.abc import Callable

POOL_SIZE = 64
"""Idle connections kept: for the watches (one for each name) and the workers, so that none is dialled again."""

TOKEN_SECONDS = 60.0
"""How long a token that was read from a file is used: the kubelet replaces it long before it expires."""

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet puts what a Pod needs to speak to the API server."""


@dataclass(frozen=True, slots=True)
class Access:
    """One API server, and one identity with it.

    ``authorization()`` returns the header's value, empty where a certificate says who asks. It may raise OSError or
    ValueError when new credentials are due and cannot be had.
    """

    host: str
    pool: urllib3.PoolManager
    authorization: Callable[[], str] = field(default=str, repr=False)


@dataclass(frozen=True, slots=True)
class Tls:
    """What a connection is secured with: file names, except for ``ca_data``, which is PEM text."""

    ca_file: str | None = None
    ca_data: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def check(self) -> None:
        """Load everything once: else a broken file is found at the first request, and looks like a silent API server.

        Raises:
            OSError: ssl.SSLError among them; a file is not there or is no certificate.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.ca_file or self.ca_data:
            context.load_verify_locations(cafile=self.ca_file, cadata=self.ca_data)
        if self.cert_file:
            # A password, though empty, lest an encrypted key be asked for on the terminal.
            context.load_cert_chain(self.cert_file, self.key_file, password="")

    def pool(self) -> urllib3.PoolManager:
        """Return a pool of such connections."""
        return urllib3.PoolManager(
            maxsize=POOL_SIZE,
            cert_reqs=ssl.CERT_REQUIRED,
            ca_certs=self.ca_file,
            ca_cert_data=self.ca_data,
            cert_file=self.cert_file,
            key_file=self.key_file,
        )


class TokenFile:
    """A bearer token in a file that somebody else renews; safe to call from any thread."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._read_at = clock()
        self._header = self._read()

    def __call__(self) -> str:
        """Return the header's value, read again when it is a minute old; what cannot be read leaves the one before."""
        now = self._clock()
        if now - self._read_at >= TOKEN_SECONDS:
            self._read_at = now
            # As client-go: whether the old one is still good is for the API server to say.
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
    """Return how the ServiceAccount of this Pod reaches its API server; None outside of a Pod, or half inside of one.

    Raises:
        OSError: a certificate or the token is there, but cannot be used.
        ValueError: the token is empty.
    """
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "")
    authority, token = folder / "ca.crt", folder / "token"
    if not (host and port and authority.is_file() and token.is_file()) or goes_through_a_proxy():
        return None
    tls = Tls(ca_file=str(authority))
    tls.check()
    address = f"[{host}]" if ":" in host else host
    return Access(f"https://{address}:{port}", tls.pool(), TokenFile(token))


def goes_through_a_proxy() -> bool:
    """Whether the environment names any proxy."""
    return bool(getproxies().keys() - {"no"})
