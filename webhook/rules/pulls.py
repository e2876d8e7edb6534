"""Judge Pods by their pulls: a failure that a rotation has caused, and the images that are worth a proof.

A node reports a failed pull in the status of the container, and shows neither the credential that it used nor the time.
So a Pod counts against a new content only if all of this is known:

- The Pod references the pull secret, and the rotation changes the credentials that a node sends for the image.
- The failure began after the copy in its namespace got the new content. The earliest possible time is the one when the
  Pod was created, when its node accepted it, or when the container last ended.
- The node reports that the registry refuses the pull. A tag that does not exist, a registry that does not answer, a
  certificate that is not trusted and a rate limit are not faults of a credential. A node that only reports that it
  waits does not count: its next attempt reports the cause again.

Sources: k8s.io/kubernetes v1.35, pkg/kubelet/images/image_manager.go (EnsureImageExists); containerd 2,
core/remotes/docker/{authorizer,resolver}.go; containers/image v5, docker/{docker_client,errors}.go (CRI-O).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from webhook.rules.images import image_name
from webhook.rules.registry_key import covering_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from webhook.rules.credential import Credential

PULL_FAILURES = frozenset({"ErrImagePull", "ImagePullBackOff"})
"""The reasons with which a container waits after a failed pull. They do not show whether a credential is the cause: a
registry may hide with "not found" that one is needed."""

LONGEST_MESSAGE = 8192
"""Characters of a message that are read; a node cuts none off."""

_REFUSAL = re.compile(
    r"\b401 Unauthorized|\b403 Forbidden|status code (?:from registry )?40[13]\b|authorization failed|"
    r"pull access denied|requested access to the resource is denied|"
    r"authentication required|no basic auth credentials|invalid username/password|"
    r"(?<![\w/.:@-])(?:unauthorized|denied): ",
    re.IGNORECASE,
)
"""The words of containerd and CRI-O about a refusal. No image reference matches: it has no space."""


class WaitingContainer(msgspec.Struct, frozen=True):
    """A container that waits: its image as the Pod names it, and what the node reports."""

    image: str
    reason: str
    message: str = ""
    ended: datetime | None = None
    """The time when it last ran, if it did."""


class PullingPod(msgspec.Struct, frozen=True):
    """The fields of a Pod that show its pulls."""

    namespace: str
    name: str
    created: datetime
    accepted: datetime | None = None
    """The time when its node accepted it; None before that."""
    references: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    waiting: tuple[WaitingContainer, ...] = ()


class PullFailure(NamedTuple):
    """A pull that a registry refuses to a Pod."""

    namespace: str
    pod: str
    image: str


def changed_images(before: Mapping[str, Credential], after: Mapping[str, Credential]) -> Callable[[str], bool]:
    """Return the function that returns whether nodes send other credentials for an image after a rotation."""
    # Compared with their order, because the kubelet tries them in it.
    return lambda image: _covering(before, image) != _covering(after, image)


def _covering(credentials: Mapping[str, Credential], image: str) -> list[tuple[str, Credential]]:
    return [(key, credentials[key]) for key in covering_keys(credentials, image)]


def is_refusal(message: str) -> bool:
    """Return whether a node reports in this message that a registry refused a pull."""
    # Bounded, because a registry chooses a part of the message.
    return _REFUSAL.search(message[:LONGEST_MESSAGE]) is not None


def refused_pulls(
    pod: PullingPod, secret: str, is_changed: Callable[[str], bool], since: datetime | None = None
) -> list[PullFailure]:
    """Return the refused pulls of a Pod that references a pull secret, if they began after ``since``.

    ``is_changed`` returns whether the rotation changes the credentials for an image.
    """
    if secret not in pod.references:
        return []
    return [
        PullFailure(pod.namespace, pod.name, container.image)
        for container in pod.waiting
        if container.reason in PULL_FAILURES
        and is_refusal(container.message)
        and (since is None or _earliest(pod, container) > since)
        and image_name(container.image) is not None
        and is_changed(container.image)
    ]


def _earliest(pod: PullingPod, container: WaitingContainer) -> datetime:
    # The node reports no time of a pull. It cannot have begun before the latest of these.
    return max(filter(None, (pod.created, pod.accepted, container.ended)))


class PulledImages:
    """Collects one image of each repository that Pods pull with a pull secret: the one of the newest Pod."""

    def __init__(self, secret: str, is_changed: Callable[[str], bool]) -> None:
        self._secret = secret
        self._is_changed = is_changed
        self._found: dict[str, tuple[int, datetime, str]] = {}

    def add(self, pod: PullingPod) -> None:
        """Take the images of a Pod, if it references the pull secret."""
        if self._secret not in pod.references:
            return
        # Each image once: several containers with it are still one Pod that needs it.
        for image in dict.fromkeys(pod.images):
            name = image_name(image)
            if name is None or not self._is_changed(image):
                continue
            pods, created, chosen = self._found.get(name, (0, pod.created, image))
            self._found[name] = (pods + 1, *max((created, chosen), (pod.created, image)))

    def most_used(self, number: int) -> list[str]:
        """Return so many images at most: the repositories with the most Pods first, then by name."""
        order = sorted((-pods, name, image) for name, (pods, _, image) in self._found.items())
        return [image for _, _, image in order[:number]]
