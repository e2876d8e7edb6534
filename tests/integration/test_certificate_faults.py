"""What can happen to a certificate: to its files, to its Secrets, to the caBundle. The webhook goes on serving."""

from __future__ import annotations

import os
import ssl
import time
import uuid
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certs.authority import issue_leaf
from certs.bundle import parse
from certs.validity import check_pair
from tests.cluster.cluster import Cluster
from tests.cluster.supervise import wait_until
from tests.integration.site.creates import failed_open
from tests.integration.site.handshakes import ca_bundle, shake
from tests.integration.site.playground import COPY, Playground, eventually, names, pod
from tests.integration.site.serving import AUTHORITY, LOOPBACK, Serving, new_leaf, serving, until
from tests.strangers import foreign_authority
from webhook.errors import CertificateInvalid

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
REISSUED_SECONDS = 15.0
"""For what was lost alone. A certificate of another authority follows when that has settled, which takes 10 s."""

RANDOM = b64encode(os.urandom(600)).decode()
FOREIGN = foreign_authority().certificate_pem


# Files


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Serving]:
    """A process for one test, with certificate files."""
    with serving(tmp_path) as process:
        yield process


def served(process: Serving) -> bytes:
    with process.connected() as connection:
        return connection.getpeercert(binary_form=True) or b""


