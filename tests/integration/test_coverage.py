"""``pullsecrets coverage`` on a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import FIRST_PASSWORD
from tests.integration.site.commands import of_release
from tests.integration.site.playground import COPY, REGISTRY, Playground, dockerconfigjson, eventually, pod
from tests.integration.site.stuck import pods_of


def covered(playground: Playground, *flags: str) -> tuple[int, dict[tuple[str, str], str]]:
    """Return the exit code, and the result for each workload and image."""
    ran = of_release(playground, "coverage", "-o", "json", *flags)
    assert ran.code in (0, 1), ran.err
    images: list[dict[str, Any]] = json.loads(ran.out)["images"]
    return ran.code, {(each["workload"], each["image"]): each["result"] for each in images}


@pytest.fixture(scope="module")
def team(shared: Playground) -> Iterator[str]:
    """A namespace that opted in after a Pod of it had been created."""
    name = shared.namespace(selected=False)
    shared.create(name, "pods", pod("early"))
    shared.opt(name, "enabled")
    shared.await_selected(name, FIRST_PASSWORD)
    shared.await_injection(name)
    yield name
    shared.cluster.delete_namespace(name)


def test_a_pod_that_is_older_than_the_label_would_fail_on_a_fresh_node(shared: Playground, team: str) -> None:
    shared.create(team, "pods", pod("late"))
    shared.create(team, "pods", pod("public", image="nginx"))
    assert covered(shared, "-n", team) == (
        1,
        {
            ("Pod/early", f"{REGISTRY}/app:1"): "exposed",
            ("Pod/late", f"{REGISTRY}/app:1"): "covered",
            ("Pod/public", "nginx"): "unknown",
        },
    )


def test_the_pods_of_a_deployment_are_one_workload(shared: Playground) -> None:
    namespace = shared.namespace(selected=True)
    shared.await_selected(namespace, FIRST_PASSWORD)
    shared.await_injection(namespace)
    template = {
        "metadata": {"labels": {"app": "shop"}},
        "spec": {
            "containers": [{"name": "shop", "image": f"{REGISTRY}/shop"}],
            "initContainers": [{"name": "wait", "image": "busybox"}],
        },
    }
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "shop"}}, "template": template}
    shared.apply(namespace, "Deployment", "shop", {"apiVersion": "apps/v1", "spec": spec})
    expected = {("Deployment/shop", f"{REGISTRY}/shop"): "covered", ("Deployment/shop", "busybox"): "unknown"}
    eventually(lambda: pods_of(shared, namespace), lambda seen: len(seen) == 3)
    assert covered(shared, "-l", f"kubernetes.io/metadata.name={namespace}") == (0, expected)


def test_a_secret_of_their_own_counts_and_one_that_is_not_there_does_not(shared: Playground) -> None:
    namespace = shared.namespace(selected=False)
    own = {"type": "kubernetes.io/dockerconfigjson", "data": dockerconfigjson("own")}
    shared.apply(namespace, "Secret", "own", own)
    shared.create(namespace, "pods", pod("own", imagePullSecrets=[{"name": "own"}]))
    shared.create(namespace, "pods", pod("gone", imagePullSecrets=[{"name": COPY}]))
    code, found = covered(shared, "-n", namespace)
    assert (code, {workload: result for (workload, _), result in found.items()}) == (
        1,
        {"Pod/own": "covered", "Pod/gone": "exposed"},
    )


def test_a_namespace_without_pods_is_covered_and_one_that_does_not_exist_is_an_error(shared: Playground) -> None:
    assert covered(shared, "-n", shared.namespace(selected=True)) == (0, {})
    nowhere = of_release(shared, "coverage", "-n", "absent")
    assert (nowhere.code, nowhere.err) == (
        2,
        "error: namespace absent does not exist; list them: kubectl get namespaces\n",
    )


@pytest.mark.parametrize("command", ["coverage", "plan"])
def test_what_is_no_label_selector_is_told_of(shared: Playground, command: str) -> None:
    ran = of_release(shared, command, "-l", "team in (a")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: -l team in (a is not a label selector: write it as for kubectl, ")


def test_the_page_and_the_table_say_the_same(shared: Playground, team: str) -> None:
    page = of_release(shared, "coverage", "-n", team, "-o", "html")
    assert page.out.startswith("<!DOCTYPE html>")
    assert '<span class="tag bad">exposed</span>' in page.out
    assert "<script" not in page.out
    table = of_release(shared, "coverage", "-n", team)
    assert [line.split()[:3] for line in table.out.splitlines() if "exposed" in line] == [
        [team, "Pod/early", "exposed"]
    ]
    assert table.err.startswith("1 of ")
    assert "robot" not in page.out + table.out


def test_wide_has_the_references_and_name_the_exposed_workloads(shared: Playground, team: str) -> None:
    wide = of_release(shared, "coverage", "-n", team, "-o", "wide")
    assert wide.out.splitlines()[0].split()[-2:] == ["WHY", "REFERENCES"]
    assert any(line.startswith(team) and line.endswith("<none>") for line in wide.out.splitlines())
    names = of_release(shared, "coverage", "-n", team, "-o", "name")
    assert (names.code, names.out) == (1, "pod/early\n")


def test_expectations_are_compared_with_running_workloads(shared: Playground, team: str, tmp_path: Path) -> None:
    expected = [{"object": "pod/early", "namespace": team, "coverage": each} for each in ("exposed", "covered")]
    file = tmp_path / "expectations.yaml"
    head = {"apiVersion": "pullsecrets.webhook/v1alpha1", "kind": "Expectations"}
    file.write_text(json.dumps({**head, "expectations": expected}))
    ran = of_release(shared, "test", "-e", str(file), "-o", "json")
    document = json.loads(ran.out)
    assert (ran.code, document["passed"], document["failed"]) == (1, 1, 1)
    assert [each["found"] for each in document["results"]] == ["exposed", "exposed"]
    assert document["results"][1]["why"].startswith(f"{REGISTRY}/app:1: {COPY} has a credential")
