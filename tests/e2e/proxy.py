"""The API server of any cluster for whoever has a kubeconfig, by ``kubectl proxy``: plain HTTP on loopback."""

from __future__ import annotations

import http.client
import subprocess
from types import TracebackType
from typing import Self

from tests.e2e.site import Site

_TIMEOUT_SECONDS = 30.0


class Proxy:
    """Runs while its ``with`` block lasts."""

    def __init__(self, site: Site) -> None:
        self._process = subprocess.Popen(
            [site.kubectl_path, "proxy", "--port=0"],
            env={**site.environment, "KUBECONFIG": str(site.kubeconfig)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        started = self._process.stdout.readline()  # Starting to serve on 127.0.0.1:41234
        self._address = started.rpartition(" ")[2].strip()
        assert ":" in self._address, f"kubectl proxy does not start: {started!r}, exit code {self._process.poll()}"

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection for as many requests as one likes."""
        return http.client.HTTPConnection(self._address, timeout=_TIMEOUT_SECONDS)

    def metrics(self) -> str:
        """Return the metrics of the API server that answers; of several, each has its own."""
        connection = self.connect()
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
