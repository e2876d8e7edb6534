"""Run ``pullsecrets`` in forks of one process that has loaded it, which saves the CPU of its imports.

A fork has the arguments, environment, files and exit code of a process of its own. Tests of the start itself, of a
terminal, of signals and of memory use the installed command.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MODULES = (
    "webhook.ops.logs",  # first: it imports structlog without rich
    "webhook.cli.check",
    "webhook.cli.coverage",
    "webhook.cli.explain",
    "webhook.cli.explain_several",
    "webhook.cli.plan_live",
    "webhook.cli.revoke",
    "webhook.cli.rotate",
    "webhook.cli.usage",
    "webhook.inspect.checks.before",
    "webhook.inspect.checks.run",
    "webhook.inspect.forecast",
    "webhook.inspect.rotation",
    "webhook.inspect.selection",
    "webhook.inspect.usage",
    "webhook.kube.connect",
)
"""Modules that commands load when they run."""

LARGEST_REQUEST = 1024 * 1024


def run(arguments: Sequence[str], environment: Mapping[str, str], seconds: float) -> tuple[int, str, str]:
    """Run a command to its end, and return its exit code, standard output and standard error."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, _connect() as connection:
        connection.settimeout(seconds)
        request = json.dumps([[*arguments], dict(environment)]).encode()
        socket.send_fds(connection, [request], [out.fileno(), err.fileno()])
        code = int(connection.recv(64))
        out.seek(0)
        err.seek(0)
        return code, out.read().decode(), err.read().decode()


def _connect() -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST_REQUEST)
    connection.connect(_process()[1])
    return connection


@cache
def _process() -> tuple[subprocess.Popen[bytes], bytes]:
    """Start the process, which ends with this one; also return the address at which it listens."""
    process = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(process.communicate)
    assert process.stdout is not None
    return process, b"\0" + process.stdout.readline().strip()


def main() -> None:
    """Fork for each connection, until the standard input ends."""
    for name in MODULES:
        import_module(name)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    name = f"pullsecrets-{os.getpid()}"
    listener.bind(f"\0{name}")
    listener.listen(64)
    print(name, flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while sys.stdin not in (ready := select.select([listener, sys.stdin], [], [])[0]):
        if ready:
            connection, _ = listener.accept()
            if os.fork() == 0:
                _answer(connection)
            connection.close()


def _answer(connection: socket.socket) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, files, _, _ = socket.recv_fds(connection, LARGEST_REQUEST, 2)
    arguments, environment = json.loads(message)
    child = os.fork()
    if child == 0:
        connection.close()
        _command(arguments, environment, files)
    _, status = os.waitpid(child, 0)
    connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _command(arguments: list[str], environment: dict[str, str], files: list[int]) -> NoReturn:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, file in enumerate((nothing, *files)):
        os.dup2(file, number)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["pullsecrets", *arguments]
    code = 0
    try:
        import_module("webhook.cli").main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
