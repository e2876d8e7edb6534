from __future__ import annotations

import functools
import json
from typing import Any

import pytest
import yaml

from tests.chart.rendered import FULLNAME, render
from tests.chart.valuesets import VALUE_SETS
from tests.cluster import helm
from tests.cluster.binaries import kubernetes_version

each_value_set = pytest.mark.parametrize("name", VALUE_SETS)


class OnlyOnce(yaml.SafeLoader):
    """A loader that refuses a key that is there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT002 (overridden)
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"twice: {keys}{node.start_mark}"
        return dict(super().construct_mapping(node, deep))


@functools.cache
def text(name: str) -> str:
    options = ["--kube-version", kubernetes_version(), "--values", "-"]
    return helm.run(
        ["template", "psw", str(helm.CHART), *options], stdin=json.dumps(helm.installable(VALUE_SETS[name]))
    )


@each_value_set
def test_helm_lint_finds_nothing(name: str) -> None:
    helm.run(
        ["lint", "--strict", "--quiet", str(helm.CHART), "--values", "-"],
        stdin=json.dumps(helm.installable(VALUE_SETS[name])),
    )


@each_value_set
def test_two_renders_are_equal(name: str) -> None:
    assert text(name) == text.__wrapped__(name)


@each_value_set
def test_no_field_is_written_twice(name: str) -> None:
    """Helm and kubectl would take the last one, and say nothing."""
    assert list(yaml.load_all(text(name), OnlyOnce))


def test_the_defaults_install_the_whole_house() -> None:
    names = sorted((item["kind"], item["metadata"]["name"].removeprefix(FULLNAME)) for item in render().objects)
    assert names == [
        ("ClusterRole", "-check"),
        ("ClusterRole", "-cleanup"),
        ("ClusterRole", "-reader"),
        ("ClusterRole", "-sync"),
        ("ClusterRoleBinding", "-check"),
        ("ClusterRoleBinding", "-cleanup"),
        ("ClusterRoleBinding", "-reader"),
        ("ClusterRoleBinding", "-sync"),
        ("ConfigMap", ""),
        ("Deployment", "-sync"),
        ("Deployment", "-webhook"),
        ("Job", "-cleanup"),
        ("MutatingWebhookConfiguration", ""),
        ("Pod", "-check"),
        ("PodDisruptionBudget", "-sync"),
        ("PodDisruptionBudget", "-webhook"),
        ("Role", "-check"),
        ("Role", "-cleanup"),
        ("Role", "-reader"),
        ("Role", "-sync"),
        ("Role", "-webhook"),
        ("RoleBinding", "-check"),
        ("RoleBinding", "-cleanup"),
        ("RoleBinding", "-reader"),
        ("RoleBinding", "-sync"),
        ("RoleBinding", "-webhook"),
        ("Service", "-webhook"),
        ("ServiceAccount", "-check"),
        ("ServiceAccount", "-cleanup"),
        ("ServiceAccount", "-sync"),
        ("ServiceAccount", "-webhook"),
        ("ValidatingAdmissionPolicy", "-events"),
        ("ValidatingAdmissionPolicy", "-leases"),
        ("ValidatingAdmissionPolicy", "-secrets"),
        ("ValidatingAdmissionPolicy", "-serviceaccounts"),
        ("ValidatingAdmissionPolicy", "-webhooks"),
        ("ValidatingAdmissionPolicyBinding", "-events"),
        ("ValidatingAdmissionPolicyBinding", "-leases"),
        ("ValidatingAdmissionPolicyBinding", "-secrets"),
        ("ValidatingAdmissionPolicyBinding", "-serviceaccounts"),
        ("ValidatingAdmissionPolicyBinding", "-webhooks"),
    ]


def test_every_object_says_which_release_it_belongs_to() -> None:
    for item in render().objects:
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "psw"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"


def test_a_release_named_like_the_chart_does_not_repeat_it() -> None:
    objects = helm.template("pull-secret-webhook", "default")
    assert "pull-secret-webhook" in {item["metadata"]["name"] for item in objects}


def test_the_longest_release_name_still_makes_a_service_name() -> None:
    objects = helm.template("r" * 53, "default")
    (service,) = (item for item in objects if item["kind"] == "Service")
    assert len(service["metadata"]["name"]) <= 63


def test_names_that_yaml_takes_for_something_else_stay_names() -> None:
    objects = helm.template("123", "456", {"fullnameOverride": "789"})
    assert all(item["metadata"].get("namespace", "456") == "456" for item in objects)
    assert all(item["metadata"]["labels"]["app.kubernetes.io/instance"] == "123" for item in objects)
    assert "789" in {item["metadata"]["name"] for item in objects}
