"""The real ``pullsecrets serve`` and who may call it, by handshakes as a client makes them."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from certs.authority import Authority
from tests.cluster.processes import clean_environment
from tests.integration.site.serving import (
    AUTHORITY,
    CONFIGURATION,
    DEADLINE,
    LOOPBACK,
    Files,
    Serving,
    exchange,
    new_leaf,
    post,
    serving,
    until,
)
from tests.strangers import client_certificate, foreign_authority

DAY = timedelta(days=1)
NAME = "kube-apiserver"
URI = "spiffe://example.com/apiserver"
OTHER_URI = "spiffe://example.com/other"
CLIENTS = foreign_authority()
REVIEW = json.dumps(
    {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {"uid": "1", "resource": {"group": "", "version": "v1", "resource": "configmaps"}},
    }
).encode()

REFUSED = {
    "no certificate": None,
    "one of another authority": client_certificate(foreign_authority(), NAME),
    "one of the authority that signed the server's": client_certificate(AUTHORITY, NAME),
    "one that has expired": client_certificate(CLIENTS, NAME, now=datetime.now(UTC) - 2 * DAY),
    "one that is not valid yet": client_certificate(CLIENTS, NAME, now=datetime.now(UTC) + DAY),
}
WRONG_NAMES = {
    "another name": client_certificate(CLIENTS, "kubelet"),
    "the name of a part": client_certificate(CLIENTS, f"{NAME}.example.com"),
    "another alternative name": client_certificate(CLIENTS, "x", [x509.UniformResourceIdentifier(OTHER_URI)]),
}
ACCEPTED = {
    "the common name": client_certificate(CLIENTS, NAME),
    "an alternative name": client_certificate(CLIENTS, "x", [x509.UniformResourceIdentifier(URI)]),
}

versions = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


def authorities_file(folder: Path, *authorities: Authority) -> Path:
    path = folder / "client-ca.crt"
    fresh = path.with_suffix(".new")
    fresh.write_bytes(b"".join(authority.certificate_pem for authority in authorities))
    fresh.rename(path)
    return path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A process that asks its callers for a certificate."""
    folder = tmp_path_factory.mktemp("guarded")
    names = (f"--client-allowed-name={NAME}", f"--client-allowed-name={URI}")
    with serving(folder, f"--client-ca-file={authorities_file(folder, CLIENTS)}", *names) as process:
        yield process


def context_of(
    folder: Path, certificate: bytes | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=AUTHORITY.certificate_pem.decode())
    context.maximum_version = version
    if certificate is not None:
        pair = folder / "client.pem"
        pair.write_bytes(certificate)
        context.load_cert_chain(pair)
    return context


@contextmanager
def connected(process: Serving, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection((LOOPBACK, process.secure_port), timeout=DEADLINE) as raw,
        context.wrap_socket(raw, server_hostname=LOOPBACK) as connection,
    ):
        yield connection


def status(process: Serving, context: ssl.SSLContext) -> int | None:
    """Return the status of the answer to a review, None when there is no answer at all."""
    try:
        with connected(process, context) as connection:
            return exchange(connection, post(REVIEW)).status
    except (OSError, http.client.HTTPException):
        return None


@versions
@pytest.mark.parametrize("certificate", ACCEPTED.values(), ids=ACCEPTED)
def test_a_caller_with_an_allowed_name_is_answered(
    guarded: Serving, tmp_path: Path, certificate: bytes, version: ssl.TLSVersion
) -> None:
    assert status(guarded, context_of(tmp_path, certificate, version)) == 200


@versions
@pytest.mark.parametrize("certificate", REFUSED.values(), ids=REFUSED)
def test_a_caller_whom_no_authority_vouches_for_fails_in_the_handshake(
    guarded: Serving, tmp_path: Path, certificate: bytes | None, version: ssl.TLSVersion
) -> None:
    before = guarded.metric("pullsecrets_admission_tls_handshake_failures_total")
    assert status(guarded, context_of(tmp_path, certificate, version)) is None
    until(
        lambda: guarded.metric("pullsecrets_admission_tls_handshake_failures_total") == before + 1,
        "the failure in the metric",
    )


@versions
@pytest.mark.parametrize("certificate", WRONG_NAMES.values(), ids=WRONG_NAMES)
def test_a_caller_of_another_name_is_cut_off_before_its_request_is_read(
    guarded: Serving, tmp_path: Path, certificate: bytes, version: ssl.TLSVersion
) -> None:
    refused, received = "pullsecrets_admission_callers_refused_total", "pullsecrets_admission_request_bytes_total"
    before = guarded.metric(refused), guarded.metric(received)
    assert status(guarded, context_of(tmp_path, certificate, version)) is None
    until(lambda: guarded.metric(refused) == before[0] + 1, "the refusal in the metric")
    assert guarded.metric(received) == before[1]
    until(lambda: guarded.metric("pullsecrets_admission_connections") == 0, "no connection left")


