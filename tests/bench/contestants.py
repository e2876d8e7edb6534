"""The webhooks that are compared: ours, and two in Go (``baselines/``), each on one core, over TLS."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import ssl
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from certs.authority import issue_authority, issue_leaf
from tests.bench import wrk
from tests.cluster.binaries import cache_root
from tests.cluster.ports import free_port
from tests.cluster.processes import COMMAND, clean_environment
from tests.cluster.programs import LOOPBACK
from tests.cluster.supervise import Keeper, Program

BASELINES = Path(__file__).parent / "baselines"
OURS = "pull-secret-webhook"
CONTROLLER_RUNTIME = "controller-runtime"
HAND_TUNED = "Go, hand-tuned"
_FOLDERS = {CONTROLLER_RUNTIME: "controllerruntime", HAND_TUNED: "nethttp"}
ALL = (OURS, CONTROLLER_RUNTIME, HAND_TUNED)
READY_SECONDS = 30.0

CONFIGURATION = """\
apiVersion: pullsecrets.webhook/v1alpha1
kind: Configuration
pullSecrets: [{name: registry-credentials, sources: [{secretName: harbor}]}]
"""


class GoMissing(Exception):
    """The baselines cannot be built here."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A serving certificate for loopback, in files."""

    certificate: Path
    key: Path
    authority: Path


@dataclass(frozen=True, slots=True)
class Contestant:
    """A running webhook."""

    name: str
    program: Program
    port: int

    @property
    def url(self) -> str:
        return f"https://{LOOPBACK}:{self.port}"

    def request(self, body: bytes) -> wrk.Request:
        """Return the request with a review that the API server would send."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        return wrk.Request(self.url, "/mutate?timeout=5s", body, headers)


def certificate(folder: Path) -> Certificate:
    """Issue a certificate into a folder."""
    now = datetime.now(UTC)
    leaf = issue_leaf(issue_authority(now, timedelta(days=1)), [LOOPBACK], now, timedelta(days=1))
    made = Certificate(folder / "tls.crt", folder / "tls.key", folder / "ca.crt")
    made.certificate.write_bytes(leaf.certificate_pem)
    made.key.touch(mode=0o600)
    made.key.write_bytes(leaf.private_key_pem)
    made.authority.write_bytes(leaf.authority_pem)
    return made


def build(folders: Mapping[str, str] = _FOLDERS) -> dict[str, Path]:
    """Return the binaries of baselines by their names, built once for this user; ``folders`` has their sources.

    Raises:
        GoMissing: there is no Go on PATH.
    """
    digest = hashlib.sha256()
    for file in sorted(BASELINES.rglob("*")):
        if file.is_file():
            digest.update(file.read_bytes())
    folder = cache_root().parent / "bench" / digest.hexdigest()[:16]
    binaries = {name: folder / source for name, source in folders.items()}
    for name, binary in binaries.items():
        if not binary.exists():
            go = shutil.which("go")
            if go is None:
                raise GoMissing("the baselines need Go on PATH: install it")
            print(f"building the baseline {name}", flush=True)
            subprocess.run(
                [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(binary), f"./{folders[name]}"],
                cwd=BASELINES,
                env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"},
                check=True,
            )
    return binaries


def start(name: str, keeper: Keeper, files: Certificate, binaries: dict[str, Path], core: int | None) -> Contestant:
    """Start one webhook, on one core if given, and wait until it answers."""
    port, pinned = free_port(), () if core is None else (shutil.which("taskset") or "taskset", "-c", str(core))
    if name == OURS:
        return serve(name, keeper, files, (*pinned, str(COMMAND)), port)
    return _start(name, keeper, files, [*pinned, str(binaries[name]), f"--address={LOOPBACK}:{port}"], port)


def serve(name: str, keeper: Keeper, files: Certificate, command: Sequence[str], port: int) -> Contestant:
    """Start ``serve`` by a command that gets the flags, and wait until it answers."""
    configuration = files.certificate.with_name("configuration.yaml")
    configuration.write_text(CONFIGURATION)
    flags = [f"--config={configuration}", "--namespace=bench-release", "--log-level=info"]
    flags += [f"--bind-address={LOOPBACK}", f"--secure-port={port}", f"--metrics-port={free_port()}"]
    return _start(name, keeper, files, [*command, "serve", *flags], port)


def _start(name: str, keeper: Keeper, files: Certificate, argv: list[str], port: int) -> Contestant:
    argv += [f"--tls-cert-file={files.certificate}", f"--tls-private-key-file={files.key}"]
    program = keeper.start(name.replace(" ", "-").replace(",", ""), argv, clean_environment())
    program.wait_ready(answers(port, files.authority), READY_SECONDS)
    return Contestant(name, program, port)


def answers(port: int, authority: Path) -> Callable[[], bool]:
    """Return a look at whether something speaks HTTPS on that port."""
    context = ssl.create_default_context(cafile=str(authority))

    def look() -> bool:
        connection = http.client.HTTPSConnection(LOOPBACK, port, timeout=5, context=context)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except OSError:
            return False
        finally:
            connection.close()
        return True

    return look
