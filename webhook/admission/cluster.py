"""What ``serve`` watches on the API server, if anything: its certificate's Secret, and the labels of namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from webhook.admission.certificate import TlsSecret, TlsSecretHandler
from webhook.core.selection import Namespace, declined_names
from webhook.kube.reflector import Reflector
from webhook.kube.resources import NAMESPACES, SECRETS, Collection
from webhook.kube.wire import ObjectMeta  # noqa: TC001 - msgspec evaluates the annotation

if TYPE_CHECKING:
    from pathlib import Path

    from webhook.admission.certificate import CertificateIntake
    from webhook.admission.namespaces import KnownNamespaces, WatchState
    from webhook.kube.client import Client


class _NamespaceObject(msgspec.Struct, frozen=True):
    metadata: ObjectMeta


class ClusterWatches:
    """Starts watches as they are needed, over one client, and stops them all."""

    def __init__(self, kubeconfig: Path | None) -> None:
        self._kubeconfig = kubeconfig
        self._client: Client | None = None
        self._reflectors: list[Reflector[Any, Any]] = []

    def watch_namespaces(self, labels: KnownNamespaces, state: WatchState) -> None:
        """Keep ``labels`` and ``state`` up to date; UsageError where there is no usable kubeconfig."""
        self._start(
            Reflector(
                self._connected(),
                Collection(NAMESPACES),
                _NamespaceObject,
                _namespace,
                labels,
                on_connected=state.opened,
                on_restart=lambda _, cause: state.lost(cause),
                on_synced=state.synced,
            )
        )

    def watch_certificate(self, namespace: str, name: str, intake: CertificateIntake) -> None:
        """Pass the pair in a Secret to ``intake`` whenever it changes; UsageError as above."""
        secret = Collection(SECRETS, namespace, name)
        self._start(Reflector(self._connected(), secret, TlsSecret, _as_it_is, TlsSecretHandler(intake)))

    def stop(self) -> None:
        """End all watches."""
        for reflector in self._reflectors:
            reflector.stop()

    def _start(self, reflector: Reflector[Any, Any]) -> None:
        self._reflectors.append(reflector)
        reflector.start()

    def _connected(self) -> Client:
        if self._client is None:
            # Not at the top: with certificate files and no namespaceSelector, serve does without the whole package.
            from webhook.kube.connect import connect  # noqa: PLC0415

            self._client = connect(self._kubeconfig)
        return self._client


def _namespace(obj: _NamespaceObject) -> Namespace:
    metadata = obj.metadata
    terminating, declined = metadata.deletion_timestamp is not None, declined_names(metadata.annotations or {})
    return Namespace(metadata.name, metadata.labels or {}, terminating, declined)


def _as_it_is(secret: TlsSecret) -> TlsSecret:
    return secret
