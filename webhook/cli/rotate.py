"""Implement ``pullsecrets rotate``: show the rotation of a pull secret, follow it, promote it or abort it."""
# ruff: noqa: TC003 - typer evaluates the annotations

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from webhook.cli import options
from webhook.cli.cluster import reading, release_query_of
from webhook.cli.lifetimes import parse_duration
from webhook.cli.printing import standard_output, tell
from webhook.errors import ClusterSilent, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from rich.progress import Progress

    from webhook.inspect.reader import Reader
    from webhook.inspect.release import InstalledRelease
    from webhook.inspect.rotation import Rotation
    from webhook.rules.state_document import StoredRollout

EXIT_STOPPED = 1
EXIT_UNKNOWN = 2

POLL_SECONDS = 1.0
"""Seconds between two reads of the stage; sync stores it as often."""

LINE_SECONDS = 10.0
"""Seconds between two lines about the same stage, where there is no bar."""


def rotate(  # noqa: PLR0913 - one parameter is one flag
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of a pull secret that has a rollout.")],
    kubeconfig: options.OfCluster = None,
    *,
    promote: Annotated[
        bool, typer.Option("--promote", help="End the soak, continue after a hold, or begin again after an abort.")
    ] = False,
    abort: Annotated[bool, typer.Option("--abort", help="Restore the previous content in every namespace.")] = False,
    from_file: Annotated[
        Path | None,
        typer.Option(
            "--from-file", metavar="FILE", help="Replace the source by this Docker configuration, and follow."
        ),
    ] = None,
    source: Annotated[
        str, typer.Option("--source", metavar="NAME", help="The source for --from-file, if there are several.")
    ] = "",
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", help="Follow the rotation until it is complete, held or aborted; exit if it already is."
        ),
    ] = False,
    timeout: Annotated[str, typer.Option("--timeout", metavar="DURATION", help="The time limit for following.")] = "1h",
    context: options.Context = "",
    release: options.ReleaseName = "",
    release_namespace: options.ReleaseNamespace = "",
) -> None:
    """Show the rotation of a pull secret; exit 0: complete or under way, 1: held or aborted, 2: unknown.

    \b
    pullsecrets rotate registry-credentials               its stage
    pullsecrets rotate registry-credentials --wait        follow it
    pullsecrets rotate registry-credentials --promote     do not wait for the end of the soak
    pullsecrets rotate registry-credentials --abort       restore the previous content
    pullsecrets rotate registry-credentials --from-file config.json
    """  # noqa: D301 - \b is for the help text
    if promote and abort:
        raise UsageError("--promote and --abort exclude each other: give one of them")
    seconds = parse_duration(timeout, "--timeout").total_seconds()
    with reading(kubeconfig, context) as reader:
        from webhook.inspect.release import find_release  # noqa: PLC0415 - --help is quick without it

        installed = find_release(reader, release_query_of(None, release_namespace, release))
        rotation = _rotation(reader, installed, name)
        before = rotation.read()
        _act(rotation, before, promote=promote, abort=abort, file=from_file, source=source)
        follows = (wait or from_file is not None) and not rotation.lacking
        acted_on = before.rollout.id if before is not None and (promote or abort) else ""
        with standard_output() as output:
            last, line, is_in_time = before, "", True
            if follows or acted_on:
                last, line, is_in_time = _follow(rotation, output, acted_on, seconds, to_the_end=follows)
            code = _conclude(rotation, last, line, output, follows=follows)
            if not is_in_time:
                tell(f"the time limit of {timeout} is over; look again: kubectl pullsecrets rotate {name}")
                code = EXIT_UNKNOWN
    if code:
        raise typer.Exit(code)


def _rotation(reader: Reader, installed: InstalledRelease, name: str) -> Rotation:
    from webhook.inspect.rotation import Rotation, entry_to_rotate  # noqa: PLC0415 - as above

    entry = entry_to_rotate(installed, name)
    if entry.rollout is None:
        raise UsageError(
            f"pull secret {name} has no rollout, so its content reaches all namespaces immediately: look at them with "
            "kubectl pullsecrets check --wait"
        )
    return Rotation(reader, installed, entry)


def _act(
    rotation: Rotation, before: StoredRollout | None, *, promote: bool, abort: bool, file: Path | None, source: str
) -> None:
    from webhook.rules.rollout import Verb  # noqa: PLC0415 - as above

    if promote or abort:
        if before is None:
            raise UsageError(_unknown(rotation))
        rotation.request(Verb.PROMOTE if promote else Verb.ABORT, before)
    if file is not None:
        rotation.replace_source(options.read_small(file), source)


def _unknown(rotation: Rotation) -> str:
    if rotation.lacking:
        namespace, _, name = rotation.state_secret.partition("/")
        return (
            f"the stage of {rotation.entry.name} is unknown, because {rotation.lacking}: ask for it. "
            f"Next: kubectl auth can-i get secrets/{name} -n {namespace}"
        )
    return (
        f"the stage of {rotation.entry.name} is unknown, because sync has not stored it in Secret "
        f"{rotation.state_secret} yet. Next: kubectl pullsecrets check"
    )


