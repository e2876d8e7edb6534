"""``python -m tests.demo [--once]``: run the main scenario with a cluster, the chart and both processes.

With ``--once``, the exit code is 0 if every check passed. Otherwise everything stays up until Ctrl-C.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.cluster import binaries
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterFailed, HelmFailed
from tests.cluster.install import install
from tests.demo.observations import Observations
from tests.demo.scenario import VALUES, Scenario

ROOT = Path(__file__).parents[2]
PLAN = ("plan", "-f", "examples/team-a.yaml", "--config", "examples/configuration.yaml")


def main() -> int:
    """Run the main scenario; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="exit after the table; 0 only if every check passed")
    once = parser.parse_args().once
    try:
        if not binaries.is_there():
            show_plan()
        return run(once=once)
    except (ClusterFailed, HelmFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def run(*, once: bool) -> int:
    """Run the scenario and print the table; return 0 if every check passed, or 1."""
    started = time.monotonic()
    seen = Observations()
    with Cluster.start() as cluster:
        print(f"Kubernetes API server at {cluster.url}, {time.monotonic() - started:.1f} s")
        installation = install(cluster, values=VALUES)
        sync, serve = installation.start_sync(), installation.start_serve()
        sync.wait_ready()
        serve.wait_ready()
        print(f"pullsecrets sync and serve are ready, {time.monotonic() - started:.1f} s\n")
        Scenario(cluster, installation, seen).play()
        seen.show()
        if not once:
            stay(cluster)
    print("\nAll checks passed." if seen.all_hold else "\nSome checks failed.")
    return 0 if seen.all_hold else 1


def show_plan() -> None:
    """Print what the product does to manifests, which needs no cluster: something to read during the first build."""
    print(
        f"The first run builds a control plane. Meanwhile, a plan without one:\n\n$ pullsecrets {' '.join(PLAN)}",
        flush=True,
    )
    subprocess.run(
        [Path(sys.executable).with_name("pullsecrets"), *PLAN], cwd=ROOT, check=False
    )  # code 1: something would change
    print(flush=True)


def stay(cluster: Cluster) -> None:
    """Print commands for experiments, and wait for Ctrl-C."""
    print("\nThe cluster runs until Ctrl-C. Commands for another shell:\n")
    print(f"  export KUBECONFIG={cluster.kubeconfig}")
    print(f"  alias kubectl={cluster.kubectl_path}")
    print("  kubectl label namespace team-b pullsecrets.webhook/inject=enabled")
    print("  kubectl -n team-b run shop --image=registry.example.com/team/app:1 -o yaml")
    print(f"  {Path(sys.executable).with_name('pullsecrets')} explain pod/shop -n team-b", flush=True)
    end = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, end)
    signal.sigwait(end)


if __name__ == "__main__":
    sys.exit(main())
