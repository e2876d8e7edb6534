"""Decide about the tokens that a copy holds for the ServiceAccount of its own namespace.

Each namespace then pulls as itself: the registry sees the namespace in the ``sub`` of the token. Such a copy has a
content of its own, which only the copy keeps. Its annotations carry the times and a seal: a digest of everything that
the copy was made of. So a restart, a change of leader, an edit by a person, another configuration, another content of
the other sources and a recreated ServiceAccount need no state of their own: the seal is right, or the copy is made
again with a new token.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from webhook.rules.dockerconfig import content_hash
from webhook.rules.renewal_schedule import next_renewal
from webhook.rules.renewing import format_time

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from webhook.rules.configuration import PullSecret
    from webhook.rules.objects import Copy, ServiceAccount
    from webhook.rules.renewing import IssuedState

TO_BE_ISSUED = "to be issued"
"""In place of a content hash: the copy needs a new token, so no existing content is right."""

LONGEST_SEAL = 64
"""Characters of the annotation with a seal."""

URGENT_SHARE = 0.25
"""Share of the lifetime. A token with less than this left is renewed without regard to the rate of renewals."""


def hash_for_copies(entry: PullSecret, payload: bytes) -> str:
    """Return the hash that the copies of a pull secret are compared with, given the content of its sources.

    With tokens of the namespaces, contents differ. Then it is a digest of the content of the other sources and of the
    settings of the tokens, which all copies have in common.
    """
    if not entry.tokens:
        return content_hash(payload)
    return _digest([content_hash(payload), [asdict(token) for token in entry.tokens]])


def seal(basis: str, account_uids: Sequence[str], content: str, issued_at: datetime, expires_at: datetime) -> str:
    """Return the seal of a copy.

    ``basis`` is the hash for copies, ``account_uids`` are those of the ServiceAccounts in the order of the tokens, and
    ``content`` is the hash of its whole content.
    """
    return _digest([basis, list(account_uids), content, format_time(issued_at), format_time(expires_at)])


def is_sealed(entry: PullSecret, copy: Copy, basis: str, accounts: Mapping[str, str]) -> bool:
    """Return whether a copy is as it was issued, for these settings; ``accounts`` has the UIDs by name."""
    issued = copy.issued
    if issued.issued_at is None or issued.expires_at is None:
        return False
    uids = [accounts.get(token.service_account, "") for token in entry.tokens]
    return issued.issued_for == seal(basis, uids, copy.content_hash, issued.issued_at, issued.expires_at)


def absent_accounts(entry: PullSecret, accounts: Mapping[str, str]) -> list[str]:
    """Return the ServiceAccounts that a namespace lacks for the tokens of a pull secret."""
    return sorted({token.service_account for token in entry.tokens} - accounts.keys())


def token_accounts(accounts: Iterable[ServiceAccount], names: Collection[str]) -> dict[str, str]:
    """Return the UIDs by name of the ServiceAccounts with one of these names; one that is being deleted is gone."""
    return {account.name: account.uid for account in accounts if account.name in names and not account.terminating}


def renewal_time(copy: Copy, now: datetime) -> datetime:
    """Return when the tokens in a sealed copy are renewed; not after ``now`` means immediately."""
    return next_renewal(f"{copy.namespace}/{copy.name}", copy.issued, copy.issued.issued_for, now).time


def expected_hash(
    entry: PullSecret, copy: Copy | None, basis: str, accounts: Mapping[str, str], now: datetime | None
) -> str:
    """Return the content hash that a copy with tokens must have: its own, or :data:`TO_BE_ISSUED`.

    Without ``now``, the time of the renewal is not taken into account.
    """
    if copy is None or not is_sealed(entry, copy, basis, accounts):
        return TO_BE_ISSUED
    return TO_BE_ISSUED if now is not None and renewal_time(copy, now) <= now else copy.content_hash


def is_urgent(issued: IssuedState, now: datetime) -> bool:
    """Return whether a token has so little of its lifetime left that its renewal must not wait for others."""
    if issued.issued_at is None or issued.expires_at is None:
        return True
    return issued.expires_at - now < max((issued.expires_at - issued.issued_at) * URGENT_SHARE, timedelta())


def _digest(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
