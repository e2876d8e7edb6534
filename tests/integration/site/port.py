"""An admission port on loopback, in this process, with a handler of the test's own."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from certs.authority import issue_authority, issue_leaf
from certs.reload import ServingCertificate
from webhook.http.counters import PortCounters
from webhook.http.limits import Deadlines
from webhook.ops.background import bind, in_background
from webhook.ops.metrics import AdmissionMetrics
from webhook.rules.configuration import Reason
from webhook.serve.endpoint import AdmissionApp, AdmissionListener, MutateEndpoint
from webhook.serve.handler import ReviewReply

DAY = timedelta(days=1)
AUTHORITY = issue_authority(datetime.now(UTC), DAY)
LEAF = issue_leaf(AUTHORITY, ["127.0.0.1"], datetime.now(UTC), DAY)
PATIENCE = 20.0


def echo(body: bytes) -> ReviewReply:
    """Answer with the body that came in."""
    return ReviewReply(body, "pods", "CREATE", Reason.ALREADY_PRESENT)


@contextmanager
def listening(deadlines: Deadlines | None = None, handle: Callable[[bytes], ReviewReply] = echo) -> Iterator[int]:
    """An admission port that answers by ``handle``; gives its number."""
    counters = PortCounters()
    with serving(MutateEndpoint(handle, AdmissionMetrics(counters), counters), deadlines) as port:
        yield port


@contextmanager
def serving(endpoint: MutateEndpoint, deadlines: Deadlines | None = None, capacity: int | None = None) -> Iterator[int]:
    """An admission port with this endpoint, for ``capacity`` connections; gives its number."""
    certificate = ServingCertificate()
    certificate.load(LEAF.certificate_pem, LEAF.private_key_pem)
    bound = bind("127.0.0.1", 0, "--secure-port")
    listener = AdmissionListener(AdmissionApp(endpoint), bound, certificate.context, deadlines, capacity)
    with in_background(lambda: listener, "admission port"):
        yield listener.port


@contextmanager
def connected(port: int) -> Iterator[ssl.SSLSocket]:
    """A TLS connection to it."""
    context = ssl.create_default_context(cadata=AUTHORITY.certificate_pem.decode())
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as connection,
    ):
        yield connection
