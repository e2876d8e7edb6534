"""A client that does nothing but shake hands, as an API server would that has just read the caBundle."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from tests.cluster.api import Api
from tests.cluster.programs import LOOPBACK

TIMEOUT = 10.0


def ca_bundle(api: Api, configuration: str) -> bytes:
    """Return the caBundle of the first webhook of a configuration; empty when there is none."""
    path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{configuration}"
    webhooks = api.call("GET", path)["webhooks"]
    return b64decode(webhooks[0]["clientConfig"].get("caBundle", ""))


def shake(port: int, bundle: bytes, address: str = LOOPBACK) -> bytes:
    """Shake hands with a verifying client, and return the certificate that was shown, in DER; OSError if it fails."""
    context = ssl.create_default_context(cadata=bundle.decode())
    with (
        socket.create_connection((address, port), timeout=TIMEOUT) as connection,
        context.wrap_socket(connection, server_hostname=address) as tls,
    ):
        return tls.getpeercert(binary_form=True) or b""


class Handshakes:
    """Shakes hands with each port in turn while its ``with`` block lasts, each time trusting the caBundle of now.

    ``settle`` is how long an API server may take to learn of a new bundle, in seconds: a handshake that ended longer
    than that after its bundle was read says nothing, and is left out.
    """

    def __init__(self, bundle: Callable[[], bytes], ports: Sequence[int], settle: float) -> None:
        self._bundle = bundle
        self._ports = ports
        self._settle = settle
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="handshakes")
        self.failures: list[str] = []
        self.seen: dict[int, set[bytes]] = {port: set() for port in ports}
        self.made = 0
        self.left_out = 0
        """Handshakes that failed and say nothing."""

    def _run(self) -> None:
        while not self._ending.wait(0.02):
            for port in self._ports:
                read_at = time.monotonic()
                try:
                    shown = shake(port, self._bundle())
                except (OSError, ssl.SSLError) as error:
                    if time.monotonic() - read_at < self._settle:
                        self.failures.append(f"port {port}: {error}")
                    else:
                        self.left_out += 1
                else:
                    self.made += 1
                    self.seen[port].add(shown)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._ending.set()
        self._thread.join()
