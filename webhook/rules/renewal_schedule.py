"""Decide when a credential is renewed: at half of its lifetime, earlier by a jitter, and again after a failure.

Everybody who renews by lifetime does it at half of it, which leaves the other half for failures. The times come from
the issued Secret, in wall-clock time. So a standby that takes over, and a restarted process, continue the schedule.
"""

from __future__ import annotations

import zlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from webhook.rules.timing import delay

if TYPE_CHECKING:
    from webhook.rules.renewing import IssuedState

RENEWAL_SHARE = 0.5
"""Share of the lifetime after which a credential is renewed at the latest."""

JITTER_SHARE = 0.1
"""Share of the lifetime by which the renewal is earlier, at most. So sources of one moment are renewed one by one."""

SHORTEST_PAUSE = timedelta(seconds=5)
"""Time between two renewals of one source at least, whatever lifetime an answer names."""

SKEW = timedelta(seconds=5)
"""A credential that seems to be issued later than this from now is renewed: the clock has jumped back."""

RETRY_BASE = 1.0
RETRY_CAP = 300.0
RETRY_SHARE = 20
"""Seconds after the first failure, and at most after many; for short lifetimes a twentieth of the lifetime at most."""


SHORTEST_ATTEMPT = 2.0
"""Seconds that one attempt may take at least, however little time is left."""


class Due(msgspec.Struct, frozen=True):
    """The time of the next renewal, and its cause in a few words."""

    time: datetime
    cause: str


def next_renewal(name: str, state: IssuedState | None, digest: str, now: datetime) -> Due:
    """Return when the credential of a source is renewed next; a time that is not after ``now`` means immediately.

    ``state`` is that of its Secret, or None if the Secret is absent or unusable. ``digest`` is that of its settings.
    """
    if state is None or state.issued_at is None or state.expires_at is None:
        return Due(now, "there is no issued credential")
    if state.issued_for != digest:
        return Due(now, "the settings have changed")
    if state.is_requested:
        return Due(now, "a person has requested it")
    if state.issued_at > now + SKEW:
        return Due(now, "it was issued in the future: the clock has jumped")
    lifetime = max(state.expires_at - state.issued_at, timedelta())
    share = RENEWAL_SHARE - JITTER_SHARE * _jitter(name, state.issued_at)
    return Due(state.issued_at + max(lifetime * share, SHORTEST_PAUSE), "about half of its lifetime is over")


def retry_seconds(failures: int, jitter: float, lifetime: timedelta | None) -> float:
    """Return the seconds until the next attempt after ``failures`` in a row; ``jitter`` is a random number in [0, 1).

    With the lifetime of the last credential, at least eight attempts fit into the half that is left.
    """
    cap = RETRY_CAP if lifetime is None else min(RETRY_CAP, max(RETRY_BASE, lifetime.total_seconds() / RETRY_SHARE))
    return delay(failures, jitter, base=RETRY_BASE, cap=cap)


def attempt_seconds(expires_at: datetime | None, now: datetime, most: float) -> float:
    """Return the seconds that one attempt may take: ``most``, or half of what is left of the previous credential.

    So an issuer that hangs leaves time to ask it again. Without a valid credential there is no reason for haste.
    """
    left = 0.0 if expires_at is None else (expires_at - now).total_seconds()
    return most if left <= 0 else min(most, max(left / 2, SHORTEST_ATTEMPT))


def _jitter(name: str, issued_at: datetime) -> float:
    """Return a number in [0, 1) that every process computes alike for one credential."""
    return zlib.crc32(f"{name} {issued_at.isoformat()}".encode()) / 2**32
