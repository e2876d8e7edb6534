"""Run the watches of ``serve`` on the API server: the Secret of its certificate, and the labels of namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from webhook.kube.objects import Shapes
from webhook.kube.reflector import Reflector
from webhook.kube.resources import NAMESPACES, SECRETS, Collection
from webhook.kube.rights import MissingRights
from webhook.serve.certificate import TlsSecret, TlsSecretHandler

if TYPE_CHECKING:
    from pathlib import Path

    from webhook.kube.client import Client
    from webhook.rules.objects import Namespace
    from webhook.rules.scope import CacheScope
    from webhook.serve.certificate import CertificateIntake
    from webhook.serve.namespaces import KnownNamespaces, WatchState


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

    def watch_namespaces(self, known: KnownNamespaces, state: WatchState, scope: CacheScope) -> None:
        """Keep ``known`` and ``state`` up to date. Raises UsageError without a usable kubeconfig.

        A call with another scope lists the namespaces again. Until that list arrives, all namespaces count as unknown.
        Labels that were kept for the previous configuration could make this one skip namespaces that it selects.
        """
        shapes = Shapes(scope)
        reflector: Reflector[Any, Namespace] = Reflector(
            self._connected(),
            Collection(NAMESPACES),
            shapes.namespace,
            shapes.to_namespace,
            known,
            on_connected=state.opened,
            on_restart=lambda _, cause: state.lost(cause),
            on_synced=state.synced,
        )
        before, self._namespaces = self._namespaces, reflector
        if before is not None:
            self._reflectors.remove(before)
            before.stop()
            before.join(STOP_SECONDS)
            known.replace(())
        self._start(reflector)

    def watch_certificate(self, namespace: str, name: str, intake: CertificateIntake) -> None:
        """Pass the pair in a Secret to ``intake`` whenever it changes. Raises UsageError as above."""
        secret = Collection(SECRETS, namespace, name)
        self._start(Reflector(self._connected(), secret, TlsSecret, _as_it_is, TlsSecretHandler(intake)))

    def stop(self) -> None:
        """Stop all watches."""
        for reflector in self._reflectors:
            reflector.stop()

    def _start(self, reflector: Reflector[Any, Any]) -> None:
        self._reflectors.append(reflector)
        reflector.start()

    def _connected(self) -> Client:
        if self._client is None:
            # The import is here because serve does not need the package with certificate files and no
            # namespaceSelector.
            from webhook.kube.connect import connect  # noqa: PLC0415

            self._client = connect(self._kubeconfig, rights=self.rights)
        return self._client


def _as_it_is(secret: TlsSecret) -> TlsSecret:
    return secret
