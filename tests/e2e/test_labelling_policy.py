"""A cluster whose own policy labels each ServiceAccount and Secret that is created or changed."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.release import Release
from tests.e2e.site import COPY, OPT_IN, Site
from tests.e2e.workloads import pod

LABEL = "policy.example.com/team"
_NAME = "label-everything"
_API = "admissionregistration.k8s.io/v1"
_LABELLED = f'Object{{metadata: Object.metadata{{labels: {{"{LABEL}": "platform"}}}}}}'


@pytest.fixture
def policy(site: Site) -> Iterator[None]:
    """A MutatingAdmissionPolicy as a platform team would write it, in force before anything of ours is there."""
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "resources": ["serviceaccounts", "secrets"],
        "operations": ["CREATE", "UPDATE"],
    }
    spec: dict[str, Any] = {
        "matchConstraints": {"resourceRules": [rule]},
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": _LABELLED}}],
    }
    about = {"apiVersion": _API, "metadata": {"name": _NAME}}
    site.apply(
        {"kind": "MutatingAdmissionPolicy", **about, "spec": spec},
        {"kind": "MutatingAdmissionPolicyBinding", **about, "spec": {"policyName": _NAME}},
    )
    probe = site.create_namespace("probe")

    def in_force() -> bool:
        site.kubectl("annotate", "serviceaccount", "default", "-n", probe, "probe=yes", "--overwrite")
        return _label_of(site, probe, "serviceaccount", "default") == "platform"

    try:
        site.wait(in_force, "the policy is in force")
        yield
    finally:
        site.kubectl("delete", "mutatingadmissionpolicybinding,mutatingadmissionpolicy", _NAME)


@pytest.mark.usefixtures("policy")
def test_the_guard_lets_our_work_pass_beside_a_labelling_policy(site: Site) -> None:
    release = Release(site, "labelled")
    release.install()
    tenant = release.create_tenant("labelled")
    assert _label_of(site, tenant, "secret", COPY) == "platform"
    assert _label_of(site, tenant, "serviceaccount", "default") == "platform"
    site.apply(pod("web", site.private_image) | {"metadata": {"name": "web", "namespace": tenant}})
    site.wait_ready(tenant, "web")

    site.set_source(release.namespace, "rotated")
    site.wait(lambda: "rotated" in _content(site, tenant), "the copy follows its source")
    site.kubectl("label", "namespace", tenant, f"{OPT_IN}-")
    site.wait(lambda: not site.exists("secret", COPY, "-n", tenant), "the copy is gone after the opt-out")
    site.wait(lambda: site.references(tenant) == [], "the reference is gone after the opt-out")

    site.kubectl("label", "namespace", tenant, f"{OPT_IN}=enabled")
    release.wait_settled(tenant)
    release.uninstall()
    assert not site.exists("secret", COPY, "-n", tenant)
    assert site.references(tenant) == []
    assert _label_of(site, tenant, "serviceaccount", "default") == "platform"


def _label_of(site: Site, namespace: str, kind: str, name: str) -> str | None:
    value: str | None = site.get(kind, name, "-n", namespace)["metadata"].get("labels", {}).get(LABEL)
    return value


def _content(site: Site, namespace: str) -> str:
    return base64.b64decode(site.get("secret", COPY, "-n", namespace)["data"][".dockerconfigjson"]).decode()
