"""A state of the loop to show: one of everything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from webhook.ops.sync_status import (
    ContendedStatus,
    ExpiryStatus,
    FailingStatus,
    HealingStatus,
    LeaderStatus,
    PullSecretStatus,
    QueueStatus,
    RolloutStatus,
    SourceStatus,
    StaleCopy,
    StoppedOwner,
    SyncStatus,
    TokensStatus,
    UnreconciledStatus,
    WatchStatus,
)
from webhook.rules.copy_status import CopyState
from webhook.rules.rollout import Stage

EXPIRES = datetime(2026, 3, 1, tzinfo=UTC)
NUMBERS = {state: number for number, state in enumerate(CopyState, start=1)}

PULL = PullSecretStatus(
    name="registry",
    retired=False,
    ready=True,
    problem="",
    sources=("harbor",),
    selected_namespaces=15,
    copies=NUMBERS,
    not_current=(StaleCopy("a", CopyState.FAILING, "denied"),),
    content_since="2025-12-31T22:00:00+00:00",
    rotation_seconds=4.2,
    rollout=RolloutStatus(
        Stage.CANARY,
        datetime(2025, 12, 31, 23, tzinfo=UTC),
        message="2 of 3 canary namespaces have the new content",
        canary_namespaces=3,
        canary_reached=2,
        copies=15,
        copies_reached=2,
    ),
    tokens=TokensStatus(datetime(2026, 1, 1, 12, tzinfo=UTC), overdue=3),
)

STATUS = SyncStatus(
    version="0.0.0",
    release="psw",
    release_namespace="psw-system",
    leader=LeaderStatus(leading=True, lease="psw-sync", identity="me", holder="me"),
    pull_secrets=(PULL,),
    sources=(
        SourceStatus(
            "harbor",
            valid=True,
            registries=2,
            registry_names=("ghcr.io", "registry.example.com"),
            created="2025-12-02T00:00:00Z",
            expires_at=EXPIRES,
            expiries=(
                ExpiryStatus("ghcr.io", EXPIRES, "pullsecrets.webhook/expires-at", EXPIRES - timedelta(days=90)),
            ),
        ),
        SourceStatus("ghcr", valid=False, reason="source-absent", message="it does not exist"),
        SourceStatus("quay", valid=None, renews=True),
    ),
    watches=(
        WatchStatus("namespaces", synced=True, connected=True),
        WatchStatus("secrets named registry", synced=True, connected=False),
    ),
    queue=QueueStatus(
        waiting=3, working=2, backing_off=1, added=40, retried=5, unfinished_seconds=0.75, longest_seconds=0.5
    ),
    oldest_unreconciled=UnreconciledStatus("a", 7.0),
    last_full_pass_seconds=30.0,
    failing_namespaces=1,
    failing=(FailingStatus("a", "denied"),),
    contended_objects={"ServiceAccount": 1},
    contended=(ContendedStatus("ServiceAccount", "a", "default", 60.0),),
    undone_writes=6,
    paused_seconds=0.25,
    held_removals=60,
    held_configuration="0123456789ab",
    problems={"source-absent": 1, "copy-conflict": 4},
    evictions=HealingStatus(
        per_minute=20,
        used=3,
        evicted=7,
        pods={"healing-due": 2, "healing-trial": 4},
        stalled_seconds=9.0,
        stopped_owners=1,
        stopped=(StoppedOwner("team-a", "ReplicaSet/web"),),
    ),
)


def status(**changes: object) -> SyncStatus:
    """Return this state with some of it changed."""
    return msgspec.structs.replace(STATUS, **changes)
