"""What an operator may add to the Pods of the chart."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.rendered import FULLNAME, NAMESPACE, Rendered, render

WORKLOADS = {"webhook": "Deployment", "sync": "Deployment", "cleanup": "Job"}
each_workload = pytest.mark.parametrize("component", WORKLOADS)


def template(rendered: Rendered, component: str) -> dict[str, Any]:
    return dict(rendered.one(WORKLOADS[component], f"-{component}")["spec"]["template"])


def of(component: str, **pod: Any) -> dict[str, Any]:  # noqa: ANN401 (values are any JSON)
    """Return the Pod template with these values; the clean-up takes those of sync."""
    return template(render({"sync" if component == "cleanup" else component: pod}), component)


@each_workload
def test_pods_run_on_linux_nodes(component: str) -> None:
    assert of(component)["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
    chosen = of(component, nodeSelector={"pool": "infra"})["spec"]["nodeSelector"]
    assert chosen == {"kubernetes.io/os": "linux", "pool": "infra"}


@each_workload
def test_labels_and_annotations_of_pods_never_replace_what_they_are_found_by(component: str) -> None:
    own = {"app.kubernetes.io/component": component, "app.kubernetes.io/name": "pull-secret-webhook"}
    labels = {"team": "platform", "app.kubernetes.io/component": "other"}
    metadata = of(component, podLabels=labels, podAnnotations={"sidecar.istio.io/inject": "false"})["metadata"]
    assert metadata["labels"] == {**own, "app.kubernetes.io/instance": "psw", "team": "platform"}
    assert metadata["annotations"] == {"sidecar.istio.io/inject": "false"}


def test_common_labels_and_annotations_are_on_every_object_and_pod() -> None:
    common = {"commonLabels": {"team": "platform"}, "commonAnnotations": {"contact": "platform@example.com"}}
    rendered = render({**common, "networkPolicy": {"enabled": True}, "certificates": {"mode": "cert-manager"}})
    pods = [template(rendered, component) for component in WORKLOADS]
    for item in [*rendered.objects, *pods]:
        assert item["metadata"]["labels"]["team"] == "platform"
        assert item["metadata"]["annotations"]["contact"] == "platform@example.com"


def test_common_labels_replace_none_of_the_charts() -> None:
    ours = ("app.kubernetes.io/managed-by", "app.kubernetes.io/name", "app.kubernetes.io/component")
    before, after = render(), render({"commonLabels": dict.fromkeys(ours, "other")})
    for one, other in zip(before.objects, after.objects, strict=True):
        assert one["metadata"]["labels"].items() <= other["metadata"]["labels"].items()


def test_a_namespace_of_ones_own_is_that_of_everything() -> None:
    values = {"namespaceOverride": "elsewhere", "networkPolicy": {"enabled": True}}
    rendered = render({**values, "certificates": {"mode": "cert-manager"}})
    assert {item["metadata"].get("namespace", "elsewhere") for item in rendered.objects} == {"elsewhere"}
    assert "--namespace=elsewhere" in rendered.container("sync")["args"]
    assert f"--tls-secret=elsewhere/{FULLNAME}-tls" in rendered.container("webhook")["args"]
    assert rendered.webhook("pods")["clientConfig"]["service"]["namespace"] == "elsewhere"
    assert NAMESPACE not in str(rendered.objects)
