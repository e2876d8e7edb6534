"""``python -m tests.cluster build`` makes the programs; ``python -m tests.cluster up`` runs a cluster until Ctrl-C."""

from __future__ import annotations

import signal
import sys

from tests.cluster import binaries
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterFailed

USAGE = "usage: python -m tests.cluster build|up"
_USAGE_ERROR = 2


def build() -> None:
    """Find or build the programs of the control plane and print where they are."""
    for path in binaries.find().paths.values():
        print(path)


def up() -> None:
    """Start a cluster, print how to reach it, and stay until Ctrl-C or SIGTERM."""
    end = {signal.SIGINT, signal.SIGTERM}
    with Cluster.start() as cluster:
        signal.pthread_sigmask(signal.SIG_BLOCK, end)
        print(f"export KUBECONFIG={cluster.kubeconfig}")
        print(f"alias kubectl={cluster.kubectl_path}", flush=True)
        signal.sigwait(end)


def main(arguments: list[str]) -> int:
    """Run one command; return the exit code."""
    commands = {"build": build, "up": up}
    if len(arguments) != 1 or arguments[0] not in commands:
        print(USAGE, file=sys.stderr)
        return _USAGE_ERROR
    try:
        commands[arguments[0]]()
    except ClusterFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return _USAGE_ERROR
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
