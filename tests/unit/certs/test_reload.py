from __future__ import annotations

import os
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from certs import reload
from certs.authority import Authority, Leaf, issue_authority, issue_leaf
from certs.reload import ServingCertificate
from tests.strangers import client_certificate
from webhook.errors import CertificateInvalid

NOW = datetime.now(UTC)
AUTHORITY = issue_authority(NOW - timedelta(days=5), timedelta(days=10))
DEADLINE = 10.0


def leaf(*, lifetime: timedelta = timedelta(days=1), now: datetime = NOW) -> Leaf:
    return issue_leaf(AUTHORITY, ("localhost", "127.0.0.1"), now, lifetime)


FIRST, SECOND = leaf(), leaf()


def serve(serving: ServingCertificate, pair: Leaf) -> None:
    serving.load(pair.certificate_pem, pair.private_key_pem)


@contextmanager
def server(serving: ServingCertificate) -> Iterator[int]:
    """A TLS server on loopback that shakes hands, says ``ok`` and hangs up; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, serving.context))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(DEADLINE)
    assert not thread.is_alive()


def _accept(listener: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.settimeout(DEADLINE)
        try:
            with context.wrap_socket(connection, server_side=True) as tls:
                tls.sendall(b"ok")
        except OSError:
            connection.close()


def handshake(port: int, *, name: str | None = "localhost", version: ssl.TLSVersion | None = None) -> bytes:
    """Shake hands as a client that verifies; return the certificate it was shown, in DER."""
    context = ssl.create_default_context(cadata=AUTHORITY.certificate_pem.decode())
    context.check_hostname = name is not None
    if version is not None:
        context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection,
        context.wrap_socket(connection, server_hostname=name) as tls,
    ):
        assert tls.recv(2) == b"ok"
        return tls.getpeercert(binary_form=True) or b""


def der(pair: Leaf) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate_pem.decode())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", ["localhost", None])
def test_new_handshakes_get_the_new_certificate(version: ssl.TLSVersion, name: str | None) -> None:
    serving = ServingCertificate()
    serve(serving, FIRST)
    with server(serving) as port:
        assert handshake(port, name=name, version=version) == der(FIRST)
        serve(serving, SECOND)
        assert handshake(port, name=name, version=version) == der(SECOND)


def test_before_the_first_certificate_nothing_is_loaded_and_a_handshake_fails() -> None:
    serving = ServingCertificate()

    assert (serving.loaded, serving.not_after) == (False, None)
    with server(serving) as port:
        with pytest.raises(OSError, match=r"(?i)alert|reset|eof"):
            handshake(port)
        serve(serving, FIRST)
        assert handshake(port) == der(FIRST)
    assert (serving.loaded, serving.not_after) == (True, (NOW + timedelta(days=1)).replace(microsecond=0))


@pytest.mark.parametrize(
    ("certificate", "key"),
    [
        (SECOND.certificate_pem, FIRST.private_key_pem),
        (SECOND.certificate_pem[:300], SECOND.private_key_pem),
        (SECOND.certificate_pem, SECOND.private_key_pem[:100]),
        (b"", b""),
        (b"\xff" * 100, SECOND.private_key_pem),
        (leaf(now=NOW - timedelta(days=2)).certificate_pem, SECOND.private_key_pem),
    ],
    ids=["mismatched", "truncated-certificate", "truncated-key", "empty", "random", "another-key"],
)
def test_a_pair_that_cannot_be_served_leaves_the_old_one_in_service(certificate: bytes, key: bytes) -> None:
    serving = ServingCertificate()
    serve(serving, FIRST)
    with server(serving) as port:
        with pytest.raises(CertificateInvalid):
            serving.load(certificate, key)
        assert handshake(port) == der(FIRST)


def test_a_pair_that_tls_itself_refuses_is_one_sentence() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 (weak on purpose)
    name = x509.Name.from_rfc4514_string("CN=weak")
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=1))
    certificate_pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

    with pytest.raises(CertificateInvalid, match="TLS refuses it"):
        ServingCertificate().load(certificate_pem, key_pem)


def test_an_expired_pair_is_refused() -> None:
    expired = leaf(now=NOW - timedelta(days=2))

    with pytest.raises(CertificateInvalid, match="expired"):
        serve(ServingCertificate(), expired)


def test_old_protocols_and_weak_ciphers_are_refused(tmp_path: Path) -> None:
    serving = ServingCertificate()
    serve(serving, FIRST)
    with server(serving) as port:
        for arguments in (["-tls1_1"], ["-tls1_2", "-cipher", "AES128-SHA:ECDHE-ECDSA-AES128-SHA@SECLEVEL=0"]):
            command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *arguments]
            result = subprocess.run(command, cwd=tmp_path, input=b"", capture_output=True, check=False)
            assert result.returncode != 0


def test_openssl_negotiates_http_1_1_without_compression_or_renegotiation(tmp_path: Path) -> None:
    serving = ServingCertificate()
    serve(serving, FIRST)
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.certificate_pem)
    with server(serving) as port:
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2", "-alpn", "h2,http/1.1"]
        verify = ["-CAfile", "ca.pem", "-verify_return_error", "-verify_hostname", "localhost"]
        result = subprocess.run([*command, *verify], cwd=tmp_path, input=b"R\n", capture_output=True, check=False)
    output = result.stdout.decode()
    assert "Verification: OK" in output
    assert "ALPN protocol: http/1.1" in output
    assert "Compression: NONE" in output


def test_rotation_in_another_thread_loses_no_handshake() -> None:
    serving = ServingCertificate()
    serve(serving, FIRST)
    stop = threading.Event()

    def rotate() -> None:
        while not stop.is_set():
            serve(serving, SECOND)
            serve(serving, FIRST)

    with server(serving) as port:
        rotating = threading.Thread(target=rotate)
        rotating.start()
        try:
            seen = {handshake(port) for _ in range(300)}
        finally:
            stop.set()
            rotating.join(DEADLINE)
    assert seen == {der(FIRST), der(SECOND)}


@pytest.mark.parametrize("in_memory", [True, False])
def test_key_material_is_readable_by_us_alone_and_gone_afterwards(
    *, in_memory: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if in_memory and not hasattr(os, "memfd_create"):
        in_memory = False
    if not in_memory:
        monkeypatch.delattr(os, "memfd_create", raising=False)

    with reload._as_file(b"content") as path:
        assert Path(path).read_bytes() == b"content"
        on_disk = list(tmp_path.iterdir())
        assert len(on_disk) == (0 if in_memory else 1)
        assert all(file.stat().st_mode & 0o777 == 0o600 for file in on_disk)
    assert list(tmp_path.iterdir()) == []


def client_pair(authority: Authority, folder: Path, lifetime: timedelta = timedelta(days=1)) -> Path:
    """Return a PEM file with the key and certificate of a client."""
    pair = client_certificate(authority, "kube-apiserver", now=NOW, lifetime=lifetime)
    path = folder / "client.pem"
    path.write_bytes(pair)
    return path


def handshake_as(port: int, pair: Path | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bool:
    """Shake hands with a client certificate, or none; return whether the server speaks to us."""
    context = ssl.create_default_context(cadata=AUTHORITY.certificate_pem.decode())
    context.maximum_version = version
    if pair is not None:
        context.load_cert_chain(pair)
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection,
            context.wrap_socket(connection, server_hostname="localhost") as tls,
        ):
            return tls.recv(2) == b"ok"
    except OSError:
        return False


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_only_clients_of_the_authorities_in_force_are_spoken_to(version: ssl.TLSVersion, tmp_path: Path) -> None:
    first, second = issue_authority(NOW, timedelta(days=2)), issue_authority(NOW, timedelta(days=2))
    pair = client_pair(first, tmp_path)
    serving = ServingCertificate(verifies_clients=True)
    serve(serving, FIRST)
    with server(serving) as port:
        assert not handshake_as(port, pair, version)
        serving.trust_clients(first.certificate_pem)
        assert handshake_as(port, pair, version)
        assert not handshake_as(port, None, version)
        serve(serving, SECOND)
        assert handshake_as(port, pair, version)
        serving.trust_clients(second.certificate_pem)
        assert not handshake_as(port, pair, version)
        serving.trust_clients(second.certificate_pem + first.certificate_pem)
        assert handshake_as(port, pair, version)


@pytest.mark.parametrize("content", [b"", b"random", AUTHORITY.certificate_pem + AUTHORITY.certificate_pem[:200]])
def test_authorities_that_cannot_be_read_leave_those_before_in_force(content: bytes, tmp_path: Path) -> None:
    clients = issue_authority(NOW, timedelta(days=2))
    serving = ServingCertificate(verifies_clients=True)
    serve(serving, FIRST)
    serving.trust_clients(clients.certificate_pem)
    with pytest.raises(CertificateInvalid, match="not readable PEM certificates"):
        serving.trust_clients(content)
    with server(serving) as port:
        assert handshake_as(port, client_pair(clients, tmp_path))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_resumed(version: ssl.TLSVersion) -> None:
    serving = ServingCertificate()
    serve(serving, FIRST)
    context = ssl.create_default_context(cadata=AUTHORITY.certificate_pem.decode())
    context.maximum_version = version
    session = None
    with server(serving) as port:
        for _ in range(3):
            with (
                socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection,
                context.wrap_socket(connection, server_hostname="localhost", session=session) as tls,
            ):
                assert tls.recv(2) == b"ok"
                assert not tls.session_reused
                session = tls.session
                assert session is None or not session.has_ticket


def test_the_oldest_version_can_be_1_3() -> None:
    serving = ServingCertificate(ssl.TLSVersion.TLSv1_3)
    serve(serving, FIRST)
    with server(serving) as port:
        assert handshake(port, version=ssl.TLSVersion.TLSv1_3) == der(FIRST)
        with pytest.raises(ssl.SSLError, match=r"(?i)version"):
            handshake(port, version=ssl.TLSVersion.TLSv1_2)


def test_the_problem_is_told_as_time_goes_by() -> None:
    serving = ServingCertificate(verifies_clients=True)
    assert serving.problem(NOW) == "no usable certificate yet"
    serve(serving, FIRST)
    assert serving.problem(NOW) == "no authority of clients yet"
    serving.trust_clients(AUTHORITY.certificate_pem)
    assert serving.problem(NOW) is None
    assert "expired at" in str(serving.problem(NOW + timedelta(days=2)))
    assert "not valid before" in str(serving.problem(NOW - timedelta(days=2)))
