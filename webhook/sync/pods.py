"""Read the Pods that pull with a pull secret: those of the canary that cannot, and images for a proof."""

from __future__ import annotations

from base64 import b64encode
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

import structlog

from webhook.errors import ApiError, NotFound
from webhook.kube.pods import each_pod, written_at
from webhook.rules.dockerconfig import content_hash
from webhook.rules.pulls import PulledImages, PullingPod, changed_images, refused_pulls
from webhook.rules.state_document import credentials_of
from webhook.sync.rollout_tests import PodsSeen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from webhook.kube.client import Client
    from webhook.rules.configuration import PullSecret
    from webhook.rules.pulls import PullFailure
    from webhook.rules.state_document import LastGood

log = structlog.get_logger(__name__)


MOST_KEPT = 100
"""Images of one pull secret that are kept for its proofs. A proof asks for fewer."""


class CanaryNamespaces(Protocol):
    """Returns the canary namespaces of a pull secret whose copy has a content, in order."""

    def __call__(self, name: str, content: str) -> Sequence[str]:
        """Return their names."""


class CanaryPods:
    """Looks at the Pods of the canary; safe from any thread."""

    def __init__(self, client: Client, namespaces: CanaryNamespaces) -> None:
        self._client = client
        self._namespaces = namespaces

    def __call__(self, entry: PullSecret, base: LastGood | None, proposed: LastGood) -> PodsSeen:
        """Return the pulls with the proposed content that a registry refuses."""
        is_changed = changed_images(credentials_of(base), credentials_of(proposed))
        refused: list[PullFailure] = []
        watched, forbidden, is_partial = 0, [], False
        for namespace in self._namespaces(entry.name, content_hash(proposed.payload)):
            try:
                refused += self._refused(entry.name, namespace, proposed, is_changed)
                watched += 1
            except ApiError as error:
                if error.status == HTTPStatus.FORBIDDEN:
                    forbidden.append(namespace)
                else:
                    is_partial = True
                    log.info("pods not read", namespace=namespace, cause=str(error))
        return PodsSeen(tuple(sorted(refused)), watched, tuple(forbidden), is_partial)

    def _refused(
        self, name: str, namespace: str, proposed: LastGood, is_changed: Callable[[str], bool]
    ) -> list[PullFailure]:
        suspects: list[PullingPod] = []

        def keep(pod: PullingPod) -> None:
            if refused_pulls(pod, name, is_changed):
                suspects.append(pod)

        each_pod(self._client, namespace, keep)
        if not suspects:
            return []
        try:
            since = written_at(self._client, name, namespace, b64encode(proposed.payload).decode())
        except NotFound:
            return []
        if since is None:
            return []
        return [failure for pod in suspects for failure in refused_pulls(pod, name, is_changed, since)]


class PodImages:
    """Reads the images that Pods of the whole cluster pull with a pull secret, once for each new content."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, tuple[str, list[str]]] = {}

    def __call__(self, entry: PullSecret, base: LastGood | None, proposed: LastGood) -> Sequence[str]:
        """Return one image of each repository whose credentials the rotation changes, the most used first.

        Each proof of a content is about the same images. Raises ApiError if the Pods cannot be read.
        """
        content = content_hash(proposed.payload)
        known, images = self._known.get(entry.name, ("", []))
        if known == content:
            return images
        found = PulledImages(entry.name, changed_images(credentials_of(base), credentials_of(proposed)))
        each_pod(self._client, None, found.add)
        images = found.most_used(MOST_KEPT)
        self._known[entry.name] = content, images
        return images