def _follow(
    rotation: Rotation, output: TextIO, acted_on: str, seconds: float, *, to_the_end: bool
) -> tuple[StoredRollout | None, str, bool]:
    """Print each stage until there is nothing to wait for, or the time is over.

    Return the last state, the last line, and False if the time was over first.

    ``acted_on`` is the id that a request was for: sync has handled it when the id is another one.
    """
    deadline = time.monotonic() + seconds
    stored = None
    with _following(output) as display:
        while True:
            is_last = time.monotonic() + POLL_SECONDS > deadline
            try:
                stored = rotation.read()
                if stored is not None:
                    display.show(stored, with_line=stored.rollout.id != acted_on)
                    is_handled = stored.rollout.id != acted_on and not rotation.is_behind(stored)
                    if is_handled and (not to_the_end or _is_over(stored)):
                        return stored, display.line, True
            except ClusterSilent:  # an API server restarts in less time than a rotation takes
                if is_last:
                    raise
            if is_last:
                return stored, display.line, False
            time.sleep(POLL_SECONDS)


def _is_over(stored: StoredRollout) -> bool:
    """Return whether a stage does not end by itself, and no copy changes any more."""
    from webhook.rules.rollout import Stage  # noqa: PLC0415 - as above

    if stored.rollout.stage in (Stage.HELD, Stage.ABORTED):
        return stored.progress.remaining == stored.progress.total
    return stored.rollout.stage in (Stage.COMPLETE, Stage.SETTLED)


def _line(stored: StoredRollout) -> str:
    from webhook.report.rollout import describe_rollout  # noqa: PLC0415 - as above
    from webhook.rules.text import escaped  # noqa: PLC0415 - as above

    text = describe_rollout(stored.rollout, stored.progress)
    return escaped(f"{stored.rollout.stage}: {text}" if text else stored.rollout.stage)


def _conclude(rotation: Rotation, stored: StoredRollout | None, shown: str, output: TextIO, *, follows: bool) -> int:
    """Print the last state, if it is not shown yet, and the next command; return the exit code.

    ``follows`` is True if the rotation was followed, so that following it is no advice.
    """
    from webhook.report.rollout import next_steps, proof_sentence  # noqa: PLC0415 - as above
    from webhook.rules.rollout import Stage  # noqa: PLC0415 - as above
    from webhook.rules.text import escaped  # noqa: PLC0415 - as above

    if stored is None:
        tell(_unknown(rotation))
        return EXIT_UNKNOWN
    if rotation.is_behind(stored):
        advice = (
            "" if follows else f", and kubectl pullsecrets rotate {rotation.entry.name} --wait follows the rotation"
        )
        tell(
            "sync has not seen the present content of the sources yet: kubectl pullsecrets check shows whether sync "
            f"has a leader{advice}"
        )
    if (line := _line(stored)) != shown:
        output.write(f"{rotation.entry.name} is {line}\n")
    settings = rotation.entry.rollout
    if settings is not None and stored.rollout.is_under_way and (proof := proof_sentence(stored.rollout, settings)):
        output.write(f"{escaped(proof)}\n")
    if todo := next_steps(rotation.entry.name, stored):
        tell(f"Next: {todo}")
    return EXIT_STOPPED if stored.rollout.stage in (Stage.HELD, Stage.ABORTED) else 0


class _Display:
    """Lines on standard output, and below them a bar of the copies if there is a terminal."""

    def __init__(self, output: TextIO, bar: Progress | None) -> None:
        self.line = ""
        self._output = output
        self._bar = bar
        self._task = None if bar is None else bar.add_task("")
        self._shown: tuple[object, ...] = ()
        self._shown_at = 0.0

    def show(self, stored: StoredRollout, *, with_line: bool) -> None:
        """Show a state; ``with_line`` is False if the bar alone shows it."""
        if self._bar is not None and self._task is not None:
            progress = stored.progress
            reached, total = progress.total - progress.remaining, progress.total
            self._bar.update(self._task, description=_described(stored), completed=reached, total=max(1, total))
            self._bar.start()
        line = _line(stored)
        if with_line and line != self.line and self._is_due(stored):
            self.line, self._shown_at = line, time.monotonic()
            self._write(line)

    def _is_due(self, stored: StoredRollout) -> bool:
        """Return whether a line is due: immediately for another stage, only now and then for other numbers."""
        rollout = stored.rollout
        shown, self._shown = self._shown, (rollout.stage, rollout.reason, rollout.detail)
        is_late = time.monotonic() - self._shown_at >= LINE_SECONDS
        return shown != self._shown or (self._bar is None and is_late)

    def _write(self, line: str) -> None:
        if self._bar is not None:
            self._bar.stop()  # it takes the bar away, which the line would be written behind
        self._output.write(f"{line}\n")
        self._output.flush()
        if self._bar is not None:
            self._bar.start()


def _described(stored: StoredRollout) -> str:
    """Return the words of the bar."""
    from webhook.rules.rollout import Stage  # noqa: PLC0415 - as above
    from webhook.rules.text import counted  # noqa: PLC0415 - as above

    rollout, progress = stored.rollout, stored.progress
    stage = f"canary for {rollout.elapsed:.0f} s" if rollout.stage is Stage.CANARY else str(rollout.stage)
    return f"{stage}: {progress.total - progress.remaining:,} of {counted(progress.total, 'copy', 'copies')}"


@contextmanager
def _following(output: TextIO) -> Iterator[_Display]:
    """Yield the display of a rotation while the context lasts."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield _Display(output, None)
        return
    from rich.console import Console  # noqa: PLC0415 - only for a terminal
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 - as above

    bar = Progress(TextColumn("{task.description}"), BarColumn(), console=Console(stderr=True), transient=True)
    try:
        yield _Display(output, bar)
    finally:
        bar.stop()
