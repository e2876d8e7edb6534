"""The process of the leader is killed on the node; somebody else goes on, and the kubelet starts it again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from tests.e2e.release import Release
from tests.e2e.site import Local, Site


def test_a_killed_leader_is_replaced(site: Site, local: Local, install: Callable[..., Release]) -> None:
    release = install("led")
    release.create_tenant("before")
    lease = f"{release.fullname}-sync"

    def holder() -> str:
        return str(site.get("lease", lease, "-n", release.namespace)["spec"]["holderIdentity"])

    def container() -> dict[str, object]:
        status: dict[str, object] = site.get("pod", leader, "-n", release.namespace)["status"]["containerStatuses"][0]
        return status

    held = holder()
    leader = held.split("_", 1)[0]
    os.kill(local.node.process_id(str(container()["containerID"])), signal.SIGKILL)
    release.create_tenant("after")
    assert holder() != held
    site.wait(lambda: container()["restartCount"] == 1 and bool(container()["ready"]), "the kubelet has restarted it")
