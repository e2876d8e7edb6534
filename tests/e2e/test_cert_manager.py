"""cert-manager issues the webhook's certificate and renews it, and its injector tells the API server whom to trust."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certs.authority import issue_authority
from certs.validity import Certificate, certificates_in, chain_of
from tests.e2e.certmanager import controllers
from tests.e2e.inventory import await_left, everything
from tests.e2e.proxy import Proxy
from tests.e2e.reader import Reader
from tests.e2e.release import Release
from tests.e2e.site import COPY, CommandFailed, Site
from tests.e2e.workloads import pod
from tests.integration.site.creates import THEIRS, SteadyCreates, failed_open

MANAGED = {"mode": "cert-manager"}
ISSUER = "platform-ca"
LEAST_CREATES = 300
EXPIRY = re.compile(r"^pullsecrets_certificate_expiry_timestamp_seconds (\S+)$", re.MULTILINE)


@pytest.fixture(scope="module", autouse=True)
def _cert_manager(site: Site) -> None:
    if site.local:
        controllers.start(site.local.node.cluster)
    elif not site.exists("crd", "certificates.cert-manager.io"):
        pytest.skip("needs cert-manager, and the cluster that E2E_KUBECONFIG names does not have it")


@pytest.fixture(scope="module")
def release(install: Callable[..., Release]) -> Release:
    return install("managed", certificates=MANAGED)


@pytest.fixture(scope="module")
def tenant(release: Release) -> str:
    return release.create_tenant("certified")


@pytest.fixture
def reader(site: Site, tmp_path: Path) -> Reader:
    return Reader(site, tmp_path, {})


def secret_of(release: Release, what: str = "tls") -> tuple[str, ...]:
    """The Secret with the serving certificate, or ``issuer`` with its authority, as kubectl's arguments."""
    return "secret", f"{release.fullname}-{what}", "-n", release.namespace


def stored(site: Site, release: Release, what: str = "tls") -> bytes:
    """Return the certificate in a Secret, as PEM; empty where there is no Secret."""
    secret = secret_of(release, what)
    return base64.b64decode(site.get(*secret)["data"]["tls.crt"]) if site.exists(*secret) else b""


def trusted(site: Site, release: Release) -> list[list[Certificate]]:
    """Return what is in the ``caBundle`` of each webhook."""
    webhooks = site.get("mutatingwebhookconfiguration", release.fullname)["webhooks"]
    return [certificates_in(base64.b64decode(each["clientConfig"].get("caBundle", "")))[0] for each in webhooks]


def served(site: Site, release: Release) -> set[float]:
    """Return when the certificates expire that the webhook's Pods serve, as their metrics say; Unix time."""
    selector = "app.kubernetes.io/component=webhook"
    names = [each["metadata"]["name"] for each in site.get("pods", "-n", release.namespace, "-l", selector)["items"]]
    path = f"/api/v1/namespaces/{release.namespace}/pods/{{}}:8080/proxy/metrics"
    found = [EXPIRY.search(site.kubectl("get", "--raw", path.format(name))) for name in names]
    return {float(each[1]) for each in found if each}


def await_served(site: Site, release: Release, other_than: bytes = b"") -> None:
    """Wait until every replica serves what is in the Secret, and that has changed."""

    def as_stored() -> bool:
        pem = stored(site, release)
        if pem in {b"", other_than}:
            return False
        try:
            expiries = served(site, release)
        except CommandFailed:
            return False  # a Pod that comes or goes does not answer
        return expiries == {chain_of(pem)[0].not_valid_after_utc.timestamp()}

    site.wait(as_stored, "every replica serves the certificate that is stored")


def await_healthy(reader: Reader) -> None:
    checked = reader.types("kubectl pullsecrets check --wait")
    assert checked.code == 0, f"{checked.out}{checked.err}"


def test_a_pod_pulls_by_way_of_its_certificate(site: Site, release: Release, tenant: str, reader: Reader) -> None:
    # With a list of its own: a Pod without one gets its ServiceAccount's before any webhook is asked.
    web = pod("web", site.private_image, imagePullSecrets=[{"name": THEIRS}])
    site.apply(web | {"metadata": {"name": "web", "namespace": tenant}})
    site.wait_ready(tenant, "web")
    assert site.references(tenant, "pod", "web") == [THEIRS, COPY]
    (authority,) = chain_of(base64.b64decode(site.get(*secret_of(release))["data"]["ca.crt"]))
    assert all(authority in bundle for bundle in trusted(site, release))
    await_healthy(reader)


