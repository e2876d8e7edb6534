"""Takes a Lease out of an election, so that nobody leads: for who must be the only one that writes, and soon be gone.

Those who compete respect the Lease of another until it expires. So it is taken from whoever has it, for long enough to
do the work, and not renewed. It says by its holder what is going on, and by its owner when it may go.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from webhook.errors import Conflict, NotFound
from webhook.kube.lease import Lease, LeaseSpec, Timing, decode_lease, timestamp
from webhook.kube.resources import LEASES

if TYPE_CHECKING:
    from webhook.kube.client import Client

ATTEMPTS = 10
"""The leader renews every two seconds: to lose against it twice in a row is bad luck, ten times is a defect."""

PAUSE_SECONDS = 0.1

TERM_SECONDS = Timing().duration
"""After so long whoever had the Lease has stopped by itself, whether it has learned of the loss or not."""


class OwnerReference(msgspec.Struct, frozen=True, rename="camel"):
    """A ``metav1.OwnerReference``: what it is on goes when the owner does."""

    api_version: str
    kind: str
    name: str
    uid: str


def take_lease(
    client: Client, namespace: str, name: str, holder: str, seconds: int, owner: OwnerReference | None
) -> tuple[Lease, float]:
    """Take a Lease from whoever holds it, for so many seconds, and leave it to ``owner``.

    Returns the Lease, and for how many seconds from now on whoever had it may still believe to have it.

    Raises:
        NotFound: there is no such namespace.
        Conflict: it changed again and again.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return _take(client, namespace, name, holder, seconds, owner)
        except Conflict:
            time.sleep(PAUSE_SECONDS)
    return _take(client, namespace, name, holder, seconds, owner)


def delete_lease(client: Client, lease: Lease) -> None:
    """Delete a Lease that nobody competes for any more; one that is gone is no failure."""
    metadata = lease.metadata
    try:
        client.delete(
            LEASES, metadata.name, metadata.namespace, uid=metadata.uid, resource_version=metadata.resource_version
        )
    except NotFound:
        return


def _take(
    client: Client, namespace: str, name: str, holder: str, seconds: int, owner: OwnerReference | None
) -> tuple[Lease, float]:
    now, manager = timestamp(), holder[-128:]
    owners = {} if owner is None else {"ownerReferences": [msgspec.to_builtins(owner)]}
    try:
        before = decode_lease(client.get(LEASES, name, namespace))
    except NotFound:
        body = _body({"namespace": namespace, "name": name, **owners}, LeaseSpec(holder, seconds, now, now, 0))
        return decode_lease(client.apply(LEASES, body, field_manager=manager, force=False)), 0.0
    spec = LeaseSpec(holder, seconds, now, now, (before.spec.lease_transitions or 0) + 1)
    body = _body({"resourceVersion": before.metadata.resource_version, **owners}, spec)
    taken = decode_lease(client.merge_patch(LEASES, name, body, namespace, field_manager=manager))
    return taken, TERM_SECONDS if before.spec.holder_identity else 0.0


def _body(metadata: dict[str, Any], spec: LeaseSpec) -> dict[str, Any]:
    return {"metadata": metadata, "spec": msgspec.to_builtins(spec)}
