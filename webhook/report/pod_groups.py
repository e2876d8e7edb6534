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


class Origin(NamedTuple):
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
    """The source of each key of a pull secret. The first source that names a registry wins."""

    by_key: Mapping[tuple[str, str], str] = msgspec.field(default_factory=dict)
    others: Mapping[str, str] = msgspec.field(default_factory=dict)
    """The source of all other keys of a pull secret: the only one whose keys are not known."""

    def origin(self, offer: Offer) -> Origin:
        """Return the origin of a credential in a Secret of a namespace."""
        pull_secret = offer.secret.copy_of
        if not pull_secret:
            return Origin("", offer.secret.name)
        return Origin(pull_secret, self.by_key.get((pull_secret, offer.key)) or self.others.get(pull_secret, ""))


def owners_of(configuration: Configuration, sources: Mapping[str, Credentials]) -> Owners:
    """Return the owner of each key, given the credentials of the sources that are known."""
    by_key: dict[tuple[str, str], str] = {}
    others: dict[str, str] = {}
    for entry in configuration.pull_secrets:
        for source in entry.sources:
            for key in sources.get(source, ()):
                by_key.setdefault((entry.name, key), source)
        for token in entry.tokens:
            by_key.setdefault((entry.name, str(read_key(token.registry))), f"token of {token.service_account}")
        if (hub := by_key.get((entry.name, HUB_DOMAIN))) is not None:
            by_key.setdefault((entry.name, DOCKER_HUB_KEY), hub)  # a copy has this spelling
        unknown = [source for source in entry.sources if source not in sources]
        if len(unknown) == 1:
            others[entry.name] = unknown[0]
    return Owners(by_key, others)


class Keyrings:
    """Looks up the credentials for the images of Pods; many Pods have the same images and Secrets."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[ReferencedSecret, ...], str], tuple[Offer, ...]] = {}

    def offers(self, secrets: tuple[ReferencedSecret, ...], image: str) -> tuple[Offer, ...]:
        """Return the credentials that the kubelet tries for an image, in its order."""
        found = self._known.get((secrets, image))
        if found is None:
            found = self._known[secrets, image] = offers(secrets, image)
        return found
