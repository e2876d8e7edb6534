"""Where somebody else keeps the certificate: the chart on a real API server, and what is not written there by us."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from certs.authority import Authority, issue_leaf
from tests.cluster import programs
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterFailed
from tests.cluster.programs import LOOPBACK
from tests.integration.neighbours import certmanager
from tests.integration.site.commands import of_release
from tests.integration.site.creates import failed_open
from tests.integration.site.handshakes import ca_bundle
from tests.integration.site.playground import COPY, NO_READERS, PATIENT_API_SERVER, Playground, eventually, names, pod
from tests.strangers import client_certificate, foreign_authority

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
DAY = timedelta(days=1)
THEIRS = "theirs"


def store_certificate(world: Playground, authority: Authority) -> None:
    """Write the serving certificate as its owner would, who is not us."""
    leaf = issue_leaf(authority, [LOOPBACK], datetime.now(UTC), DAY)
    content = {"tls.crt": leaf.certificate_pem, "tls.key": leaf.private_key_pem, "ca.crt": authority.certificate_pem}
    data = {key: b64encode(value).decode() for key, value in content.items()}
    installation = world.installation
    world.apply(installation.namespace, "Secret", installation.tls_secret, {"type": "kubernetes.io/tls", "data": data})


def create(world: Playground, namespace: str) -> list[str]:
    """Create a Pod by dry run, and return the references that it got."""
    body = pod("a", imagePullSecrets=[{"name": THEIRS}])
    return names(world.create(namespace, "pods", body, "?dryRun=All")["spec"])


def assert_admits(world: Playground) -> None:
    world.set_source("first")
    world.start()
    namespace = world.namespace(selected=True)
    world.await_selected(namespace, "first")
    assert eventually(lambda: create(world, namespace), lambda seen: COPY in seen) == [THEIRS, COPY]


def assert_sync_has_no_part_in_it(world: Playground) -> None:
    """No right to read or write it, and no field of it that is ours."""
    cluster, installation = world.cluster, world.installation
    for what in (f"secret/{installation.tls_secret}", f"mutatingwebhookconfiguration/{installation.fullname}"):
        with pytest.raises(ClusterFailed, match="Forbidden"):
            cluster.kubectl(
                "--kubeconfig", str(installation.sync_kubeconfig), "get", what, "--namespace", installation.namespace
            )
    configuration = cluster.api.call("GET", f"{CONFIGURATIONS}/{installation.fullname}")
    tls_secret = world.get(installation.namespace, "secrets", installation.tls_secret) or {}
    for found in (configuration, tls_secret):
        managers = {entry["manager"] for entry in found["metadata"]["managedFields"]}
        assert not [manager for manager in managers if manager.startswith("pull-secret-webhook")]
    assert world.get(installation.namespace, "secrets", installation.ca_secret) is None


def test_a_provided_certificate_is_served_and_left_to_its_owner(
    cluster: Cluster, playground: Callable[..., Playground]
) -> None:
    authority = foreign_authority()
    bundle = authority.certificate_pem.decode()
    world = playground(certificates={"mode": "provided"}, webhook={"caBundle": bundle}, **NO_READERS)
    store_certificate(world, authority)
    assert_admits(world)
    assert_sync_has_no_part_in_it(world)
    assert ca_bundle(cluster.api, world.installation.fullname) == authority.certificate_pem
    world.apply(world.installation.namespace, "Secret", world.installation.ca_secret, {"stringData": {"left": "over"}})
    assert findings(world) == {}


def findings(world: Playground) -> dict[str, str]:
    """Return what ``pullsecrets check`` finds about rights and certificates, by code."""
    ran = of_release(world, "check", f"--release-namespace={world.installation.namespace}", "-o", "json")
    checks = json.loads(ran.out)["checks"]
    found = {each["code"]: each["detail"] for each in checks if each["result"] == "finding"}
    return {code: detail for code, detail in found.items() if code < "PSW030"}


def test_the_objects_for_cert_manager_are_what_its_kinds_take(
    cluster: Cluster, playground: Callable[..., Playground]
) -> None:
    certmanager.define(cluster)
    world = playground(certificates={"mode": "cert-manager"}, **NO_READERS)
    path = f"/apis/{certmanager.GROUP}/v1/namespaces/{world.installation.namespace}"
    certificates = cluster.api.call("GET", f"{path}/certificates")["items"]
    issuers = {item["metadata"]["name"] for item in cluster.api.call("GET", f"{path}/issuers")["items"]}
    assert {item["spec"]["issuerRef"]["name"] for item in certificates} == issuers
    configuration = cluster.api.call("GET", f"{CONFIGURATIONS}/{world.installation.fullname}")
    source = configuration["metadata"]["annotations"][f"{certmanager.GROUP}/inject-ca-from"]
    namespace, name = source.split("/")
    assert namespace == world.installation.namespace
    (serving,) = (item for item in certificates if item["metadata"]["name"] == name)
    assert serving["spec"]["secretName"] == world.installation.tls_secret
    assert serving["spec"]["ipAddresses"] == [LOOPBACK]


def test_what_cert_manager_writes_is_served_and_left_to_it(
    cluster: Cluster, playground: Callable[..., Playground]
) -> None:
    """cert-manager is played by the test: it writes the Secret, and injects the authority from it."""
    certmanager.define(cluster)
    world = playground(certificates={"mode": "cert-manager"}, **NO_READERS)
    authority = foreign_authority()
    store_certificate(world, authority)
    inject(cluster, world.installation.fullname, authority.certificate_pem)
    assert_admits(world)
    assert_sync_has_no_part_in_it(world)
    assert findings(world) == {}
    world.installation.set_configuration(retired=["gone"])
    assert ca_bundle(cluster.api, world.installation.fullname) == authority.certificate_pem


def inject(cluster: Cluster, configuration: str, pem: bytes) -> None:
    operations: list[dict[str, Any]] = [
        {"op": "add", "path": f"/webhooks/{position}/clientConfig/caBundle", "value": b64encode(pem).decode()}
        for position in (0, 1)
    ]
    path = f"{CONFIGURATIONS}/{configuration}?fieldManager=cert-manager-cainjector"
    cluster.api.call("PATCH", path, operations, "application/json-patch+json")


# The API server as a caller with a certificate


def admission_configuration(folder: Path, host: str, authority: Authority) -> Path:
    """Write what docs/certificates.md tells to give the API server, and return the file for its flag."""
    pair = folder / "webhooks.pem"
    pair.write_bytes(client_certificate(authority, "kube-apiserver"))
    kubeconfig = folder / "webhooks.kubeconfig"
    user = {"client-certificate": str(pair), "client-key": str(pair)}
    kubeconfig.write_text(
        yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "users": [{"name": host, "user": user}]})
    )
    webhooks = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "WebhookAdmissionConfiguration",
        "kubeConfigFile": str(kubeconfig),
    }
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [{"name": "MutatingAdmissionWebhook", "configuration": webhooks}],
    }
    file = folder / "admission.json"
    file.write_text(json.dumps(document))
    return file


def test_the_api_server_is_answered_once_it_has_a_certificate(tmp_path: Path) -> None:
    authority = foreign_authority()
    clients = tmp_path / "client-ca.crt"
    clients.write_bytes(authority.certificate_pem)
    with Cluster.start() as cluster, Playground.make(cluster, webhook=PATIENT_API_SERVER) as world:
        world.set_source("first")
        sync = world.installation.start_sync()
        guarded = (f"--client-ca-file={clients}", "--client-allowed-name=kube-apiserver")
        serve = world.installation.start_serve(*guarded)
        for process in (sync, serve):
            process.wait_ready()
        namespace = world.namespace(selected=True)
        world.await_selected(namespace, "first")
        opened = failed_open(cluster)

        def is_turned_away() -> bool:
            assert create(world, namespace) == [THEIRS]
            return failed_open(cluster) > opened

        eventually(is_turned_away)  # the API server learns of the webhook by a watch

        host = f"{LOOPBACK}:{world.installation.webhook_port}"
        cluster.stop_program(programs.API_SERVER)
        file = admission_configuration(tmp_path, host, authority)
        cluster.start_program(programs.API_SERVER, f"--admission-control-config-file={file}")
        cluster.wait_ready()
        assert eventually(lambda: create(world, namespace), lambda seen: COPY in seen) == [THEIRS, COPY]
        opened = failed_open(cluster)
        for _ in range(20):
            assert create(world, namespace) == [THEIRS, COPY]
        assert failed_open(cluster) == opened