def halves(process: Serving) -> None:
    """Write what an interrupted copy leaves behind: the first half of the new certificate, in place."""
    certificate = new_leaf().certificate_pem
    (process.files.folder / "tls.crt").write_bytes(certificate[: len(certificate) // 2])


def mismatch(process: Serving) -> None:
    (process.files.folder / "tls.key").write_bytes(new_leaf().private_key_pem)


def truncate(process: Serving) -> None:
    for name in ("tls.crt", "tls.key"):
        (process.files.folder / name).write_bytes(b"")


def make_unreadable(process: Serving) -> None:
    """Put a folder in its place: permissions would not keep root out."""
    (process.files.folder / "tls.key").unlink()
    (process.files.folder / "tls.key").mkdir()


def make_random(process: Serving) -> None:
    (process.files.folder / "tls.crt").write_bytes(os.urandom(800))


def remove(process: Serving) -> None:
    (process.files.folder / "tls.crt").unlink()


def expire(process: Serving) -> None:
    past = datetime.now(UTC) - timedelta(hours=12)
    process.files.certify(issue_leaf(AUTHORITY, [LOOPBACK], past, timedelta(hours=1)))


FAULTS = [halves, mismatch, truncate, make_unreadable, make_random, remove, expire]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_of_the_files_leaves_the_old_certificate_in_service_until_there_is_a_better_one(
    own: Serving, fault: Callable[[Serving], None]
) -> None:
    before = served(own)
    fault(own)
    until(lambda: own.metric("pullsecrets_certificate_last_reload_successful") == 0, "the refusal")
    until(lambda: own.metric("pullsecrets_certificate_reload_errors_total") >= 1, "the error")
    assert served(own) == before
    assert own.plain("/readyz").status == 200
    if (own.files.folder / "tls.key").is_dir():
        (own.files.folder / "tls.key").rmdir()
    leaf = new_leaf()
    own.files.certify(leaf)
    wanted = ssl.PEM_cert_to_DER_cert(leaf.certificate_pem.decode())
    until(lambda: served(own) == wanted, "the new certificate")
    until(lambda: own.metric("pullsecrets_certificate_last_reload_successful") == 1, "the success")


def test_a_process_whose_certificate_expires_is_alive_but_not_ready(own: Serving) -> None:
    def certify_for_seconds() -> None:
        own.files.certify(issue_leaf(AUTHORITY, [LOOPBACK], datetime.now(UTC), timedelta(seconds=4)))

    def is_unready() -> bool:
        """Return whether it is not ready; a certificate that has ended before it was read is refused, and replaced."""
        if own.metric("pullsecrets_certificate_last_reload_successful") == 0:
            certify_for_seconds()
        # One answer has both: a certificate that was written a moment ago makes it ready again for seconds.
        answer = own.plain("/readyz?verbose")
        return answer.status == 503 and b"[-]certificate failed: the certificate expired at" in answer.body

    certify_for_seconds()
    until(is_unready, "not ready")
    assert own.plain("/livez").status == 200
    own.files.certify(new_leaf())
    until(lambda: own.plain("/readyz").status == 200, "ready again")


# Secrets and the caBundle


def secret(shared: Playground, name: str) -> dict[str, bytes]:
    found = shared.get(shared.installation.namespace, "secrets", name) or {}
    return {key: b64decode(value) for key, value in (found.get("data") or {}).items()}


def is_whole(shared: Playground) -> bool:
    """Whether certificate, authority and bundle fit each other, and replica and API server both have them."""
    installation = shared.installation
    leaf, authority = secret(shared, installation.tls_secret), secret(shared, installation.ca_secret)
    bundle = ca_bundle(shared.cluster.api, installation.webhook_configuration)
    try:
        check_pair(leaf.get("tls.crt", b""), leaf.get("tls.key", b""), bundle, [LOOPBACK], datetime.now(UTC))
        if authority.get("tls.crt", b"-") != leaf.get("ca.crt") or authority["tls.crt"] not in parse(bundle):
            return False
        return shake(installation.webhook_port, bundle) == ssl.PEM_cert_to_DER_cert(leaf["tls.crt"].decode())
    except (CertificateInvalid, OSError, ValueError):
        return False


def patch(shared: Playground, name: str, data: dict[str, str] | None) -> None:
    shared.patch(shared.installation.namespace, "secrets", name, {"data": data})


def delete(shared: Playground, name: str) -> None:
    shared.delete(shared.installation.namespace, "secrets", name)


def empty(shared: Playground, name: str) -> None:
    patch(shared, name, {"tls.crt": "", "tls.key": ""})


def randomise(shared: Playground, name: str) -> None:
    patch(shared, name, {"tls.crt": RANDOM, "tls.key": RANDOM})


def randomise_key(shared: Playground, name: str) -> None:
    patch(shared, name, {"tls.key": RANDOM})


def randomise_and_freeze(shared: Playground, name: str) -> None:
    """After this no update can make the Secret right: it has to be replaced."""
    body = {"data": {"tls.crt": RANDOM, "tls.key": RANDOM}, "immutable": True}
    shared.patch(shared.installation.namespace, "secrets", name, body)


SECRET_FAULTS = [delete, empty, randomise, randomise_key, randomise_and_freeze]


def assert_admits(shared: Playground, namespace: str, opened: int) -> None:
    """A Pod gets its reference by the webhook itself, and no call has been given up."""
    created = shared.create(namespace, "pods", pod("probe", imagePullSecrets=[{"name": "theirs"}]), "?dryRun=All")
    assert names(created["spec"]) == ["theirs", COPY]
    assert failed_open(shared.cluster) == opened


def await_configurations(shared: Playground, namespace: str) -> None:
    """Wait until the API server goes by the webhooks as they are now: it learns of them in order, the last from here.

    A Pod with its reference does not prove it: the API server may still have the bundle from before the fault.
    """
    name = f"sentinel-{uuid.uuid4().hex[:8]}"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}
    webhook = {
        "name": f"{name}.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    about = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration"}
    api = shared.cluster.api
    api.call("POST", CONFIGURATIONS, {**about, "metadata": {"name": name}, "webhooks": [webhook]})
    path = f"/api/v1/namespaces/{namespace}/configmaps?dryRun=All"
    probe = {"metadata": {"name": name}}
    eventually(lambda: f'failed calling webhook \\"{name}' in api.request("POST", path, probe).text)
    api.call("DELETE", f"{CONFIGURATIONS}/{name}")


def await_admission(shared: Playground, namespace: str) -> None:
    """Wait until the API server has the bundle, which it learns of by a watch of its own; from then on it admits."""
    eventually(lambda: is_whole(shared))
    await_configurations(shared, namespace)
    shared.await_injection(namespace)
    assert_admits(shared, namespace, failed_open(shared.cluster))


@pytest.fixture(scope="module")
def namespace(shared: Playground) -> str:
    name = shared.namespace(selected=True)
    shared.await_selected(name, "first")
    eventually(lambda: is_whole(shared))
    shared.await_injection(name)
    return name


@pytest.mark.parametrize("fault", SECRET_FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("which", ["tls_secret", "ca_secret"])
def test_a_secret_that_is_lost_is_issued_anew_and_no_call_is_lost(
    shared: Playground, namespace: str, which: str, fault: Callable[[Playground, str], None]
) -> None:
    name = getattr(shared.installation, which)
    before, opened = secret(shared, name)["tls.crt"], failed_open(shared.cluster)
    begun = time.monotonic()
    fault(shared, name)

    def reissued() -> bool:
        assert_admits(shared, namespace, opened)
        found = secret(shared, name).get("tls.crt", before)
        return found != before and found.startswith(b"-----BEGIN CERTIFICATE-----")

    def whole() -> bool:
        assert_admits(shared, namespace, opened)
        return is_whole(shared)

    assert wait_until(reissued, REISSUED_SECONDS)
    eventually(whole)
    print(f"{which} {fault.__name__}: {time.monotonic() - begun:.1f} s")


def test_both_secrets_and_the_bundle_lost_at_once_are_issued_anew(shared: Playground, namespace: str) -> None:
    for name in (shared.installation.tls_secret, shared.installation.ca_secret):
        delete(shared, name)
    write_bundle(shared, b"")
    await_admission(shared, namespace)


def write_bundle(shared: Playground, pem: bytes) -> None:
    """Write the caBundle of both webhooks, as a person would."""
    operations: list[dict[str, Any]] = [
        {"op": "add", "path": f"/webhooks/{position}/clientConfig/caBundle", "value": b64encode(pem).decode()}
        for position in (0, 1)
    ]
    path = f"{CONFIGURATIONS}/{shared.installation.webhook_configuration}"
    shared.cluster.api.call("PATCH", path, operations, "application/json-patch+json")


def bundles(cluster: Cluster, configuration: str) -> list[bytes]:
    webhooks = cluster.api.call("GET", f"{CONFIGURATIONS}/{configuration}")["webhooks"]
    return [b64decode(webhook["clientConfig"].get("caBundle", "")) for webhook in webhooks]


@pytest.mark.parametrize(
    ("content", "kept"),
    [(b"", b""), (FOREIGN, FOREIGN), (FOREIGN[:200] + b"\n" + FOREIGN, FOREIGN)],
    ids=["wiped", "replaced by a foreign one", "and by half of one"],
)
def test_a_bundle_that_lost_our_authority_gets_it_back_and_keeps_what_others_put_there(
    shared: Playground, namespace: str, content: bytes, kept: bytes
) -> None:
    write_bundle(shared, content)

    def restored() -> bool:
        found = bundles(shared.cluster, shared.installation.webhook_configuration)
        own = secret(shared, shared.installation.ca_secret)["tls.crt"]
        return all(own in parse(one) and (not kept or kept in parse(one)) for one in found)

    assert wait_until(restored, REISSUED_SECONDS)
    await_admission(shared, namespace)


def test_a_foreign_authority_beside_ours_stays(shared: Playground, namespace: str) -> None:
    opened = failed_open(shared.cluster)
    ours = ca_bundle(shared.cluster.api, shared.installation.webhook_configuration)
    write_bundle(shared, FOREIGN + ours)
    delete(shared, shared.installation.ca_secret)  # so that there is something to write
    eventually(
        lambda: (
            is_whole(shared)
            and FOREIGN in parse(ca_bundle(shared.cluster.api, shared.installation.webhook_configuration))
        )
    )
    assert_admits(shared, namespace, opened)
    write_bundle(shared, ours)
