"""Check the sources: their entries, expiry and renewal, and on request their logins and pulls at registries.

The Secret of a source that renews itself names the time of its last credential, and sync writes an Event about each
failure. So this needs no answer of a process. Events are kept for an hour, and sync tries again every few minutes.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from webhook.inspect.checks.result import Check, CheckResult, Context, finding, lacking, note, unknown
from webhook.inspect.obstacles import Event, parse_time
from webhook.kube.events import COMPONENT
from webhook.kube.objects import decode_secret
from webhook.kube.resources import EVENTS, SECRETS, Collection
from webhook.registries.login import Login
from webhook.report.explain.commands import expiry_command, source_command
from webhook.rules.credential import SourceReason
from webhook.rules.dockerconfig import merge
from webhook.rules.expiry import ExpiryReason, describe, named_first
from webhook.rules.registry_key import covering_keys
from webhook.rules.renewal_schedule import RENEWAL_SHARE
from webhook.rules.renewing import NOT_ISSUED, IssuedState, issued_state
from webhook.rules.text import some

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from webhook.registries.login import LoginResult, Registries
    from webhook.rules.configuration import PullSecret
    from webhook.rules.dockerconfig import Credentials
    from webhook.rules.expiry import Expiry
    from webhook.rules.renewing import RenewingSource

RENEWAL_CODE = "PSW049"

NOT_RENEWED = "CredentialNotRenewed"
"""The reason of the Event about a failure."""

OVERDUE_SHARE = RENEWAL_SHARE + 0.1
OVERDUE_LEAST = timedelta(minutes=1)
"""A renewal is overdue after this share of the lifetime, and at least so long after the time when it was due."""


class _Failure(msgspec.Struct, frozen=True):
    """Failures with the same message, from the first to the last."""

    since: datetime
    last: datetime
    message: str


def _look(context: Context) -> Iterator[CheckResult]:
    renewing = context.installed.configuration.renewing
    failures = _failures(context) if renewing else {}
    for source in renewing:
        content = context.reader.get(SECRETS, source.secret, context.installed.release.namespace)
        metadata = None if content is None else decode_secret(content).metadata
        state = NOT_ISSUED if metadata is None else issued_state(metadata.labels or {}, metadata.annotations or {})
        yield from _judge(context, source, state, failures.get(source.secret, ()))


def _judge(
    context: Context, source: RenewingSource, state: IssuedState, failures: Iterable[_Failure]
) -> Iterator[CheckResult]:
    current = [failure for failure in failures if state.issued_at is None or failure.last > state.issued_at]
    if current:
        since, last = min(failure.since for failure in current), max(current, key=lambda failure: failure.last)
        first = f"the first failure that is known was at {since:%Y-%m-%d %H:%M:%S} UTC"
        yield finding(RENEWAL_CODE, f"{last.message}; {first}", _next(context, source, state))
    elif (due := _overdue_since(state, context.now)) is not None and state.expires_at is not None:
        kept = f"the credential {describe(state.expires_at, context.now)}"
        detail = f'source "{source.name}": a renewal was due at {due:%Y-%m-%d %H:%M:%S} UTC, and {kept}'
        namespace, fullname = context.installed.release.namespace, context.installed.fullname
        log = f"kubectl -n {shlex.quote(namespace)} logs deployment/{shlex.quote(fullname)}-sync --all-pods --tail=100"
        yield finding(RENEWAL_CODE, detail, log)


def _overdue_since(state: IssuedState, now: datetime) -> datetime | None:
    """Return when a renewal was due that is overdue by now; None if it is not, or if the times are not known."""
    if state.issued_at is None or state.expires_at is None:
        return None
    lifetime = state.expires_at - state.issued_at
    due = state.issued_at + lifetime * RENEWAL_SHARE
    return due if now > max(state.issued_at + lifetime * OVERDUE_SHARE, due + OVERDUE_LEAST) else None


def _next(context: Context, source: RenewingSource, state: IssuedState) -> str:
    """Return the command for after the cause is corrected; without a Secret, the one that shows the Events."""
    release = context.installed.release
    if state == NOT_ISSUED:
        return source_command(release.namespace, source.secret, SourceReason.NOT_ISSUED, ())
    flags = ["--release", release.name, "--release-namespace", release.namespace]
    return shlex.join(["pullsecrets", "renew", source.name, *flags])


def _failures(context: Context) -> Mapping[str, Sequence[_Failure]]:
    """Return the failures by the name of the Secret."""
    failures: dict[str, list[_Failure]] = defaultdict(list)
    query = {"fieldSelector": f"reason={NOT_RENEWED},reportingComponent={COMPONENT}"}
    for event in context.reader.items(Collection(EVENTS, context.installed.release.namespace), Event, query):
        if (last := parse_time(event.last_timestamp)) is not None:
            since = parse_time(event.first_timestamp) or last
            failures[event.involved_object.name].append(_Failure(since, last, event.message))
    return failures


RENEWING = Check((RENEWAL_CODE,), _look)


REGISTRIES_SHOWN = 5
"""Registries with the same problem that one finding names."""

SHOWN = 3
"""Pull secrets, or Secrets, that one sentence names."""


def unread_sources(context: Context, *codes: str) -> Iterator[CheckResult]:
    """Yield that these checks were not possible for the sources that must not be read, all of them in one right."""
    read = context.sources().read
    names = [f"secrets/{name}" for name in context.installed.configuration.source_names if name not in read]
    if names:
        yield from lacking(codes, f"get {some(names, SHOWN)} in namespace {context.installed.release.namespace}")


def _look_at_entries(context: Context) -> Iterator[CheckResult]:
    sources = context.sources()
    yield from unread_sources(context, *ENTRIES.codes)
    for name in context.installed.configuration.source_names:
        credentials = sources.credentials(name)
        if credentials is None or not credentials.remark:
            continue
        detail = f'source Secret "{name}": {credentials.remark}'
        yield finding("PSW043", detail) if credentials.left_out else note("PSW043", detail)


def _look_at_expiry(context: Context) -> Iterator[CheckResult]:
    sources, where = context.sources(), context.installed.release.namespace
    yield from unread_sources(context, *EXPIRY.codes)
    for name in context.installed.configuration.source_names:
        credentials = sources.credentials(name)
        if credentials is None:
            continue
        if problem := credentials.expiries.remark:
            yield finding("PSW048", f'source Secret "{name}": {problem}', f"kubectl -n {where} describe secret {name}")
        expiries_by_reason: dict[ExpiryReason, list[tuple[str, Expiry]]] = defaultdict(list)
        for registry, expiry in credentials.expiries.by_registry.items():
            if (reason := expiry.reason(context.now)) is not None:
                expiries_by_reason[reason].append((registry, expiry))
        for reason, expiring in expiries_by_reason.items():
            registries, (first, expiry) = some([registry for registry, _ in expiring], REGISTRIES_SHOWN), expiring[0]
            which = named_first(registries, differ=len({expiry.expires_at for _, expiry in expiring}) > 1)
            detail = f'source Secret "{name}": {which} {expiry.describe(context.now)}'
            renews = name in context.installed.configuration.issued_names
            command = expiry_command(where, name, first, renews=renews)
            if reason is ExpiryReason.SOON:
                yield note("PSW047", detail)
            else:
                yield finding("PSW045" if reason is ExpiryReason.EXPIRED else "PSW046", detail, command)


ENTRIES = Check(("PSW043",), _look_at_entries)

EXPIRY = Check(("PSW045", "PSW046", "PSW047", "PSW048"), _look_at_expiry)


LOGIN_CODE = "PSW042"
PULL_CODE = "PSW057"
ON_REQUEST = frozenset({LOGIN_CODE, PULL_CODE})
"""Codes of checks that send credentials to registries."""

LOGINS_AT_ONCE = 8


def logins(registries: Registries) -> Check:
    """Return the check that logs in."""

    def look(context: Context) -> Iterator[CheckResult]:
        sources = context.sources()
        yield from unread_sources(context, LOGIN_CODE)
        attempts = [
            (name, key, credential)
            for name in context.installed.configuration.source_names
            for key, credential in sorted((sources.credentials(name) or {}).items())
        ]
        with ThreadPoolExecutor(LOGINS_AT_ONCE, "login") as pool:
            results = pool.map(lambda attempt: registries.log_in(attempt[1], attempt[2]), attempts)
            for (name, key, _), result in zip(attempts, results, strict=True):
                yield from _outcome(name, key, result)

    return Check((LOGIN_CODE,), look)


def _outcome(source: str, key: str, result: LoginResult) -> Iterator[CheckResult]:
    about = f"the credential of source {source} for {key}: {result.message}"
    if result.login is Login.REFUSED:
        yield finding(LOGIN_CODE, about)
    elif result.login is Login.UNKNOWN:
        yield unknown(LOGIN_CODE, about)


def pulls(registries: Registries, images: Sequence[str]) -> Check:
    """Return the check that tests each image with the credentials of each pull secret that covers it."""

    def look(context: Context) -> Iterator[CheckResult]:
        contents = {entry.name: _content(context, entry) for entry in context.installed.configuration.copied}
        unknown_ones = _partly_known(context)
        for image in images:
            candidates = [(name, content) for name, content in contents.items() if covering_keys(content, image)]
            if not candidates:
                yield _uncovered(image, unknown_ones)
            for name, content in candidates:
                yield from _pull_outcome(name, registries.pull(image, content), is_partial=name in unknown_ones)

    return Check((PULL_CODE,), look)


def _content(context: Context, entry: PullSecret) -> Credentials:
    """Return the credentials of a pull secret, as far as its sources can be read."""
    read = [(name, context.sources().credentials(name)) for name in entry.sources]
    return merge([(name, credentials) for name, credentials in read if credentials is not None]).credentials


def _partly_known(context: Context) -> list[str]:
    """Return the pull secrets that can have other credentials than those that are read here."""
    sources = context.sources()
    return [
        entry.name
        for entry in context.installed.configuration.pull_secrets
        if entry.tenant_owned or entry.tokens or any(sources.credentials(name) is None for name in entry.sources)
    ]


def _uncovered(image: str, unknown_ones: Sequence[str]) -> CheckResult:
    """Return the outcome for an image that no known credential covers."""
    if unknown_ones:
        return unknown(PULL_CODE, f"{image}: not all credentials of {some(unknown_ones, SHOWN)} can be read here")
    return finding(PULL_CODE, f"no pull secret has a credential for {image}")


def _pull_outcome(secret: str, result: LoginResult, *, is_partial: bool) -> Iterator[CheckResult]:
    detail = f"with pull secret {secret}: {result.message}"
    if result.login is Login.REFUSED and is_partial:
        # A credential that is not read here can be more specific, or be in the copy instead.
        yield unknown(PULL_CODE, f"{detail}; not all credentials of {secret} can be read here")
    elif result.login is Login.REFUSED:
        yield finding(PULL_CODE, detail)
    elif result.login is Login.UNKNOWN:
        yield unknown(PULL_CODE, detail)
