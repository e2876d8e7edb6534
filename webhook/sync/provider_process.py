"""Run a credential provider as a child process that cannot hang, flood or outlive its deadline.

The child is the leader of its own session and process group. It gets an explicit environment, the three standard pipes
and no other descriptor. When it has ended, at its deadline, or after too much output, its whole group is killed: a
grandchild that keeps a pipe open ends too. A token is passed on standard input only, because arguments and environment
of a process can be read in ``/proc``.

Source: the kubelet gives a plugin one minute (k8s.io/kubernetes v1.37, pkg/credentialprovider/plugin/plugin.go).
"""

from __future__ import annotations

import os
import re
import resource
import selectors
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, NoReturn

import msgspec

from webhook.errors import CredentialsNotIssued
from webhook.rules.provider_protocol import decode_answer, encode_request
from webhook.rules.renewing import IssueReason
from webhook.rules.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from webhook.rules.provider_protocol import ProviderAnswer
    from webhook.rules.renewing import CredentialProvider

DEADLINE_SECONDS = 60.0
"""Seconds that one run may take, as for the kubelet."""

LARGEST_OUTPUT = 1024 * 1024
"""Bytes of standard output, and of standard error, after which the process is killed."""

STOP_SECONDS = 0.5
"""Seconds after which a run notices that sync ends."""

SHOWN_ERROR = 400
"""Characters of standard error that a message quotes, from its end."""

WORKING_FOLDER, HOME = "/", "/tmp"  # noqa: S108 - the only folder that a Pod of the chart can write to
_CHUNK = 65536

_TOKEN_LIKE = re.compile(
    r"(?=[a-zA-Z+/=_-]*\d)(?=[a-z0-9+/=_-]*[A-Z])[A-Za-z0-9+/=_-]{16,}|(?=[a-z]*\d)[a-z0-9]{20,}|eyJ[A-Za-z0-9_=-]+"
    r"|(?i:(?:password|passwd|secret|token|authorization|bearer|basic)[\"']?\s?[:=]?\s?[\"']?)(?=\S*\d)\S{6,}",
    re.ASCII,
)
"""Text that may be a credential: long words of letters of both cases and digits, and words after a telling name."""


class RunLimits(msgspec.Struct, frozen=True):
    """The bounds of one run: seconds, and bytes of each output."""

    seconds: float = DEADLINE_SECONDS
    output: int = LARGEST_OUTPUT


@dataclass(frozen=True, slots=True)
class Run:
    """A command with its arguments, its whole environment, and its input, which is never shown."""

    command: Path
    args: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    input: bytes = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Texts that no message may contain."""


def deny_core_dumps() -> None:
    """Keep the memory of this process and its children, which hold credentials, out of core dumps.

    A limit of 1 byte also stops dumps that the kernel pipes into a program (Linux, fs/coredump.c), which 0 does not.
    """
    with suppress(ValueError, OSError):  # a lower hard limit is already in force
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))


def call_provider(
    folder: Path, source: CredentialProvider, image: str, token: str, limits: RunLimits, stopping: threading.Event
) -> ProviderAnswer:
    """Return the answer of a source's provider about one image; ``token`` is empty for a source without one.

    Raises:
        CredentialsNotIssued: as :func:`run`, or the output is not an answer.
    """
    env = environment(source.env, source.inherit_env, os.environ)
    request = encode_request(image, token, () if source.token is None else source.token.annotations)
    return decode_answer(run(Run(folder / source.command, source.args, env, request, (token,)), limits, stopping))


def run(request: Run, limits: RunLimits | None = None, stopping: threading.Event | None = None) -> bytes:
    """Return the standard output of a provider that ends with exit code 0; ``stopping`` ends it early.

    Raises:
        CredentialsNotIssued: it cannot be started, fails, takes too long, or writes too much.
    """
    process = _start(request)
    child = _Child(process, request, limits or RunLimits(), stopping or threading.Event())
    try:
        child.communicate()
    finally:
        code = child.end()
    if code != 0:
        problem = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        child.fail(IssueReason.PROVIDER_FAILED, problem)
    return bytes(child.output)


def environment(
    configured: Iterable[tuple[str, str]], inherited: Iterable[str], own: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of a provider: a home folder, the inherited variables that exist, and the configured."""
    variables = {"HOME": HOME, "TMPDIR": HOME}
    variables |= {name: own[name] for name in inherited if name in own}
    return variables | dict(configured)


