"""The chart and the API server itself: what is rendered is valid there, and Helm installs, changes and removes it."""

from __future__ import annotations

import contextlib
import json
import uuid
from base64 import b64encode
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml

from tests.chart.valuesets import VALUE_SETS
from tests.cluster import helm, processes
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterFailed, HelmFailed
from tests.integration.neighbours import certmanager, prometheus_operator
from tests.integration.site.playground import eventually
from tests.integration.site.rights import await_right

RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
FIRST = {"pullSecrets": [{"name": "first", "sources": [{"secretName": "harbor"}]}]}
SECOND = {"pullSecrets": [{"name": "second", "sources": [{"secretName": "harbor"}]}], "retired": ["first"]}
LONGEST_RELEASE = "r" * 53
CLUSTER_WIDE = "clusterroles,clusterrolebindings,mutatingwebhookconfigurations"
IN_NAMESPACE = "all,serviceaccounts,configmaps,secrets,roles,rolebindings,poddisruptionbudgets,networkpolicies"


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace in which no Pod may do more than the restricted standard allows."""
    name = f"restricted-{uuid.uuid4().hex[:8]}"
    cluster.create_namespace(name, RESTRICTED)
    yield name
    cluster.delete_namespace(name)


def dry_run(cluster: Cluster, release: str, namespace: str, values: Mapping[str, Any]) -> list[str]:
    """Have the API server judge what is rendered, unknown fields and warnings included; return what it names."""
    certmanager.define(cluster)
    prometheus_operator.define(cluster)
    rendered = helm.template(release, namespace, values)
    for item in rendered:
        if item["kind"] == "Pod":  # a dry run stores nothing, so its own account is not there yet
            item["spec"]["serviceAccountName"] = "default"
    eventually(lambda: "default" in cluster.kubectl("get", "serviceaccounts", f"--namespace={namespace}", "-o", "name"))
    items = {"apiVersion": "v1", "kind": "List", "items": rendered}
    options = ["--server-side", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "--output=name"]
    return cluster.kubectl("apply", *options, "-f", "-", input=json.dumps(items)).split()


@pytest.mark.parametrize("name", VALUE_SETS)
def test_what_is_rendered_is_valid_on_the_api_server(cluster: Cluster, namespace: str, name: str) -> None:
    rendered = helm.template("psw", namespace, VALUE_SETS[name])
    assert len(dry_run(cluster, "psw", namespace, VALUE_SETS[name])) == len(rendered)


def test_the_longest_name_of_a_release_is_valid(cluster: Cluster, namespace: str) -> None:
    assert dry_run(cluster, LONGEST_RELEASE, namespace, VALUE_SETS["everything"])


def test_sharing_the_network_of_the_nodes_is_valid_where_the_namespace_allows_it(
    cluster: Cluster, namespace: str
) -> None:
    values = {"webhook": {"hostNetwork": True, "securePort": 10443, "metricsPort": 10080}}
    assert dry_run(cluster, "psw", "default", values)
    with pytest.raises(ClusterFailed, match="host namespaces"):
        dry_run(cluster, "psw", namespace, values)


class Release:
    """One release, installed by Helm itself."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.name = f"psw-{uuid.uuid4().hex[:8]}"
        self.fullname = f"{self.name}-pull-secret-webhook"

    def helm(self, command: str, *arguments: str, values: Mapping[str, Any] | None = None) -> str:
        options = [f"--kubeconfig={self.cluster.kubeconfig}", f"--namespace={self.namespace}"]
        given = [] if values is None else ["--values=-"]
        return helm.run(
            [command, self.name, *arguments, *options, *given], stdin=json.dumps(helm.installable(values or {}))
        )

    def install(self, values: Mapping[str, Any]) -> str:
        return self.helm("install", str(helm.CHART), values=values)

    def names(self) -> list[str]:
        """Return the names of what carries the label of the release, as kind/name."""
        selector = f"--selector=app.kubernetes.io/instance={self.name}"
        inside = self.cluster.kubectl("get", IN_NAMESPACE, selector, f"--namespace={self.namespace}", "--output=name")
        return [*inside.split(), *self.cluster.kubectl("get", CLUSTER_WIDE, selector, "--output=name").split()]

    def configured(self) -> dict[str, Any]:
        path = f"/api/v1/namespaces/{self.namespace}/configmaps/{self.fullname}"
        document: dict[str, Any] = yaml.safe_load(self.cluster.api.call("GET", path)["data"]["config.yaml"])
        return document

    def pods(self, component: str) -> list[dict[str, Any]]:
        selector = f"app.kubernetes.io/instance%3D{self.name},app.kubernetes.io/component%3D{component}"
        path = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={selector}"
        found: list[dict[str, Any]] = self.cluster.api.call("GET", path)["items"]
        return found


@pytest.fixture
def release(cluster: Cluster, namespace: str) -> Iterator[Release]:
    made = Release(cluster, namespace)
    yield made
    with contextlib.suppress(HelmFailed):  # the test has uninstalled it
        made.helm("uninstall", "--no-hooks")


def test_its_pods_are_admitted_where_only_restricted_pods_are(release: Release) -> None:
    release.install(FIRST)
    for component in ("webhook", "sync"):
        assert len(eventually(lambda of=component: release.pods(of), lambda pods: len(pods) == 2)) == 2  # type: ignore[misc]


def test_helm_says_what_to_do_next(release: Release) -> None:
    said = release.install(FIRST)
    assert f"rollout status deployment/{release.fullname}-sync deployment/{release.fullname}-webhook" in said
    assert "create secret docker-registry harbor" in said


