"""Read Pods for sync: a watch of those that have not begun to run, for healing, and single reads for a rotation.

A rotation reads the Pods of its canary that cannot pull, and the images of all Pods for a proof.
"""

from __future__ import annotations

from base64 import b64encode
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import structlog

from webhook.errors import ApiError, NotFound
from webhook.kube.pods import PENDING, PodObject, each_pod, to_pulled_pod, written_at
from webhook.kube.reflector import Reflector
from webhook.kube.resources import PODS, Collection
from webhook.ops.sync_status import WatchStatus
from webhook.rules.dockerconfig import content_hash
from webhook.rules.healing import PulledPod
from webhook.rules.pulls import PulledImages, PullingPod, changed_images, refused_pulls
from webhook.rules.state_document import credentials_of
from webhook.sync.rollout_tests import PullReport
from webhook.sync.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from webhook.kube.client import Client
    from webhook.rules.configuration import Configuration, PullSecret
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

    def __call__(self, entry: PullSecret, base: LastGood | None, proposed: LastGood) -> PullReport:
        """Return the pulls with the proposed content that a registry refuses."""
        is_changed = changed_images(credentials_of(base), credentials_of(proposed))
        refused: list[PullFailure] = []
        watched, forbidden, is_partial = 0, [], False
        for namespace in self._namespaces(entry.name, content_hash(proposed.payload)):
            try:
                refused += self._refused(entry.name, namespace, proposed, is_changed)
                watched += 1
            except ApiError as error:
                # A missing right lasts, so it does not hold up the soak. After any other failure the look is repeated.
                if error.status == HTTPStatus.FORBIDDEN:
                    forbidden.append(namespace)
                else:
                    is_partial = True
                    log.info("pods not read", namespace=namespace, cause=str(error))
        return PullReport(tuple(sorted(refused)), watched, tuple(forbidden), is_partial)

    def _refused(
        self, name: str, namespace: str, proposed: LastGood, is_changed: Callable[[str], bool]
    ) -> list[PullFailure]:
        suspects: list[PullingPod] = []

        def keep(pod: PullingPod) -> None:
            # Only suspects are kept, because a tenant chooses the number of Pods.
            if refused_pulls(pod, name, is_changed):
                suspects.append(pod)

        each_pod(self._client, namespace, keep)
        if not suspects:
            return []
        try:
            # Read only for suspects: while all Pods are fine, a look is one list for each namespace.
            since = written_at(self._client, name, namespace, b64encode(proposed.payload).decode())
        except NotFound:
            return []
        # It has another content by now, so the failure shows nothing about this one.
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
        cached_content, images = self._known.get(entry.name, ("", []))
        if cached_content == content:
            return images
        # The Pods of a whole cluster are a large list, so they are not read for each proof.
        pulled_images = PulledImages(entry.name, changed_images(credentials_of(base), credentials_of(proposed)))
        each_pod(self._client, None, pulled_images.add)
        images = pulled_images.most_used(MOST_KEPT)
        self._known[entry.name] = content, images
        return images


class _Open(NamedTuple):
    """An open watch, the table that it fills, and the parts of the configuration that its decoder uses."""

    reflector: Reflector[Any, PulledPod]
    table: Table[PulledPod]
    scope: tuple[str, tuple[str, ...]]


class _PodTable(Table[PulledPod]):
    """Pods; ``arrived(pod)`` is called for each one that the watch reports."""

    def __init__(self, arrived: Callable[[PulledPod], None]) -> None:
        # Looks read this table at their own pace, so changes are not reported.
        super().__init__(same=lambda *_: True, changed=lambda _: None)
        self._arrived = arrived

    def upsert(self, obj: PulledPod) -> None:
        super().upsert(obj)
        self._arrived(obj)


class PodWatch:
    """The Pods in the phase Pending. Only one thread at a time may call :meth:`follow`."""

    def __init__(
        self, client: Client, arrived: Callable[[PulledPod], None], on_restart: Callable[[Collection, str], None]
    ) -> None:
        self._client = client
        self._arrived = arrived
        self._on_restart = on_restart
        self._open: _Open | None = None

    @property
    def is_open(self) -> bool:
        """True while Pods are watched."""
        return self._open is not None

    @property
    def pods(self) -> Table[PulledPod] | None:
        """The Pods; None until they have been listed."""
        # Read once, because follow() may replace it meanwhile.
        current = self._open
        return current.table if current is not None and current.reflector.has_synced else None

    def follow(self, configuration: Configuration | None) -> None:
        """Watch Pods, and list them again if the configuration reads other parts of them; None ends the watch."""
        # The decoder keeps only what this part of the configuration names, so another part needs a new list.
        scope = None if configuration is None else (configuration.opt_in.label, configuration.secret_names)
        if self._open is not None and self._open.scope != scope:
            self._open.reflector.stop()
            self._open = None
        if configuration is None or scope is None or self._open is not None:
            return
        # A table of its own: the previous reflector may fill the old one until its thread ends.
        table = _PodTable(self._arrived)
        reflector: Reflector[Any, PulledPod] = Reflector(
            self._client,
            Collection(PODS, fields=PENDING),
            PodObject,
            partial(to_pulled_pod, configuration=configuration),
            table,
            on_restart=self._on_restart,
        )
        self._open = _Open(reflector, table, scope)
        reflector.start()

    def statuses(self) -> tuple[WatchStatus, ...]:
        """Return the status of the watch; empty while there is none."""
        current = self._open
        if current is None:
            return ()
        reflector = current.reflector
        return (WatchStatus(str(reflector.collection), reflector.has_synced, reflector.is_connected),)