def _start(request: Run) -> subprocess.Popen[bytes]:
    name = request.command.name
    try:
        return subprocess.Popen(  # noqa: S603 - a file of the plugin folder; there is no shell
            [str(request.command), *request.args],
            env=dict(request.env),
            cwd=WORKING_FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # The selector watches the descriptors, and does not see data that a buffer has already read.
            bufsize=0,
            close_fds=True,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        message = f"the provider {name} cannot be started from {request.command.parent}: {reason}"
        raise CredentialsNotIssued(IssueReason.PROVIDER_ABSENT, message) from None


class _Child:
    """A running provider and what it has written."""

    def __init__(
        self, process: subprocess.Popen[bytes], request: Run, limits: RunLimits, stopping: threading.Event
    ) -> None:
        self.output = bytearray()
        self._errors = bytearray()
        self._process = process
        self._request = request
        self._limits = limits
        self._stopping = stopping
        self._unsent = memoryview(request.input)

    def communicate(self) -> None:
        """Write the input and read the outputs, until the process ends. Raises CredentialsNotIssued at a limit."""
        deadline = time.monotonic() + self._limits.seconds
        # It becomes readable when the process ends, so that one select waits for the pipes and for the end:
        # pidfd_open(2).
        pidfd = os.pidfd_open(self._process.pid)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(pidfd, selectors.EVENT_READ)
                for pipe, event in self._pipes():
                    os.set_blocking(pipe, False)
                    selector.register(pipe, event)
                while True:
                    seconds_left = deadline - time.monotonic()
                    if seconds_left <= 0:
                        self.fail(IssueReason.PROVIDER_TIMEOUT, f"did not end within {self._limits.seconds:g} s")
                    if self._stopping.is_set():
                        self.fail(IssueReason.PROVIDER_TIMEOUT, "did not end before sync ends")
                    ready = [key.fd for key, _ in selector.select(min(seconds_left, STOP_SECONDS))]
                    for pipe in ready:
                        # A pipe that is done would be ready all the time.
                        if pipe != pidfd and self._is_done(pipe):
                            selector.unregister(pipe)
                            self._close(pipe)
                    if pidfd in ready:
                        # Not until the pipes are closed: a grandchild may keep them open for ever.
                        self._read_rest()
                        return
        finally:
            os.close(pidfd)

    def end(self) -> int:
        """Kill the whole group, and return the exit code of the process; negative for a signal."""
        # The process is not reaped before, so its number, which is that of the group, cannot belong to others yet.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for pipe in self._open((self._process.stdin, self._process.stdout, self._process.stderr)):
            pipe.close()
        code = self._process.wait()
        self._reap_orphans()
        return code

    def _reap_orphans(self) -> None:
        """Reap grandchildren. In a container sync is process 1, so orphans are its children, and stay as zombies."""
        with suppress(ChildProcessError):  # none is left, or another process is their parent
            while True:
                os.waitpid(-self._process.pid, 0)  # of this group only; all of it is killed, so each ends

    def fail(self, reason: IssueReason, problem: str) -> NoReturn:
        """Raise CredentialsNotIssued with a sentence about the process, and the end of its standard error."""
        output = redacted(bytes(self._errors), self._request.secrets)
        message = f"the provider {self._request.command.name} {problem}{f': {output}' if output else ''}"
        raise CredentialsNotIssued(reason, message)

    def _pipes(self) -> Iterator[tuple[int, int]]:
        for pipe in self._open((self._process.stdin,)):
            yield pipe.fileno(), selectors.EVENT_WRITE
        for pipe in self._open((self._process.stdout, self._process.stderr)):
            yield pipe.fileno(), selectors.EVENT_READ

    @staticmethod
    def _open(pipes: Iterable[IO[bytes] | None]) -> list[IO[bytes]]:
        return [pipe for pipe in pipes if pipe is not None and not pipe.closed]

    def _close(self, number: int) -> None:
        for pipe in self._open((self._process.stdin, self._process.stdout, self._process.stderr)):
            if pipe.fileno() == number:
                pipe.close()  # a provider waits for the end of its input

    def _is_done(self, pipe: int) -> bool:
        """Write or read what is possible now; return True if nothing more can follow."""
        if not any(stdin.fileno() == pipe for stdin in self._open((self._process.stdin,))):
            return self._read(pipe) == b""
        try:
            self._unsent = self._unsent[os.write(pipe, self._unsent) :]
        except BlockingIOError:
            return False
        except BrokenPipeError:
            self._unsent = memoryview(b"")  # a provider need not read its input
        return not self._unsent

    def _read(self, pipe: int) -> bytes | None:
        """Return what is there, b"" at the end, or None if there is nothing yet."""
        try:
            part = os.read(pipe, _CHUNK)
        except BlockingIOError:
            return None
        kept = self.output if any(pipe == out.fileno() for out in self._open((self._process.stdout,))) else self._errors
        kept += part
        if len(kept) > self._limits.output:
            self.fail(IssueReason.PROVIDER_OUTPUT_TOO_LARGE, f"wrote more than {self._limits.output} bytes")
        return part

    def _read_rest(self) -> None:
        for pipe in self._open((self._process.stdout, self._process.stderr)):
            while self._read(pipe.fileno()):
                pass


def redacted(errors: bytes, secrets: Iterable[str]) -> str:
    """Return the end of a provider's standard error on one line, without text that may be a credential."""
    text = errors.decode("utf-8", errors="replace")
    for secret in filter(None, secrets):
        text = text.replace(secret, "(hidden)")  # before a cut, which could leave a part of it
    if len(text) > SHOWN_ERROR * 4:
        _, blank, rest = text[-SHOWN_ERROR * 4 :].partition(" ")
        text = rest if blank else ""  # the first word is cut, and a part of a credential need not look like one
    text = escaped(" ".join(_TOKEN_LIKE.sub("(hidden)", text).split()))
    return text if len(text) <= SHOWN_ERROR else f"…{text[-SHOWN_ERROR:]}"
