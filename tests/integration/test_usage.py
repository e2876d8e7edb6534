"""``pullsecrets usage`` and ``revoke --dry-run`` on a real API server: the use of credentials as the kubelet has it."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certs.authority import issue_authority, issue_leaf
from tests.integration.conftest import FIRST_PASSWORD
from tests.integration.site.commands import Ran, of_release
from tests.integration.site.playground import COPY, REGISTRY, SOURCE, Playground, dockerconfigjson, eventually, pod
from tests.unit.registries.registry import PASSWORD, Registry

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
    shared.await_injection(name)
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


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, Path]]:
    """A registry on loopback that requires a login, and the file of its authority."""
    folder, now = tmp_path_factory.mktemp("registry"), datetime.now(UTC)
    authority = issue_authority(now, timedelta(days=1))
    leaf = issue_leaf(authority, ["127.0.0.1"], now, timedelta(days=1))
    (folder / "tls.pem").write_bytes(leaf.certificate_pem + leaf.private_key_pem)
    (folder / "ca.crt").write_bytes(authority.certificate_pem)
    server = Registry(folder / "tls.pem")
    yield server, folder / "ca.crt"
    server.close()


def test_revoking_is_predicted_with_all_secrets_of_a_pod_and_with_the_answers_of_the_registry(
    shared: Playground, registry: tuple[Registry, Path], tmp_path: Path
) -> None:
    server, ca_file = registry
    namespace = shared.namespace(selected=False)
    for name, password in (("revoked", "old"), ("good", PASSWORD), ("bad", "wrong")):
        data = dockerconfigjson(password, server.key)
        shared.apply(namespace, "Secret", name, {"type": "kubernetes.io/dockerconfigjson", "data": data})
        (tmp_path / name).write_bytes(b64decode(data[".dockerconfigjson"]))
    image = f"{server.key}/team/app:1"
    for name, others in (("alone", []), ("saved", ["bad", "good"]), ("lost", ["bad", "gone"])):
        references = [{"name": each} for each in ("revoked", *others)]
        shared.create(namespace, "pods", pod(name, image=image, imagePullSecrets=references))
    given = ("revoke", SOURCE, "--dry-run", "--from-file", str(tmp_path / "revoked"), "-n", namespace, "-o", "json")

    guessed = of_release(shared, *given)
    assert (guessed.code, results(guessed)) == (
        1,
        {"Pod/alone": "fails", "Pod/saved": "unknown", "Pod/lost": "unknown"},
    )
    asked = of_release(shared, *given, "--ask-registry", "--registry-ca-file", str(ca_file))
    assert (asked.code, results(asked)) == (1, {"Pod/alone": "fails", "Pod/saved": "works", "Pod/lost": "fails"})
    assert asked.err == (f"2 of 3 workloads with the credential in {tmp_path / 'revoked'} would fail on a fresh node\n")
    server.behaviour.scheme = "none"
    asked = of_release(shared, *given, "--ask-registry", "--registry-ca-file", str(ca_file))
    assert (asked.code, set(results(asked).values())) == (0, {"works"})
    names = of_release(shared, *given[:-1], "name")
    assert (names.code, names.out) == (1, "pod/alone\n")
    page = of_release(shared, *given[:-1], "html")
    assert '<span class="tag bad">fails</span>' in page.out
    assert PASSWORD not in asked.out + asked.err + page.out


def results(ran: Ran) -> dict[str, str]:
    """Return the result of each workload."""
    return {each["workload"]: each["result"] for each in json.loads(ran.out)["images"]}


def test_only_undecided_pulls_are_exit_code_4_and_a_revocation_itself_is_refused(
    shared: Playground, early: str, tenant: str
) -> None:
    given = ("revoke", SOURCE, "--dry-run", "-o", "json")
    failing = of_release(shared, *given, "-n", early)
    assert (failing.code, results(failing)) == (1, {"Deployment/shop": "fails"})
    undecided = of_release(shared, *given, "-n", tenant)
    assert (undecided.code, results(undecided)) == (4, {"Pod/both": "unknown"})
    assert of_release(shared, "revoke", SOURCE).err.startswith("error: pullsecrets never changes a registry: add ")
    assert of_release(shared, "revoke", "nothing", "--dry-run").err == (
        f"error: release {shared.installation.release} has no source nothing: its sources are {SOURCE}\n"
    )
    assert "--from-file" in of_release(shared, "revoke", COPY, "--dry-run", "--previous").err
