"""What an operator may add to the Pods of the chart."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.rendered import FULLNAME, NAMESPACE, Rendered, render

WORKLOADS = {"webhook": "Deployment", "sync": "Deployment", "cleanup": "Job"}
each_workload = pytest.mark.parametrize("component", WORKLOADS)
each_deployment = pytest.mark.parametrize("component", ["webhook", "sync"])


def test_helm_test_runs_check_with_the_settings_of_every_pod() -> None:
    pod = render({"global": {"imagePullSecrets": ["mirror"]}}).one("Pod", "-check")
    (container,) = pod["spec"]["containers"]
    assert container["args"] == [
        "check",
        "--release=psw",
        f"--release-namespace={NAMESPACE}",
        "--wait",
        "--allow-unknown",
    ]
    assert pod["spec"]["imagePullSecrets"] == [{"name": "mirror"}]
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"


def template(rendered: Rendered, component: str) -> dict[str, Any]:
    return dict(rendered.one(WORKLOADS[component], f"-{component}")["spec"]["template"])


def of(component: str, **pod: Any) -> dict[str, Any]:  # noqa: ANN401 (values are any JSON)
    """Return the Pod template with these values; the clean-up takes those of sync."""
    return template(render({"sync" if component == "cleanup" else component: pod}), component)


@each_workload
@pytest.mark.parametrize(
    ("value", "given"),
    [
        ("priorityClassName", "system-cluster-critical"),
        ("tolerations", [{"key": "infra", "operator": "Exists"}]),
        ("affinity", {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}),
    ],
)
def test_where_a_pod_runs_comes_from_the_values(component: str, value: str, given: object) -> None:
    assert value not in of(component)["spec"]
    assert of(component, **{value: given})["spec"][value] == given


@each_workload
def test_pods_run_on_linux_nodes(component: str) -> None:
    assert of(component)["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
    chosen = of(component, nodeSelector={"pool": "infra"})["spec"]["nodeSelector"]
    assert chosen == {"kubernetes.io/os": "linux", "pool": "infra"}


@each_workload
def test_variables_and_volumes_are_added_to_those_of_the_chart(component: str) -> None:
    env = [{"name": "HTTPS_PROXY", "value": "http://proxy.example.com"}]
    volume, mount = {"name": "ca", "configMap": {"name": "ca"}}, {"name": "ca", "mountPath": "/etc/ssl/ours"}
    spec = of(component, extraEnv=env, extraVolumes=[volume], extraVolumeMounts=[mount])["spec"]
    (container,) = spec["containers"]
    assert container["env"] == env
    assert [item["name"] for item in spec["volumes"]] == ["config", "tmp", "ca"]
    assert [item["name"] for item in container["volumeMounts"]] == ["config", "tmp", "ca"]


@each_deployment
def test_arguments_of_ones_own_come_last_and_so_count(component: str) -> None:
    arguments = render({component: {"extraArgs": ["--log-level=debug", "--x=a b"]}}).container(component)["args"]
    assert arguments[-2:] == ["--log-level=debug", "--x=a b"]


@each_workload
def test_labels_and_annotations_of_pods_never_replace_what_they_are_found_by(component: str) -> None:
    own = {"app.kubernetes.io/component": component, "app.kubernetes.io/name": "pull-secret-webhook"}
    labels = {"team": "platform", "app.kubernetes.io/component": "other"}
    metadata = of(component, podLabels=labels, podAnnotations={"sidecar.istio.io/inject": "false"})["metadata"]
    assert metadata["labels"] == {**own, "app.kubernetes.io/instance": "psw", "team": "platform"}
    assert metadata["annotations"] == {"sidecar.istio.io/inject": "false"}


@each_deployment
def test_annotations_of_a_deployment_are_not_those_of_its_pods(component: str) -> None:
    deployment = render({component: {"deploymentAnnotations": {"a": "b"}}}).one("Deployment", f"-{component}")
    assert deployment["metadata"]["annotations"] == {"a": "b"}
    assert "annotations" not in deployment["spec"]["template"]["metadata"]


@each_workload
def test_the_image_itself_may_need_a_credential(component: str) -> None:
    rendered = render({"imagePullSecrets": [{"name": "ours"}]})
    assert template(rendered, component)["spec"]["imagePullSecrets"] == [{"name": "ours"}]


@each_workload
def test_openshift_may_choose_the_user(component: str) -> None:
    rendered = render({"podSecurityContext": {"runAsUser": None, "runAsGroup": None}})
    assert template(rendered, component)["spec"]["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


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
