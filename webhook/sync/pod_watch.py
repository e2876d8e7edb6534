"""Watch the Pods that have not begun to run, while healing needs them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from webhook.kube.pending_pods import PENDING, PodObject, to_pulled_pod
from webhook.kube.reflector import Reflector
from webhook.kube.resources import PODS, Collection
from webhook.ops.sync_status import WatchStatus
from webhook.rules.healing import PulledPod
from webhook.sync.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.kube.client import Client
    from webhook.rules.configuration import Configuration


class _Open(NamedTuple):
    """An open watch, the table that it fills, and the parts of the configuration that its decoder uses."""

    reflector: Reflector[Any, PulledPod]
    table: Table[PulledPod]
    scope: tuple[str, tuple[str, ...]]


class _PodTable(Table[PulledPod]):
    """Pods; ``arrived(pod)`` is called for each one that the watch reports."""

    def __init__(self, arrived: Callable[[PulledPod], None]) -> None:
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
        current = self._open
        return current.table if current is not None and current.reflector.has_synced else None

    def follow(self, configuration: Configuration | None) -> None:
        """Watch Pods, and list them again if the configuration reads other parts of them; None ends the watch."""
        scope = None if configuration is None else (configuration.opt_in.label, configuration.secret_names)
        if self._open is not None and self._open.scope != scope:
            self._open.reflector.stop()
            self._open = None
        if configuration is None or scope is None or self._open is not None:
            return
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
