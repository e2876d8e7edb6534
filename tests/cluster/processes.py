"""The project's own command as a real process: started, watched, stopped, and dead when its owner is."""

from __future__ import annotations

import http.client
import os
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.ports import free_port
from tests.cluster.programs import LOOPBACK
from tests.cluster.supervise import Keeper, Program

COMMAND = Path(sysconfig.get_path("scripts")) / "pullsecrets"
"""The installed command, not the package on the path: what is tested is what a user starts."""

READY_SECONDS = 90.0
"""Far more than the second that it takes: a machine that is busy with other things gives each process little time."""

_ANSWER_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class PullSecrets:
    """A running ``pullsecrets serve`` or ``pullsecrets sync`` and its plain-HTTP port."""

    program: Program
    metrics_port: int

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a GET on the plain port; OSError where nobody answers."""
        connection = http.client.HTTPConnection(LOOPBACK, self.metrics_port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except http.client.HTTPException as error:
            raise ConnectionError(f"{path} of {self.program.name}: {error!r}") from error
        finally:
            connection.close()

    @property
    def ready(self) -> bool:
        """Whether ``/readyz`` answers 200 now."""
        try:
            return self.get("/readyz")[0] == http.HTTPStatus.OK
        except OSError:
            return False

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait for ``/readyz``; a process that ends, or takes longer, fails with the end of its log."""
        self.program.wait_ready(lambda: self.ready, seconds)

    def metrics(self) -> str:
        """Return ``/metrics``."""
        return self.get("/metrics")[1]

    def stop(self) -> int:
        """End it as Kubernetes does, by SIGTERM, and return its exit code."""
        return self.program.stop()

    def kill(self) -> int:
        """End it by SIGKILL."""
        return self.program.kill()


def start(
    keeper: Keeper, name: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> PullSecrets:
    """Start ``pullsecrets`` with those arguments and a free ``--metrics-port`` on loopback; see `wait_ready`."""
    port = free_port()
    argv = [str(COMMAND), *arguments, f"--bind-address={LOOPBACK}", f"--metrics-port={port}"]
    return PullSecrets(keeper.start(name, argv, {**clean_environment(), **(environment or {})}), port)


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what would change a child's flags, identity or way to loopback."""
    return {
        name: value
        for name, value in os.environ.items()
        if name != "KUBECONFIG" and not name.startswith("PULLSECRETS_") and not name.lower().endswith("_proxy")
    }
