"""Check what the controller stores: the last good content of each pull secret, and a mass removal that is held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.core.brake import confirm_command
from webhook.core.dockerconfig import content_hash
from webhook.core.state_document import STATE_SUFFIX, decode_document
from webhook.kube.resources import SECRETS
from webhook.live.check.outcome import Check, Context, Outcome, finding
from webhook.live.secrets import read_sources
from webhook.sync.shapes import decode_secret
from webhook.sync.state_keeper import problem_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN = 5
"""Pull secrets that are named in one finding."""


def _look(context: Context) -> Iterator[Outcome]:
    installed = context.installed
    name, where = f"{installed.fullname}{STATE_SUFFIX}", installed.release.namespace
    content = context.reader.one(SECRETS, name, where)
    secret = None if content is None else decode_secret(content)
    if secret is not None and (problem := problem_of(secret)):
        yield finding("PSW044", f"Secret {where}/{name}: {problem}: kubectl --namespace {where} delete secret {name}")
        return
    stored = decode_document(secret.data or {} if secret is not None else {})
    if stored.held is not None:
        held, command = stored.held, confirm_command(where, name, stored.held.digest)
        yield finding(
            "PSW035",
            f"the configuration would remove {held.copies} of {held.total} copies, so it removes nothing: correct "
            f"it, or confirm the removals: {command}",
        )
    sources = read_sources(context.reader, installed)
    lacking = []
    for entry in installed.configuration.pull_secrets:
        expected, kept = sources.expected(entry), stored.last_good.get(entry.name)
        same = kept is not None and kept.source_names == entry.sources and content_hash(kept.payload) == expected.hash
        if expected.hash is not None and not same:
            lacking.append(entry.name)
    if lacking:
        more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
        yield finding("PSW044", f"Secret {where}/{name} lacks the content of {', '.join(lacking[:SHOWN])}{more}")


STORED_STATE = Check(("PSW035", "PSW044"), _look)