def test_no_session_spares_a_caller_the_look_at_its_certificate(guarded: Serving, tmp_path: Path) -> None:
    context = context_of(tmp_path, ACCEPTED["the common name"], ssl.TLSVersion.TLSv1_2)
    session = None
    for _ in range(3):
        with (
            socket.create_connection((LOOPBACK, guarded.secure_port), timeout=DEADLINE) as raw,
            context.wrap_socket(raw, server_hostname=LOOPBACK, session=session) as connection,
        ):
            assert exchange(connection, post(REVIEW)).status == 200
            assert not connection.session_reused
            session = connection.session


def test_authorities_are_read_again_and_bad_ones_change_nothing(tmp_path: Path) -> None:
    other = foreign_authority()
    contexts = {}
    for name, authority in (("first", CLIENTS), ("other", other)):
        (tmp_path / name).mkdir()
        contexts[name] = context_of(tmp_path / name, client_certificate(authority, NAME))
    with serving(tmp_path, f"--client-ca-file={authorities_file(tmp_path, CLIENTS)}") as process:

        def answered() -> dict[str, bool]:
            return {name: status(process, context) == 200 for name, context in contexts.items()}

        assert answered() == {"first": True, "other": False}
        authorities_file(tmp_path, CLIENTS, other)
        until(lambda: answered() == {"first": True, "other": True}, "both")
        authorities_file(tmp_path, other)
        until(lambda: answered() == {"first": False, "other": True}, "the other alone")
        (tmp_path / "client-ca.crt").write_bytes(CLIENTS.certificate_pem[:300])
        until(lambda: process.metric("pullsecrets_client_ca_last_reload_successful") == 0, "the refusal")
        assert answered() == {"first": False, "other": True}
        authorities_file(tmp_path, CLIENTS)
        until(lambda: answered() == {"first": True, "other": False}, "the first alone")
        until(lambda: process.metric("pullsecrets_client_ca_last_reload_successful") == 1, "the success")


def s_client(process: Serving, *arguments: str, say: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = ["openssl", "s_client", "-connect", f"{LOOPBACK}:{process.secure_port}", *arguments]
    return subprocess.run(command, input=say, capture_output=True, check=False, timeout=DEADLINE)


def test_tls_1_2_is_spoken_with_forward_secrecy_only_and_nothing_older(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        done = s_client(process, "-tls1_2")
        assert b"ECDHE-ECDSA-" in done.stdout
        assert b"Compression: NONE" in done.stdout
        assert b"TLS session ticket:" not in done.stdout
        for arguments in (
            ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
            ("-tls1_2", "-cipher", "AES128-SHA:AES128-GCM-SHA256:@SECLEVEL=0"),
            ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"),
        ):
            assert s_client(process, *arguments).returncode != 0
        assert process.metric("pullsecrets_admission_tls_handshake_failures_total") == 3


def test_nobody_renegotiates(tmp_path: Path) -> None:
    with serving(tmp_path) as process, process.connected() as bystander:
        command = ["openssl", "s_client", "-tls1_2", "-connect", f"{LOOPBACK}:{process.secure_port}"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            seen = b""
            while b"---\n" not in seen or b"Verify return code" not in seen:
                seen += client.stdout.readline()
            client.stdin.write(b"R\n")
            client.stdin.flush()
            # It ends of itself, having been told no: the input stays open.
            said = client.stdout.read()
            assert client.wait(DEADLINE) != 0
        assert b"RENEGOTIATING" in said
        assert b"no renegotiation" in said
        assert exchange(bystander, post(REVIEW)).status == 200


def test_tls_1_3_can_be_the_oldest_version(tmp_path: Path) -> None:
    with serving(tmp_path, "--tls-min-version=1.3") as process:
        assert s_client(process, "-tls1_2").returncode != 0
        assert b"TLSv1.3" in s_client(process, "-tls1_3").stdout


@pytest.mark.parametrize(
    ("flags", "content", "sentence"),
    [
        (["--client-ca-file={}/none.crt"], None, "none.crt cannot be read (No such file or directory)"),
        (["--client-ca-file={}/ca.crt"], b"", "the authorities of clients are not readable PEM certificates"),
        (["--client-ca-file={}/ca.crt"], b"junk", "see --client-ca-file"),
        (["--client-allowed-name=x"], None, "--client-allowed-name needs --client-ca-file"),
        (["--tls-min-version=1.1"], None, "'--tls-min-version'"),
    ],
)
def test_what_a_person_gets_wrong_is_one_sentence(
    tmp_path: Path, flags: list[str], content: bytes | None, sentence: str
) -> None:
    if content is not None:
        (tmp_path / "ca.crt").write_bytes(content)
    files = Files(tmp_path)
    files.configure(CONFIGURATION.replace("NAME", "registry"))
    files.certify(new_leaf())
    arguments = [*files.arguments(), *(flag.format(tmp_path) for flag in flags)]
    done = subprocess.run(
        arguments, capture_output=True, text=True, check=False, timeout=DEADLINE, env=clean_environment()
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
