"""Find the credentials that the kubelet tries for an image of a Pod, from all Secrets that the Pod references.

The kubelet puts the entries of all these Secrets into one keyring. It tries every entry that covers the image: the most
specific key first, and entries with the same key in the order of the references. It pulls without a credential only if
no entry covers the image. So the pull of a public image fails if the only credential that covers it is refused. One
entry that cannot be decoded makes the pull of every image of the Pod fail.

Sources: k8s.io/kubernetes v1.37, pkg/credentialprovider/secrets/secrets.go (MakeDockerKeyring),
pkg/credentialprovider/keyring.go (Add, Lookup), pkg/kubelet/kuberuntime/kuberuntime_image.go (PullImage).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

import msgspec

from webhook.rules.dockerconfig import Credentials
from webhook.rules.registry_key import covering_keys, read_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook.rules.credential import Credential

NO_CREDENTIALS = Credentials({})


class SecretState(Enum):
    """The state of a Secret that a Pod references."""

    READ = auto()
    """Its credentials are known. It may have none, as a Secret of another type."""
    ABSENT = auto()
    UNREAD = auto()
    """The right to read it is missing."""
    MALFORMED = auto()
    """The kubelet cannot decode it, so it pulls no image of the Pod."""


class ReferencedSecret(msgspec.Struct, frozen=True, eq=False):
    """A Secret that Pods reference. Equal ones are shared, so they are compared by identity."""

    name: str
    state: SecretState = SecretState.READ
    credentials: Credentials = msgspec.field(default_factory=lambda: NO_CREDENTIALS)
    copy_of: str = ""
    """The pull secret that it is a copy of; empty for a Secret of the namespace."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One credential that the kubelet tries for an image, with the key that covers it."""

    secret: ReferencedSecret
    key: str
    credential: Credential = field(repr=False)


def offers(secrets: Sequence[ReferencedSecret], image: str) -> tuple[Offer, ...]:
    """Return the credentials that the kubelet tries for an image, in its order; none if it pulls without one."""
    keys = dict.fromkeys(key for secret in secrets for key in secret.credentials)
    return tuple(
        Offer(secret, key, secret.credentials[key])
        # The keys are the outer loop: entries with one key are tried together, in the order of the references.
        for key in covering_keys(keys, image)
        for secret in secrets
        if key in secret.credentials
    )


def is_same_login(offer: Offer, image: str, others: Mapping[str, Credential]) -> bool:
    """Return whether one of ``others``, by key, is the user name and the password of an offer at the same registry."""
    return any(
        (credential.username, credential.password) == (offer.credential.username, offer.credential.password)
        and (read_key(key).host == read_key(offer.key).host or read_key(key).covers(image))
        for key, credential in others.items()
    )
