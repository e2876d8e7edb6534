"""Group Pods by the credentials that the kubelet tries for their images, and name the origin of each credential."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from webhook.rules.keyring import SecretState, offers
from webhook.rules.registry_key import DOCKER_HUB_KEY, HUB_DOMAIN, read_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.rules.configuration import Configuration
    from webhook.rules.dockerconfig import Credentials
    from webhook.rules.keyring import Offer, ReferencedSecret


class PodGroup(msgspec.Struct, frozen=True):
    """The Pods of one workload that pull the same images with the same Secrets, which are in their order."""

    namespace: str
    workload: str
    images: tuple[str, ...]
    secrets: tuple[ReferencedSecret, ...]
    pods: int = 1

    def in_state(self, state: SecretState) -> list[str]:
        """Return the names of the referenced Secrets in a state."""
        return [secret.name for secret in self.secrets if secret.state is state]


class CredentialOrigin(NamedTuple):
    """The origin of a credential: a source of a pull secret, or a Secret of the namespace without a pull secret.

    ``source`` is empty if it is not known which source of the pull secret has the credential.
    """

    pull_secret: str
    source: str

    def __str__(self) -> str:
        if not self.pull_secret:
            return f"Secret {self.source} of the namespace" if self.source else "no credential"
        return f"{self.source or 'a source'} of {self.pull_secret}"

    def is_of(self, name: str) -> bool:
        """Return whether this is what a person calls ``name``: a source, a pull secret or a Secret."""
        return name in (self.pull_secret, self.source)


class Owners(msgspec.Struct, frozen=True):
    """The sources that can have given each key of a pull secret. The first source that names a registry wins."""

    by_key: Mapping[tuple[str, str], tuple[str, ...]] = msgspec.field(default_factory=dict)
    others: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """The same for all other keys of a pull secret; an empty name is a source or a content that it had before."""

    def candidates(self, offer: Offer) -> tuple[str, ...]:
        """Return the sources of which one has given a credential in a copy; none for another Secret."""
        pull_secret = offer.secret.copy_of
        return self.by_key.get((pull_secret, offer.key)) or self.others.get(pull_secret, ())

    def origin(self, offer: Offer) -> CredentialOrigin:
        """Return the origin of a credential in a Secret of a namespace."""
        pull_secret, candidates = offer.secret.copy_of, self.candidates(offer)
        if not pull_secret:
            return CredentialOrigin("", offer.secret.name)
        return CredentialOrigin(pull_secret, candidates[0] if len(candidates) == 1 else "")


def owners_of(configuration: Configuration, sources: Mapping[str, Credentials]) -> Owners:
    """Return the owner of each key, given the credentials of the sources that are known.

    A source that is not known can have every key, unless a source before it has the key.
    """
    by_key: dict[tuple[str, str], tuple[str, ...]] = {}
    others: dict[str, tuple[str, ...]] = {}
    for entry in configuration.pull_secrets:
        unknown: tuple[str, ...] = ()
        for source in entry.sources:
            if source not in sources:
                unknown = (*unknown, source)
            for key in sources.get(source, ()):
                by_key.setdefault((entry.name, key), (*unknown, source))
        for token in entry.tokens:
            named = f"token of {token.service_account}"
            by_key.setdefault((entry.name, str(read_key(token.registry))), (*unknown, named))
        if (hub := by_key.get((entry.name, HUB_DOMAIN))) is not None:
            by_key.setdefault((entry.name, DOCKER_HUB_KEY), hub)  # a copy has this spelling
        others[entry.name] = unknown or (*entry.sources, "")
    return Owners(by_key, others)


class Keyrings:
    """Looks up the credentials for the images of Pods; many Pods have the same images and Secrets."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[ReferencedSecret, ...], str], tuple[Offer, ...]] = {}

    def offers(self, secrets: tuple[ReferencedSecret, ...], image: str) -> tuple[Offer, ...]:
        """Return the credentials that the kubelet tries for an image, in its order."""
        cached = self._known.get((secrets, image))
        if cached is None:
            cached = self._known[secrets, image] = offers(secrets, image)
        return cached
