"""A command in network, mount and process namespaces of its own: when it ends, so does all that it started.

::

    sandbox.run([sys.executable, "-m", "pytest", "tests/e2e"])

Within it `ADDRESS` is the machine's only address besides loopback; there is no way out, for any packet. ``/run``,
``/var/lib`` and ``/var/log`` are empty. Its process 1 (this file, run as a module) reaps what containers leave behind;
when it ends, the kernel ends every process in there and takes the mounts and the network with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ADDRESS = "10.100.0.1"
HOSTS = {"registry.test": ADDRESS}
"""Names that resolve within the sandbox, for containerd and for every other program in there."""

_CGROUP = "PULL_SECRET_WEBHOOK_SANDBOX"
_CGROUPS = Path("/sys/fs/cgroup")
_EMPTIED = ("/run", "/var/lib", "/var/log")


def run(argv: Sequence[str]) -> int:
    """Run a command in a new sandbox, and return its exit code once nothing of it is left."""
    name = f"pull-secret-webhook-{os.getpid()}"
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = [*unshare, sys.executable, "-m", __spec__.name, *argv]
    _make_cgroup(name)
    try:
        return subprocess.run(command, env={**os.environ, _CGROUP: name}, check=False).returncode
    finally:
        _remove_cgroup(name)


def cgroup() -> str | None:
    """Return the name of the control group that is this sandbox's; None outside of one."""
    return os.environ.get(_CGROUP)


def _make_cgroup(name: str) -> None:
    for controller in _controllers():
        (controller / name).mkdir(exist_ok=True)


def _remove_cgroup(name: str) -> None:
    for controller in _controllers():
        for folder, _, _ in os.walk(controller / name, topdown=False):
            with contextlib.suppress(FileNotFoundError):
                Path(folder).rmdir()


def _controllers() -> list[Path]:
    """Return the root of every hierarchy: one in version 2 of control groups, one for each controller in version 1."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS]
    return [folder for folder in _CGROUPS.iterdir() if (folder / "cgroup.procs").exists() and not folder.is_symlink()]


def _furnish() -> None:
    """Make the mounts and the network, as process 1 of the sandbox."""
    _do("mount", "--make-rshared", "/")  # the kubelet hands mounts on to Pods
    hosts = Path("/etc/hosts").read_text() + "".join(f"{address} {name}\n" for name, address in HOSTS.items())
    for folder in _EMPTIED:
        _do("mount", "-t", "tmpfs", "-o", "mode=755", "sandbox", folder)
    Path("/run/hosts").write_text(hosts)
    _do("mount", "--bind", "/run/hosts", "/etc/hosts")
    _do("ip", "link", "set", "lo", "up")
    _do("ip", "link", "add", "uplink", "type", "bridge")
    _do("ip", "address", "add", f"{ADDRESS}/24", "dev", "uplink")
    _do("ip", "link", "set", "uplink", "up")
    _do("ip", "route", "add", "default", "via", ADDRESS)


def _do(*argv: str) -> None:
    subprocess.run(argv, check=True)


def main(argv: list[str]) -> int:
    """Be process 1: furnish the sandbox, run the command, reap everything else, return the command's exit code."""
    _furnish()
    command = subprocess.Popen(argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the command too, which decides
    while True:
        pid, status = os.wait()
        if pid == command.pid:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
