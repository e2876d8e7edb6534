"""A real ``pullsecrets serve`` with certificate files and no cluster, and raw HTTP over TLS to talk to it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from certs.authority import Leaf, issue_authority, issue_leaf
from tests.cluster.processes import COMMAND, clean_environment

DEADLINE = 30.0
LOOPBACK = "127.0.0.1"

DAY = timedelta(days=1)
AUTHORITY = issue_authority(datetime.now(UTC) - DAY, 30 * DAY)

CONFIGURATION = """\
apiVersion: pullsecrets.webhook/v1alpha1
kind: Configuration
pullSecrets:
  - name: NAME
    sources: [{secretName: harbor}]
"""


def until(condition: Callable[[], bool], what: str, seconds: float = DEADLINE) -> None:
    """Wait for a condition; AssertionError when it does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not in {seconds} s: {what}"
        time.sleep(0.02)


def new_leaf() -> Leaf:
    return issue_leaf(AUTHORITY, [LOOPBACK], datetime.now(UTC), 7 * DAY)


@dataclass(frozen=True)
class Files:
    """What ``serve`` reads, and its log."""

    folder: Path

    @property
    def configuration(self) -> Path:
        return self.folder / "config.yaml"

    def configure(self, text: str) -> None:
        self._replace(self.configuration, text.encode())

    def certify(self, leaf: Leaf) -> None:
        self._replace(self.folder / "tls.crt", leaf.certificate_pem)
        self._replace(self.folder / "tls.key", leaf.private_key_pem)

    def logged(self, event: str) -> list[dict[str, object]]:
        """Return the lines of the log with that message, so far."""
        text = (self.folder / "log").read_text()
        complete = (line for line in text.splitlines(keepends=True) if line.endswith("\n"))
        lines = [json.loads(line) for line in complete if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    @staticmethod
    def _replace(path: Path, content: bytes) -> None:
        fresh = path.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.rename(path)

    def arguments(self, secure_port: int = 0, metrics_port: int = 0) -> list[str]:
        return [
            str(COMMAND),
            "serve",
            f"--config={self.configuration}",
            f"--tls-cert-file={self.folder / 'tls.crt'}",
            f"--tls-private-key-file={self.folder / 'tls.key'}",
            f"--bind-address={LOOPBACK}",
            f"--secure-port={secure_port}",
            f"--metrics-port={metrics_port}",
            "--log-format=json",
        ]


@dataclass(frozen=True)
class Response:
    """One HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Serving:
    """A running ``serve``."""

    process: subprocess.Popen[str]
    files: Files
    secure_port: int
    metrics_port: int

    def plain(self, path: str) -> Response:
        connection = http.client.HTTPConnection(LOOPBACK, self.metrics_port, timeout=DEADLINE)
        try:
            connection.request("GET", path)
            return read_response(connection.getresponse())
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        lines = self.plain("/metrics").body.decode().splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))

    @contextmanager
    def connected(self) -> Iterator[ssl.SSLSocket]:
        context = ssl.create_default_context(cadata=AUTHORITY.certificate_pem.decode())
        raw = socket.create_connection((LOOPBACK, self.secure_port), timeout=DEADLINE)
        with context.wrap_socket(raw, server_hostname=LOOPBACK) as connection:
            yield connection

    def post(self, body: bytes, *headers: str, path: str = "/mutate?timeout=5s") -> Response:
        with self.connected() as connection:
            return exchange(connection, post(body, *headers, path=path))


def post(body: bytes, *headers: str, path: str = "/mutate?timeout=5s") -> bytes:
    """Return the bytes of a POST; a Content-Type is added unless ``headers`` has one."""
    lines = [f"POST {path} HTTP/1.1", "Host: webhook", *headers]
    if not any(header.lower().startswith("content-type") for header in headers):
        lines.append("Content-Type: application/json")
    if not any(header.lower().startswith(("content-length", "transfer-encoding")) for header in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def exchange(connection: ssl.SSLSocket, request: bytes, method: str = "POST") -> Response:
    """Send bytes and return the response to them."""
    connection.sendall(request)
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    return read_response(response)


def read_response(response: http.client.HTTPResponse) -> Response:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Response(response.status, headers, response.read())


def is_closed(connection: ssl.SSLSocket) -> bool:
    """Wait for the other side to close, and say whether it did so without another byte."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@contextmanager
def serving(
    folder: Path,
    *flags: str,
    configuration: str = CONFIGURATION.replace("NAME", "registry"),
    environment: Mapping[str, str] | None = None,
    ready: bool = True,
    prefix: Sequence[str] = (),
) -> Iterator[Serving]:
    """Start ``serve`` in a folder of its own, with more flags if need be, wait until it is ready or serves; end it.

    ``prefix`` is a command that runs the rest of its arguments.
    """
    files = Files(folder)
    files.configure(configuration)
    files.certify(new_leaf())
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [*prefix, *files.arguments(), *flags],
            stderr=log,
            text=True,
            env={**clean_environment(), **(environment or {})},
        ) as process,
    ):
        try:
            started = _wait(process, files)
            if ready:
                until(lambda: started.plain("/readyz").status == http.HTTPStatus.OK, "ready")
            yield started
        finally:
            process.kill()


def _wait(process: subprocess.Popen[str], files: Files) -> Serving:
    def serves() -> bool:
        assert process.poll() is None, (files.folder / "log").read_text()
        return bool(files.logged("serving"))

    until(serves, "serving")
    ports = files.logged("serving")[0]
    return Serving(process, files, int(str(ports["secure_port"])), int(str(ports["metrics_port"])))
