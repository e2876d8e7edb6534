"""One of many processes that want to issue the certificate at the same moment: the keeper alone, with no lease.

``python -m tests.integration.site.bootstrapper KUBECONFIG NAMESPACE FULLNAME NAME STARTED GO COUNT`` reads what is
there, creates the file STARTED, begins when the file GO appears, creates the file STARTED.looked when it has seen what
there is to write, and writes when COUNT of them have looked. It says what it wrote at the end, by a SIGTERM.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path

from webhook.kube.connect import connect
from webhook.kube.events import EventRecorder
from webhook.ops.log_format import LogFormat, LogLevel
from webhook.ops.logs import configure
from webhook.ops.sync_metrics import SyncMetrics
from webhook.sync.certificates import CertificateKeeper
from webhook.sync.settings import CertificateNames
from webhook.sync.write_gate import WriteGate

POLL_SECONDS = 0.005


def main(kubeconfig: str, namespace: str, fullname: str, name: str, started: str, go: str, count: str) -> None:
    configure(LogFormat.JSON, LogLevel.INFO)
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    client = connect(Path(kubeconfig))

    def leads() -> bool:  # asked at each look
        if not Path(go).exists():
            return False
        Path(f"{started}.looked").touch()
        while len(list(Path(started).parent.glob("*.looked"))) < int(count):
            time.sleep(POLL_SECONDS)
        return True

    gate = WriteGate(client.connectivity)
    gate.set_election(leads)
    keeper = CertificateKeeper(
        client,
        namespace,
        CertificateNames(f"{fullname}-tls", f"{fullname}-ca", fullname, (name,)),
        gate,
        EventRecorder(client),
        SyncMetrics().certificates,
    )
    keeper.start()
    while not keeper._store.has_synced:
        time.sleep(POLL_SECONDS)
    Path(started).touch()
    while not Path(go).exists():
        time.sleep(POLL_SECONDS)
    keeper.set_leading(leading=True)
    ending.wait()
    keeper.stop(10)


if __name__ == "__main__":
    main(*sys.argv[1:])
