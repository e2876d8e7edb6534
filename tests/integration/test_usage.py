"""``pullsecrets usage`` on a real API server: what each credential is used for, as the kubelet would use it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import FIRST_PASSWORD
from tests.integration.site.commands import Ran, of_release
from tests.integration.site.playground import COPY, REGISTRY, SOURCE, Playground, dockerconfigjson, eventually, pod

LABEL = "kubernetes.io/metadata.name"


def deployment(images: Sequence[str], replicas: int = 1, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 (any JSON)
    """Return a Deployment with a container for each image."""
    containers = [{"name": f"c{position}", "image": image} for position, image in enumerate(images)]
    template = {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": containers, **spec}}
    body = {"replicas": replicas, "selector": {"matchLabels": {"app": "shop"}}, "template": template}
    return {"apiVersion": "apps/v1", "spec": body}


def await_pods(shared: Playground, namespace: str, number: int = 1) -> None:
    """Wait until a Deployment has made its Pods."""
    eventually(lambda: len(shared.cluster.api.call("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]) == number)


@pytest.fixture(scope="module")
def early(shared: Playground) -> Iterator[str]:
    """A namespace with a Deployment and a Pod that are older than its opt-in, so that they have no reference."""
    name = shared.namespace(selected=False)
    shared.apply(name, "Deployment", "shop", deployment([f"{REGISTRY}/shop", "nginx"], 2))
    shared.create(name, "pods", pod("bare"))
    await_pods(shared, name, 3)
    shared.opt(name, "enabled")
    shared.await_selected(name, FIRST_PASSWORD)
    yield name
    shared.cluster.delete_namespace(name)


@pytest.fixture(scope="module")
def tenant(shared: Playground) -> Iterator[str]:
    """A namespace with the copy, and a Secret of its own for a part of the registry."""
    name = shared.namespace(selected=True)
    shared.await_selected(name, FIRST_PASSWORD)
    own = {"type": "kubernetes.io/dockerconfigjson", "data": dockerconfigjson("own", f"{REGISTRY}/team")}
    shared.apply(name, "Secret", "own", own)
    references = [{"name": "gone"}, {"name": "own"}]
    shared.create(name, "pods", pod("both", image=f"{REGISTRY}/team/app:1", imagePullSecrets=references))
    shared.create(name, "pods", pod("hub", image="busybox"))
    never = [{"name": "main", "image": f"{REGISTRY}/loaded", "imagePullPolicy": "Never"}]
    shared.create(name, "pods", {**pod("loaded"), "spec": {"containers": never}})
    yield name
    shared.cluster.delete_namespace(name)


def uses(ran: Ran) -> dict[tuple[str, str], tuple[str, int]]:
    """Return the result and the number of Pods for each workload and image."""
    assert ran.code == 0, ran.err
    found: list[dict[str, Any]] = json.loads(ran.out)["uses"]
    return {(use["workload"], use["image"]): (use["result"], use["pods"]) for use in found}


def test_new_pods_of_a_workload_get_the_reference_that_the_old_ones_lack_and_a_bare_pod_keeps_none(
    shared: Playground, early: str
) -> None:
    ran = of_release(shared, "usage", SOURCE, "-n", early, "-o", "json")
    assert uses(ran) == {("Deployment/shop", f"{REGISTRY}/shop"): ("used", 2)}


def test_a_more_specific_credential_of_the_namespace_comes_first_and_the_source_is_the_fallback(
    shared: Playground, tenant: str
) -> None:
    app = ("Pod/both", f"{REGISTRY}/team/app:1")
    assert uses(of_release(shared, "usage", COPY, "-n", tenant, "-o", "json")) == {app: ("fallback", 1)}
    assert uses(of_release(shared, "usage", "own", "-n", tenant, "-o", "json")) == {app: ("used", 1)}
    wide = of_release(shared, "usage", "own", "-n", tenant, "-o", "wide")
    tried = f"Secret own of the namespace ({REGISTRY}/team), then {SOURCE} of {COPY} ({REGISTRY})"
    assert wide.out.splitlines()[1].endswith(tried)


def test_the_whole_cluster_is_read_by_default(shared: Playground, early: str, tenant: str) -> None:
    ran = of_release(shared, "usage", SOURCE, "-o", "json")
    assert {use["namespace"] for use in json.loads(ran.out)["uses"]} >= {early, tenant}
    chosen = of_release(shared, "usage", SOURCE, "-l", f"{LABEL}={early}", "-o", "name")
    assert (chosen.code, chosen.out) == (0, "deployment.apps/shop\n")


def test_the_overview_counts_namespaces_workloads_and_pods_of_each_credential(
    shared: Playground, early: str, tenant: str
) -> None:
    ran = of_release(shared, "usage", "-l", f"{LABEL} in ({early},{tenant})", "-o", "json")
    found = {(each["pullSecret"], each["credential"]): each for each in json.loads(ran.out)["credentials"]}
    assert {key: (each["result"], each["pods"]) for key, each in found.items()} == {
        (COPY, SOURCE): ("used", 3),
        ("<none>", "Secret own"): ("used", 1),
        ("<none>", "<none>"): ("used", 4),
    }
    assert found[COPY, SOURCE]["workloads"] == {early: ["Deployment/shop"], tenant: ["Pod/both"]}
    assert ran.err == "Pods use 2 credentials\n"


def test_images_of_docker_hub_without_a_credential_are_counted_by_pods(
    shared: Playground, early: str, tenant: str
) -> None:
    ran = of_release(shared, "usage", "--anonymous", "-l", f"{LABEL} in ({early},{tenant})", "-o", "json")
    found = {each["image"]: (each["result"], each["pods"]) for each in json.loads(ran.out)["images"]}
    assert found == {"nginx": ("anonymous", 2), "busybox": ("anonymous", 1)}
    assert ran.err.startswith("2 images of Docker Hub are pulled without a credential, in 3 pulls if every Pod")


@pytest.mark.parametrize("flags", [(SOURCE,), (), ("--anonymous",)])
@pytest.mark.usefixtures("early", "tenant")
def test_each_report_is_a_page_a_table_and_yaml(shared: Playground, flags: tuple[str, ...]) -> None:
    outputs = {form: of_release(shared, "usage", *flags, "-o", form) for form in ("table", "wide", "yaml", "html")}
    assert {ran.code for ran in outputs.values()} == {0}
    assert outputs["html"].out.startswith("<!DOCTYPE html>")
    assert "<script" not in outputs["html"].out
    assert len(outputs["table"].out.splitlines()) == len(outputs["wide"].out.splitlines())
    assert FIRST_PASSWORD not in str(outputs)


def test_a_name_that_is_nothing_and_contradictory_flags_are_errors(shared: Playground) -> None:
    ran = of_release(shared, "usage", "harbour")
    assert ran.code == 2
    assert f"the release has {SOURCE} and {COPY}" in ran.err
    assert of_release(shared, "usage", SOURCE, "--anonymous").code == 2
    assert of_release(shared, "usage", "-n", "absent").err == (
        "error: namespace absent does not exist; list them: kubectl get namespaces\n"
    )


def test_without_the_right_to_read_secrets_the_result_is_unknown_and_the_right_is_named(
    shared: Playground, tenant: str
) -> None:
    user = f"viewer-{tenant}"
    shared.cluster.kubectl("create", "rolebinding", "viewer", "--clusterrole=view", f"--user={user}", "-n", tenant)
    kubeconfig: Path = shared.cluster.kubeconfig_with_client_certificate(user)
    namespaces = (f"--release-namespace={shared.installation.namespace}",)
    ran = eventually(
        lambda: of_release(shared, "usage", COPY, "-n", tenant, "-o", "json", *namespaces, kubeconfig=kubeconfig),
        lambda ran: ran.code == 0,
    )
    assert uses(ran) == {("Pod/both", f"{REGISTRY}/team/app:1"): ("unknown", 1), ("Pod/hub", "busybox"): ("unknown", 1)}
    assert f"you lack the right to get secrets/{COPY} in namespace {tenant}" in ran.err
