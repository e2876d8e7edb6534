"""Run all checks, in the order of their codes; a missing right for one does not stop the others."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from webhook.errors import ConfigurationAbsent, ConfigurationInvalid, Forbidden, PullSecretsError
from webhook.inspect.checks.certificate import CERTIFICATE, REGISTRATION
from webhook.inspect.checks.codes import AFTER
from webhook.inspect.checks.configuration import COPIES, HEALING, NAMES, OPT_IN, STORED_STATE
from webhook.inspect.checks.processes import LEADER, PROCESSES
from webhook.inspect.checks.result import Check, CheckResult, Checkup, Context, finding, lacking, unknown
from webhook.inspect.checks.rights import GUARDED, REHEARSAL, RIGHTS
from webhook.inspect.checks.sources import ENTRIES, EXPIRY, ON_REQUEST, RENEWING
from webhook.inspect.forecast import NamespaceQuery, forecast
from webhook.inspect.release import find_release
from webhook.inspect.secrets import read_sources
from webhook.report.protocol import Severity

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from webhook.inspect.reader import Reader
    from webhook.inspect.release import ReleaseQuery

CHECKS: tuple[Check, ...] = (
    RIGHTS,
    REGISTRATION,
    CERTIFICATE,
    OPT_IN,
    NAMES,
    ENTRIES,
    EXPIRY,
    RENEWING,
    STORED_STATE,
    COPIES,
    LEADER,
    PROCESSES,
    REHEARSAL,
    HEALING,
    GUARDED,
)
CONFIGURATION_CODE = "PSW030"


def check(reader: Reader, release_query: ReleaseQuery, requested: tuple[Check, ...] = ()) -> Checkup:
    """Run all checks once, and those at registries that were requested.

    Raises:
        UsageError: there is no release to check, or no API server.
    """
    try:
        installed = find_release(reader, release_query)
    except ConfigurationInvalid as error:
        lines = " ".join(str(error).split())
        return _without_configuration(f"{lines}; the previous one stays in force", "the configuration is not valid")
    except ConfigurationAbsent as error:
        text, _, command = str(error).partition(". Next: ")
        problem = f"{text}; Pods that run keep the configuration that they have read"
        return _without_configuration(problem, "the configuration does not exist", command)
    now = datetime.now(UTC)
    context = Context(
        reader,
        installed,
        now,
        forecast=cache(lambda: forecast(reader, installed, NamespaceQuery(), now)),
        sources=cache(lambda: read_sources(reader, installed, now)),
    )
    outcomes = (outcome for checker in (*CHECKS, *requested) for outcome in _run_check(checker, context))
    return _report(outcomes, {code for checker in requested for code in checker.codes})


def _without_configuration(problem: str, cause: str, command: str = "") -> Checkup:
    others = [unknown(code, cause) for code in AFTER if code != CONFIGURATION_CODE]
    return _report([finding(CONFIGURATION_CODE, problem, command), *others])


def _run_check(checker: Check, context: Context) -> Iterator[CheckResult]:
    try:
        yield from checker.look(context)
    except PullSecretsError as error:
        right = missing_right(error)
        yield from lacking(checker.codes, right) if right else (unknown(code, str(error)) for code in checker.codes)


_FORBIDDEN = re.compile(
    r'(?:"(?P<name>[^"]+)" is forbidden.*)?cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" '
    r'in API group "(?P<group>[^"]*)"(?: in the namespace "(?P<namespace>[^"]+)")?'
)


def missing_right(error: Exception) -> str:
    """Return the right that an error is about, such as ``get secrets/x in namespace y``; empty for other errors."""
    cause = error if isinstance(error, Forbidden) else error.__context__
    match = _FORBIDDEN.search(str(cause)) if isinstance(cause, Forbidden) else None
    if match is None:
        return ""
    group = f".{match['group']}" if match["group"] else ""
    name = f"/{match['name']}" if match["name"] else ""
    where = f" in namespace {match['namespace']}" if match["namespace"] else ""
    return f"{match['verb']} {match['resource']}{group}{name}{where}"


def _report(outcomes: Iterable[CheckResult], requested: Collection[str] = ()) -> Checkup:
    """Return the outcomes by code. A code without an outcome is in order, unless its check was not requested."""
    all_outcomes = list(outcomes)
    spoken = {outcome.code for outcome in all_outcomes} | (ON_REQUEST - set(requested))
    all_outcomes += [CheckResult(code, Severity.OK, "") for code in AFTER if code not in spoken]
    return Checkup(tuple(sorted(all_outcomes, key=lambda outcome: outcome.code)))
