"""Whether the credentials of the sources still log in to their registries; only when somebody asks for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from webhook.live.check.outcome import Check, Context, Outcome, finding, unknown
from webhook.live.secrets import read_sources
from webhook.registries.login import Login

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.registries.login import LoginResult, Registries

CODE = "PSW042"
LOGINS_AT_ONCE = 8


def logins(registries: Registries) -> Check:
    """Return the check that logs in."""

    def look(context: Context) -> Iterator[Outcome]:
        sources = read_sources(context.reader, context.installed)
        tried = [
            (name, key, credential)
            for name in context.installed.configuration.source_names
            for key, credential in sorted((sources.credentials(name) or {}).items())
        ]
        with ThreadPoolExecutor(LOGINS_AT_ONCE, "login") as pool:
            results = pool.map(lambda each: registries.log_in(each[1], each[2]), tried)
            for (name, key, _), result in zip(tried, results, strict=True):
                yield from _outcome(name, key, result)

    return Check((CODE,), look)


def _outcome(source: str, key: str, result: LoginResult) -> Iterator[Outcome]:
    about = f"the credential of source {source} for {key}: {result.why}"
    if result.login is Login.REFUSED:
        yield finding(CODE, about)
    elif result.login is Login.UNKNOWN:
        yield unknown(CODE, about)