def test_an_upgrade_and_a_rollback_change_document_and_rights_and_leave_nothing_behind(release: Release) -> None:
    release.install(FIRST)
    before = release.names()
    release.helm("upgrade", str(helm.CHART), values={**SECOND, "networkPolicy": {"enabled": True}})
    assert [entry["name"] for entry in release.configured()["pullSecrets"]] == ["second"]
    assert f"networkpolicy.networking.k8s.io/{release.fullname}" in release.names()
    release.helm("rollback", "1")
    assert [entry["name"] for entry in release.configured()["pullSecrets"]] == ["first"]
    settled = {"pod", "replicaset.apps"}
    assert kept(release.names(), settled) == kept(before, settled)


def kept(names: list[str], without: set[str]) -> list[str]:
    return sorted(name for name in names if name.partition("/")[0] not in without)


def test_an_upgrade_leaves_the_bundle_that_sync_has_set(release: Release) -> None:
    release.install(FIRST)
    path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{release.fullname}"
    bundle = b64encode(VALUE_SETS["everything"]["webhook"]["clientCA"].encode()).decode()
    patch = [{"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": bundle} for index in (0, 1)]
    api = release.cluster.api
    api.call("PATCH", path, patch, "application/json-patch+json")
    release.helm("upgrade", str(helm.CHART), values={**SECOND, "webhook": {"timeoutSeconds": 3}})
    release.helm("rollback", "1")
    release.helm("upgrade", str(helm.CHART), values={**SECOND, "webhook": {"timeoutSeconds": 2}})
    webhooks = api.call("GET", path)["webhooks"]
    assert {webhook["timeoutSeconds"] for webhook in webhooks} == {2}
    assert {webhook["clientConfig"]["caBundle"] for webhook in webhooks} == {bundle}


def test_an_uninstall_that_cannot_clean_up_removes_nothing(release: Release) -> None:
    """There is no node here, so the Job never ends: Helm gives up, and what the Job runs as stays for its next try."""
    release.install(FIRST)
    before = release.names()

    def gives_up_at_the_job() -> bool:
        with pytest.raises(HelmFailed, match=r"timed out|deadline exceeded"):
            release.helm("uninstall", "--timeout=3s")
        return any(name.startswith("job.batch/") for name in release.names())

    eventually(gives_up_at_the_job)  # on a busy machine the patience may end at what is made before the Job
    (pod,) = eventually(lambda: release.pods("cleanup"))  # the Job's controller may be slower than Helm's patience
    assert pod["spec"]["serviceAccountName"] == f"{release.fullname}-cleanup"
    settled = {"pod", "replicaset.apps", "job.batch"}
    after = kept(release.names(), settled)
    assert [name for name in after if not name.endswith("-cleanup")] == kept(before, settled)
    assert [name for name in before if name.endswith("-cleanup")] == []


def test_an_uninstall_goes_on_when_the_job_has_cleaned_up(release: Release) -> None:
    release.install(FIRST)
    with ThreadPoolExecutor(1) as pool:
        uninstalled = pool.submit(release.helm, "uninstall", "--timeout=180s")
        (pod,) = eventually(lambda: release.pods("cleanup"))
        run_as_the_kubelet_would(release, pod)
        uninstalled.result()
    eventually(release.names, lambda names: not names)


def run_as_the_kubelet_would(release: Release, pod: Mapping[str, Any]) -> None:
    """Run the container's own arguments with the Pod's own identity, and report that it has succeeded."""
    cluster, (container,) = release.cluster, pod["spec"]["containers"]
    configuration = cluster.directory / f"{release.name}-config.yaml"
    configuration.write_text(yaml.safe_dump(release.configured()))
    mounted = [argument.replace("/etc/pullsecrets/config.yaml", str(configuration)) for argument in container["args"]]
    account = pod["spec"]["serviceAccountName"]
    kubeconfig = cluster.kubeconfig_for(account, release.namespace)
    # Helm has made the rights a moment ago. Without them the container ends, and the Job starts another one.
    user, lease = f"system:serviceaccount:{release.namespace}:{account}", f"{release.fullname}-sync"
    await_right(cluster, user, "list", "namespaces")
    await_right(cluster, user, "get", "leases", group="coordination.k8s.io", namespace=release.namespace, name=lease)
    program = cluster.keeper.start(
        f"{release.name}-cleanup",
        [str(processes.COMMAND), *mounted, f"--kubeconfig={kubeconfig}"],
        processes.clean_environment(),
    )
    assert program.wait(60) == 0, program.output
    ended = {"name": container["name"], "state": {"terminated": {"exitCode": 0}}, "ready": False, "restartCount": 0}
    status = {"phase": "Succeeded", "containerStatuses": [{**ended, "image": container["image"], "imageID": ""}]}
    path = f"/api/v1/namespaces/{release.namespace}/pods/{pod['metadata']['name']}/status"
    cluster.api.call("PATCH", path, {"status": status}, "application/merge-patch+json")


def test_an_uninstall_without_hooks_leaves_nothing_that_helm_has_made(release: Release) -> None:
    release.install({**FIRST, "networkPolicy": {"enabled": True}})
    assert release.names()
    release.helm("uninstall", "--no-hooks")
    eventually(release.names, lambda names: not names)


def test_a_release_that_asks_for_an_unknown_value_installs_nothing(release: Release) -> None:
    with pytest.raises(HelmFailed, match="replica"):
        release.install({"webhook": {"replica": 3}})
    assert release.names() == []
