"""Other users of a node, and readers of logs, Events, metrics and status, see no credential of sync."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.ports import free_port
from tests.cluster.processes import COMMAND, clean_environment
from tests.integration.site.playground import Playground, eventually
from tests.integration.test_namespace_tokens import VALUES, add_account, token

SHARED = "hunter2-of-all"
JWT = re.compile(r"eyJ[\w-]{10,}\.")
NOBODY = 65534

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


def test_no_credential_is_in_what_sync_shows(playground: Callable[..., Playground]) -> None:
    ours = playground(**VALUES)
    ours.set_source(SHARED)
    sync = ours.installation.start_sync()
    namespace, lacking = ours.namespace(selected=True), ours.namespace(selected=True)
    add_account(ours, namespace)
    eventually(lambda: token(ours, namespace))
    eventually(lambda: "TokenAccountAbsent" in dict(ours.events(lacking)))

    process = Path(f"/proc/{sync.program.pid}")
    shown = {
        "arguments": (process / "cmdline").read_text(),
        "environment": (process / "environ").read_text(),
        "log": sync.program.output,
        "metrics": sync.metrics(),
        "status": sync.get("/status")[1],
        "page": sync.get("/")[1],
        "events": repr([*ours.events(namespace), *ours.events(lacking), *ours.events(ours.installation.namespace)]),
    }

    assert [where for where, text in shown.items() if SHARED in text or JWT.search(text)] == []
    assert all(shown.values())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_of_the_node_reads_nothing_of_the_process(playground: Callable[..., Playground]) -> None:
    ours = playground(**VALUES)
    sync = ours.installation.start_sync()
    sync.wait_ready()

    def reads(name: str, user: int) -> bool:
        # Memory can be opened, but not read at address 0, so no byte is read.
        look = 'if test -d "$1"; then ls "$1"; else dd if="$1" count=0; fi'
        argv = ["/bin/sh", "-c", look, "sh", f"/proc/{sync.program.pid}/{name}"]
        return subprocess.run(argv, user=user, cwd="/", capture_output=True, check=False).returncode == 0

    for name in ("environ", "mem", "maps", "fd"):
        assert reads(name, 0), "root is the control"
        assert not reads(name, NOBODY), name


def test_a_process_of_sync_that_is_aborted_leaves_no_core(
    playground: Callable[..., Playground], tmp_path: Path
) -> None:
    ours = playground(**VALUES)
    ours.set_source(SHARED)
    namespace = ours.namespace(selected=True)
    add_account(ours, namespace)
    # As a container with a generous runtime starts it.
    script = f'ulimit -c unlimited; cd {tmp_path}; exec "$@"'
    # Another sync on this machine may have the usual port.
    flags = ("--bind-address=127.0.0.1", f"--metrics-port={free_port()}")
    command = ["sh", "-c", script, "sh", str(COMMAND), *ours.installation.sync_command(), *flags]
    with subprocess.Popen(
        command, env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as sync:
        eventually(lambda: token(ours, namespace))

        sync.send_signal(signal.SIGABRT)
        ended = os.waitid(os.P_PID, sync.pid, os.WEXITED | os.WNOWAIT)

    assert ended is not None
    assert (ended.si_code, ended.si_status) == (os.CLD_KILLED, signal.SIGABRT), "and not CLD_DUMPED"
    assert list(tmp_path.glob("core*")) == []