def renew(site: Site, release: Release, what: str = "webhook") -> None:
    """Have a Certificate issued anew before its time, as ``cmctl renew`` does."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    condition = {
        "type": "Issuing",
        "status": "True",
        "reason": "ManuallyTriggered",
        "message": "by a test",
        "lastTransitionTime": now,
    }
    certificate = ("certificate", f"{release.fullname}-{what}", "-n", release.namespace)
    conditions: list[dict[str, Any]] = site.get(*certificate)["status"]["conditions"]
    # One of this type is there, if cert-manager has failed once: it reads a key that it has not stored yet.
    others = [each for each in conditions if each["type"] != condition["type"]]
    patch = json.dumps({"status": {"conditions": [*others, condition]}})
    site.kubectl("patch", *certificate, "--subresource=status", "--type=merge", f"--patch={patch}")


def lose(site: Site, release: Release) -> None:
    site.kubectl("delete", *secret_of(release))


@pytest.mark.parametrize("cause", [renew, lose])
def test_a_renewal_loses_no_call(
    site: Site, release: Release, tenant: str, cause: Callable[[Site, Release], None]
) -> None:
    before = stored(site, release)
    with Proxy(site) as server:
        opened = failed_open(server)
        with SteadyCreates(server, tenant, per_second=40) as creates:
            cause(site, release)
            await_served(site, release, other_than=before)
            release.restart()  # the API server keeps its connections: it shakes hands with new Pods
            creates.go_on_until(LEAST_CREATES)
        assert creates.failures == []
        assert failed_open(server) == opened
        assert creates.patched >= LEAST_CREATES


def test_a_new_authority_is_trusted_with_what_it_signs(
    site: Site, release: Release, tenant: str, reader: Reader
) -> None:
    authority, before, bundle = stored(site, release, "issuer"), stored(site, release), trusted(site, release)
    renew(site, release, "ca")
    site.wait(lambda: stored(site, release, "issuer") not in {b"", authority}, "there is a new authority")
    assert (stored(site, release), trusted(site, release)) == (before, bundle)
    await_healthy(reader)
    renew(site, release)
    await_served(site, release, other_than=before)
    await_healthy(reader)
    new = chain_of(stored(site, release, "issuer"))
    old = chain_of(authority) if site.local else []  # before cert-manager 1.19 it was not kept
    assert all({*old, *new} <= set(bundle) for bundle in trusted(site, release))
    with Proxy(site) as server, SteadyCreates(server, tenant, per_second=40) as creates:
        creates.go_on_until(40)
    assert creates.failures == []


def test_another_issuer_may_sign_it(site: Site, release: Release, tenant: str, reader: Reader) -> None:
    authority = issue_authority(datetime.now(UTC), timedelta(days=400))
    data = {"tls.crt": authority.certificate_pem.decode(), "tls.key": authority.private_key_pem.decode()}
    metadata = {"name": ISSUER, "namespace": controllers.NAMESPACE}
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "stringData": data}
    issuer = {"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "spec": {"ca": {"secretName": ISSUER}}}
    site.apply(secret | {"metadata": metadata}, issuer | {"metadata": {"name": ISSUER}})
    before = stored(site, release)
    release.upgrade(certificates=MANAGED | {"issuerRef": {"name": ISSUER, "kind": "ClusterIssuer"}})
    await_served(site, release, other_than=before)
    await_healthy(reader)
    assert chain_of(stored(site, release))[0].issuer == chain_of(authority.certificate_pem)[0].subject
    with Proxy(site) as server, SteadyCreates(server, tenant, per_second=40) as creates:
        creates.go_on_until(40)
    assert creates.failures == []


@pytest.mark.parametrize("mode", ["self-managed", "cert-manager"])
def test_another_mode_takes_over(site: Site, release: Release, tenant: str, reader: Reader, mode: str) -> None:
    before = stored(site, release)
    release.upgrade(certificates={"mode": mode})
    await_served(site, release, other_than=before)
    await_healthy(reader)
    with Proxy(site) as server, SteadyCreates(server, tenant, per_second=40) as creates:
        creates.go_on_until(40)
    assert creates.failures == []


def test_uninstall_leaves_what_cert_manager_wrote_and_nothing_else(site: Site) -> None:
    label = "cert-manager.example.com/inject"
    release = Release(site, "departing", certificates=MANAGED, optIn={"label": label})
    tenant = site.create_namespace("guest", {label: "enabled"})
    namespaces = (release.namespace, tenant)
    before = everything(site, *namespaces)
    release.install()
    release.wait_settled(tenant)
    release.uninstall()
    secrets = {f"Secret/{release.namespace}/{release.fullname}-{which}" for which in ("tls", "issuer")}
    await_left(site, before, secrets, *namespaces)
    assert site.references(tenant) == []
