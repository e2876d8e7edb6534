"""Cache the namespaces that decisions need, and run the watches of ``serve``.

Namespaces are watched only if the configuration depends on their labels; so is the Secret of the certificate, if the
process has no certificate files.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import structlog

from webhook.kube.objects import ScopedDecoder, SecretObject
from webhook.kube.reflector import Reflector
from webhook.kube.resources import NAMESPACES, SECRETS, Collection
from webhook.kube.rights import MissingRights
from webhook.serve.certificate import TlsSecretHandler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from webhook.kube.client import Client
    from webhook.ops.health import HealthCheck
    from webhook.rules.objects import Namespace
    from webhook.rules.scope import CacheScope
    from webhook.serve.certificate import CertificateLoader

log = structlog.get_logger(__name__)


UNKNOWN = "no namespace is known yet"


class NamespaceCache:
    """A reflector's handler that caches namespaces.

    The reflector's thread writes. The event loop and the thread for large bodies read. Each write is one operation on
    a dictionary, which is atomic.
    """

    def __init__(self) -> None:
        self._namespaces: dict[str, Namespace] = {}

    def get(self, name: str) -> Namespace | None:
        """Return a namespace, or None when it is unknown."""
        return self._namespaces.get(name)

    def replace(self, objects: Iterable[Namespace], _version: str = "") -> None:
        # One assignment of a complete dictionary, so that no decision sees a half-filled one.
        self._namespaces = {namespace.name: namespace for namespace in objects}

    def upsert(self, obj: Namespace) -> None:
        self._namespaces[obj.name] = obj

    def remove(self, obj: Namespace) -> None:
        self._namespaces.pop(obj.name, None)


class WatchState:
    """Tracks the downtime of the watch and reports it in the log and in the detail of a readiness check.

    The check keeps passing: old labels are right for most reviews, and other replicas do not have newer ones. The
    reflector's thread writes; any thread reads.
    """

    def __init__(self, check: HealthCheck, clock: Callable[[], float] = time.monotonic) -> None:
        self._check = check
        self._clock = clock
        self._lost_at: float | None = None
        self._synced = False

    @property
    def stale_seconds(self) -> float:
        """Return the seconds since the watch was lost; 0 while it is open."""
        # It is read once, because the reflector's thread may reset it between the test and the subtraction.
        lost_at = self._lost_at
        return 0.0 if lost_at is None else self._clock() - lost_at

    @property
    def awaited(self) -> list[str]:
        """Return what the API server has not sent yet: the list, or the changes after it."""
        if not self._synced:
            return ["the list of namespaces"]
        return [] if self._lost_at is None else ["a watch of namespaces"]

    def require(self) -> None:
        """Make the check fail until all namespaces are known."""
        self._check.fails("waiting for the list of namespaces")

    def tolerate(self) -> None:
        """Make the check pass although namespaces are not known yet."""
        self._remark()
        self._check.passes()

    def synced(self) -> None:
        """Record that all namespaces are known."""
        self._synced = True
        self._remark(is_lost=self._lost_at is not None)
        self._check.passes()

    def opened(self) -> None:
        if self._lost_at is not None:
            log.info("namespaces are watched again", after=round(self.stale_seconds, 1))
            self._remark()
            # Last, because the log line above needs the time since the loss.
            self._lost_at = None

    def lost(self, cause: str) -> None:
        """Record that the watch broke or could not be opened."""
        if self._lost_at is None:
            effect = "their labels are as last known" if self._synced else UNKNOWN
            log.warning("namespaces are not watched", cause=cause, effect=effect)
            self._remark(is_lost=True)
            # Last, so that the metric does not show a loss that the log and the check do not explain.
            self._lost_at = self._clock()

    def _remark(self, *, is_lost: bool = False) -> None:
        if not self._synced:
            self._check.note = UNKNOWN
        else:
            self._check.note = "the watch is down, labels are as last known" if is_lost else ""


STOP_SECONDS = 20.0
"""Time for a reflector to stop: one request timeout and a little more."""


class ClusterWatches:
    """Starts watches as they are needed, with one shared client, and stops them all."""

    def __init__(self, kubeconfig: Path | None) -> None:
        self._kubeconfig = kubeconfig
        self.rights = MissingRights()
        self._client: Client | None = None
        self._reflectors: list[Reflector[Any, Any]] = []
        self._namespaces: Reflector[Any, Namespace] | None = None

    def watch_namespaces(self, cache: NamespaceCache, state: WatchState, scope: CacheScope) -> None:
        """Keep ``cache`` and ``state`` up to date. Raises UsageError without a usable kubeconfig.

        A call with another scope lists the namespaces again. Until that list arrives, all namespaces count as unknown.
        Labels that were kept for the previous configuration could make this one skip namespaces that it selects.
        """
        decoder = ScopedDecoder(scope)
        reflector: Reflector[Any, Namespace] = Reflector(
            self._connect(),
            Collection(NAMESPACES),
            decoder.namespace,
            decoder.to_namespace,
            cache,
            on_connected=state.opened,
            on_restart=lambda _, cause: state.lost(cause),
            on_synced=state.synced,
        )
        # The old reflector ends before the new one begins: two of them would write into the same cache.
        before, self._namespaces = self._namespaces, reflector
        if before is not None:
            self._reflectors.remove(before)
            before.stop()
            before.join(STOP_SECONDS)
            # After the join: the old reflector could still add namespaces with the labels of the old scope.
            cache.replace(())
        self._start(reflector)

    def watch_certificate(self, namespace: str, name: str, loader: CertificateLoader) -> None:
        """Pass the pair in a Secret to ``loader`` whenever it changes. Raises UsageError as above."""
        secret = Collection(SECRETS, namespace, name)
        self._start(Reflector(self._connect(), secret, SecretObject, _unchanged, TlsSecretHandler(loader)))

    def stop(self) -> None:
        """Stop all watches."""
        for reflector in self._reflectors:
            reflector.stop()

    def _start(self, reflector: Reflector[Any, Any]) -> None:
        self._reflectors.append(reflector)
        reflector.start()

    def _connect(self) -> Client:
        # No lock is needed: the main thread connects before it starts the thread of the configuration, and not
        # afterwards.
        if self._client is None:
            # The import is here because serve does not need the package with certificate files and no
            # namespaceSelector.
            from webhook.kube.connect import connect  # noqa: PLC0415

            self._client = connect(self._kubeconfig, rights=self.rights)
        return self._client


def _unchanged(secret: SecretObject) -> SecretObject:
    return secret
