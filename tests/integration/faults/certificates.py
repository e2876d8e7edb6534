"""What can go wrong with the certificate of an installation, and with the caBundle."""

from __future__ import annotations

import contextlib
import socketserver
import ssl
import tempfile
import threading
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

from certs.authority import Authority, issue_authority, issue_leaf
from tests.integration.site.patient import Patient

DAY = timedelta(days=1)
LOOPBACK = "127.0.0.1"


def wipe_bundle(patient: Patient) -> None:
    patient.patch(patient.configuration_path, [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}])


def trust_another(patient: Patient) -> None:
    other = b64encode(issue_authority(datetime.now(UTC), 30 * DAY).certificate_pem).decode()
    path = "/webhooks/1/clientConfig/caBundle"
    patient.patch(patient.configuration_path, [{"op": "replace", "path": path, "value": other}])


def tls_path(patient: Patient) -> str:
    return f"/api/v1/namespaces/{patient.namespace}/secrets/{patient.installation.tls_secret}"


def store_leaf(patient: Patient, now: datetime, lifetime: timedelta, name: str = LOOPBACK) -> None:
    """Store a leaf of the authority that is trusted, valid from ``now``."""
    ca = patient.api.call("GET", tls_path(patient).replace("-tls", "-ca"))["data"]
    authority = Authority(b64decode(ca["tls.crt"]), b64decode(ca["tls.key"]))
    leaf = issue_leaf(authority, [name], now, lifetime)
    fields = {"tls.crt": leaf.certificate_pem, "tls.key": leaf.private_key_pem, "ca.crt": leaf.authority_pem}
    data = {key: b64encode(value).decode() for key, value in fields.items()}
    patient.patch(tls_path(patient), [{"op": "replace", "path": "/data", "value": data}])


def expired_leaf(patient: Patient) -> None:
    store_leaf(patient, datetime.now(UTC) - timedelta(minutes=4), timedelta(minutes=2))


def leaf_not_renewed(patient: Patient) -> None:
    store_leaf(patient, datetime.now(UTC) - timedelta(minutes=9), timedelta(minutes=10))


def leaf_of_another_name(patient: Patient) -> None:
    store_leaf(patient, datetime.now(UTC), DAY, "elsewhere.example.com")


def another_certificate_is_served(patient: Patient) -> None:
    patient.serve.kill()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf = issue_leaf(issue_authority(datetime.now(UTC), DAY), [LOOPBACK], datetime.now(UTC), DAY)
    with tempfile.NamedTemporaryFile() as file:
        file.write(leaf.certificate_pem + leaf.private_key_pem)
        file.flush()
        context.load_cert_chain(file.name)
    server = _Impostor((LOOPBACK, patient.installation.webhook_port), context)

    def restore() -> None:
        server.shutdown()
        server.server_close()
        patient.serve = patient.installation.start_serve()
        patient.serve.wait_ready()

    patient.afterwards(restore)
    threading.Thread(target=server.serve_forever, daemon=True).start()


class _Impostor(socketserver.ThreadingTCPServer):
    """Shakes hands with a certificate of its own, and hangs up."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        super().__init__(address, socketserver.BaseRequestHandler)
        self._context = context

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002 - socketserver's own
        with contextlib.suppress(OSError), self._context.wrap_socket(request, server_side=True) as connection:
            connection.recv(1)


def key_of_another(patient: Patient) -> None:
    leaf = issue_leaf(issue_authority(datetime.now(UTC), DAY), [LOOPBACK], datetime.now(UTC), DAY)
    value = b64encode(leaf.private_key_pem).decode()
    patient.patch(tls_path(patient), [{"op": "replace", "path": "/data/tls.key", "value": value}])


def no_certificate(patient: Patient) -> None:
    patient.put_back(tls_path(patient))
    patient.api.call("DELETE", tls_path(patient))
