"""Define the command line ``pullsecrets``, also ``kubectl pullsecrets``, with one module for each command.

Exit codes: 0 done; 2 the request failed, with one sentence and without a traceback; 3 a bug, with a traceback. The code
1 has a meaning of its own in some commands. ``plan``: there are changes. ``test``: an expectation failed. ``explain``:
something that is due is missing, or nothing is due. ``check``: there are findings. ``coverage``: a workload would fail.
``revoke``: a pull would fail. ``cleanup``: something could not be removed. ``rotate``: the rotation is held or aborted.
The code 4 belongs to ``plan`` and ``revoke``: something is undecided.
"""

from __future__ import annotations

import io
import sys
import traceback
from contextlib import redirect_stdout, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.exceptions import TyperException

from webhook.cli.commands import TopLevel
from webhook.cli.completion import PROGRAM, answers_a_shell, pretend_shell
from webhook.cli.printing import tell
from webhook.cli.version import print_version
from webhook.errors import ConfigurationInvalid, PullSecretsError
from webhook.rules.text import escaped_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_USAGE = 2
EXIT_BUG = 3

NO_FILES = 4
"""kubectl's directive: do not offer files in addition to the output (cobra, ShellCompDirectiveNoFileComp)."""

app = typer.Typer(
    name="pullsecrets",
    cls=TopLevel,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done; 1 changes, findings or leftovers; 2 the request failed; 3 a bug; 4 undecided. "
    "A flag overrides its environment variable.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def pullsecrets(
    *,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=print_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Give every Pod and ServiceAccount of an opted-in namespace its imagePullSecrets.

    \b
    pullsecrets plan -A                      show changes to a cluster, with reasons
    pullsecrets explain pod/web -n team-a    explain why a Pod gets its pull secrets or not
    pullsecrets check                        check an installation
    """  # noqa: D301 - \b is for the help text


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code. This is the entry point of the installed commands."""
    if answers_a_shell():
        app([], prog_name=PROGRAM)
    sys.exit(_run(list(sys.argv[1:] if arguments is None else arguments) or ["--help"]))


def complete_for_kubectl() -> None:
    """Print candidates as kubectl expects them of plugins; the entry point ``kubectl_complete-pullsecrets``."""
    pretend_shell(sys.argv[1:] or [""])
    answers_a_shell()
    printed = io.StringIO()
    with redirect_stdout(printed), suppress(SystemExit):
        app([], prog_name=PROGRAM)
    offered = printed.getvalue().strip()
    print(*filter(None, (offered, f":{NO_FILES if offered else 0}")), sep="\n")  # noqa: T201 - this is the answer


def _run(arguments: list[str]) -> int:
    try:
        code: Any = app(arguments, prog_name=PROGRAM, standalone_mode=False)
    except TyperException as error:
        tell(f"error: {_usage_error(error)}")
        return EXIT_USAGE
    except ConfigurationInvalid as error:
        tell(f"error: {error.lines[0]}")
        for line in error.lines[1:]:
            tell(line)
        tell("correct it; docs/configuration.md describes each field")
        if error.look:
            tell(f"Next: {error.look}")
        return EXIT_USAGE
    except PullSecretsError as error:
        tell(f"error: {error}")
        return EXIT_USAGE
    except Exception:  # noqa: BLE001 - the last resort for bugs
        typer.echo(escaped_lines(traceback.format_exc().rstrip("\n")), err=True)
        return EXIT_BUG
    return code or 0


def _usage_error(error: TyperException) -> str:
    # The validation's own prefix, and the layout of its lists, are no part of a sentence.
    message = " ".join(error.format_message().rstrip(".").replace("Value error, ", "").split())
    context = getattr(error, "ctx", None)
    parameters = context.command.params if context else ()
    is_about_release = any("--release-namespace" in parameter.opts for parameter in parameters)
    if is_about_release and getattr(error, "option_name", "") in ("-n", "--namespace"):
        message = f"{message}, because this command is about a release: name it with --release-namespace"
    # A flag without its value has no context.
    command = context.command_path if context else PROGRAM
    return f"{message}{' See' if message.endswith('?') else '; see'} {command} --help"
