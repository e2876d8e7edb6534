"""The probes of a kubelet: what a process is asked from its start on, wherever it runs."""

from __future__ import annotations

import threading

from tests.cluster.processes import PullSecrets

PERIOD_SECONDS = 2.0
"""As the chart's startup probe, whose first question comes at once."""


class Kubelet:
    """Asks one process at a time whether it lives; what it answers is of no interest here."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._process: PullSecrets | None = None
        self._thread = threading.Thread(target=self._run, name="kubelet", daemon=True)

    def probe(self, process: PullSecrets) -> None:
        """Ask this process from now on."""
        self._process = process
        if not self._thread.is_alive():
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._process is not None:
                _ask(self._process)
            self._stopping.wait(PERIOD_SECONDS)


def _ask(process: PullSecrets) -> None:
    try:
        process.get("/livez")
    except OSError:
        return
