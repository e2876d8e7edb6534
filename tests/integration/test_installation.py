"""The chart on a local cluster: what is rendered is what the API server has and what the processes read."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterFailed, HelmFailed
from tests.cluster.install import Installation, install
from tests.cluster.supervise import wait_until

SECONDS = 60.0
"""For the API server to learn of rights by a watch of its own: a moment, if nothing else keeps the machine busy."""

FIRST = {"name": "first", "sources": [{"secretName": "harbor"}]}
SELECTING = {
    "name": "second",
    "sources": [{"secretName": "ghcr"}],
    "namespaceSelector": {"matchLabels": {"team": "a"}},
}


@pytest.fixture
def installer(cluster: Cluster) -> Iterator[Callable[..., Installation]]:
    """Install the chart with the values given as keywords, under a name of the test's own; uninstalled after it."""
    with contextlib.ExitStack() as installed:

        def make(**values: Any) -> Installation:  # noqa: ANN401 (Helm values are any JSON)
            release = f"psw-{uuid.uuid4().hex[:8]}"
            return installed.enter_context(install(cluster, release, f"{release}-system", values))

        yield make


def document(installation: Installation) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(installation.configuration_file.read_text())
    return loaded


def can(cluster: Cluster, user: str, *question: str) -> bool:
    as_user = f"--as=system:serviceaccount:{user}"
    return cluster.kubectl("auth", "can-i", as_user, *question, check=False).strip() == "yes"


def test_the_webhook_configuration_points_at_the_process_outside_the_cluster(
    cluster: Cluster, installer: Callable[..., Installation]
) -> None:
    installed = installer(pullSecrets=[FIRST])
    path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{installed.webhook_configuration}"
    urls = {webhook["clientConfig"]["url"] for webhook in cluster.api.call("GET", path)["webhooks"]}
    assert urls == {f"https://127.0.0.1:{installed.webhook_port}/mutate"}


def test_no_workload_of_the_chart_is_installed(cluster: Cluster, installer: Callable[..., Installation]) -> None:
    installed = installer(pullSecrets=[FIRST])
    assert cluster.api.call("GET", f"/apis/apps/v1/namespaces/{installed.namespace}/deployments")["items"] == []


def test_the_kubeconfigs_have_the_identities_of_the_chart(
    cluster: Cluster, installer: Callable[..., Installation]
) -> None:
    installed = installer(pullSecrets=[FIRST])
    for kubeconfig, role in ((installed.webhook_kubeconfig, "webhook"), (installed.sync_kubeconfig, "sync")):
        name = cluster.kubectl(
            "--kubeconfig", str(kubeconfig), "auth", "whoami", "--output=jsonpath={.status.userInfo.username}"
        )
        assert name == f"system:serviceaccount:{installed.namespace}:{installed.fullname}-{role}"
        with pytest.raises(ClusterFailed, match="Forbidden"):
            cluster.kubectl("--kubeconfig", str(kubeconfig), "get", "secrets", "--namespace", installed.namespace)


def test_a_new_configuration_replaces_document_and_rights_and_leaves_nothing_of_the_old(
    cluster: Cluster, installer: Callable[..., Installation]
) -> None:
    installed = installer(pullSecrets=[FIRST, SELECTING])
    sync = f"{installed.namespace}:{installed.fullname}-sync"
    webhook = f"{installed.namespace}:{installed.fullname}-webhook"
    assert [entry["name"] for entry in document(installed)["pullSecrets"]] == ["first", "second"]
    assert wait_until(lambda: can(cluster, sync, "get", "secrets/second"), SECONDS)
    assert wait_until(lambda: can(cluster, webhook, "list", "namespaces"), SECONDS)
    data = installed.configuration.directory / "..data"
    before = data.readlink()

    installed.set_configuration(pullSecrets=[FIRST])

    assert [entry["name"] for entry in document(installed)["pullSecrets"]] == ["first"]
    assert data.readlink() != before
    assert not (data.parent / before).exists()
    assert wait_until(lambda: not can(cluster, sync, "get", "secrets/second"), SECONDS)
    assert wait_until(lambda: not can(cluster, webhook, "list", "namespaces"), SECONDS)
    assert can(cluster, sync, "get", "secrets/first")


def test_values_that_the_schema_refuses_install_nothing(installer: Callable[..., Installation]) -> None:
    with pytest.raises(HelmFailed, match="pullSecrets"):
        installer(pullSecrets="registry-credentials")


def test_an_uninstalled_release_leaves_nothing_cluster_wide(
    cluster: Cluster, installer: Callable[..., Installation]
) -> None:
    installed = installer(pullSecrets=[FIRST, SELECTING])
    installed.uninstall()
    kinds = "clusterroles,clusterrolebindings,mutatingwebhookconfigurations"
    assert installed.fullname not in cluster.kubectl("get", kinds, "--output=name")
