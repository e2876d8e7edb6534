"""values.yaml, its comments, its schema and the templates name the same values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.declared import Value, at, in_schema, nested, strict_schema, values
from tests.chart.rendered import SAMPLE, render
from tests.cluster.helm import CHART
from tools.chart import values_schema

DECLARED = values()
KEY = {"key": "department", "operator": "Exists"}
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PROVIDED = {"certificates": {"mode": "provided"}}
CERT_MANAGER = {"certificates": {"mode": "cert-manager"}}
OUTSIDE = {"webhook": {"url": "https://127.0.0.1:9443"}}

OTHERS: dict[str, Any] = {
    "nameOverride": "other",
    "fullnameOverride": "other",
    "namespaceOverride": "other",
    "image.repository": "registry.example.com/other",
    "image.tag": "1.2.3",
    "image.digest": f"sha256:{'a' * 64}",
    "image.pullPolicy": "Always",
    "imagePullSecrets": [{"name": "ours"}],
    "optIn.scope": "All",
    "optIn.label": "example.com/other",
    "optIn.value": "other",
    "excludedNamespaces": ["other"],
    "pullSecrets": SAMPLE["pullSecrets"][:1],
    "sourceSecrets": [{"name": "ghcr", "registry": "ghcr.io", "username": "robot", "password": "invented"}],
    "retired": ["other"],
    "log.format": "text",
    "log.level": "debug",
    "certificates.mode": "cert-manager",
    "certificates.caLifetime": "90d",
    "certificates.lifetime": "7d",
    "certificates.caSettle": "20s",
    "certificates.issuerRef.name": "other",
    "certificates.issuerRef.kind": "ClusterIssuer",
    "certificates.issuerRef.group": "example.com",
    "guard.othersMayAdd": ["policy.example.com/*"],
    "networkPolicy.webhookFrom": [{"ipBlock": {"cidr": "10.0.0.1/32"}}],
    "networkPolicy.dnsTo": [{"ipBlock": {"cidr": "10.0.0.1/32"}}],
    "networkPolicy.apiServerTo": [{"ipBlock": {"cidr": "10.0.0.1/32"}}],
    "webhook.url": "https://webhook.example.com",
    "webhook.caBundle": PEM,
    "webhook.clientCA": PEM,
    "webhook.clientAllowedNames": ["kube-apiserver"],
    "webhook.tlsMinVersion": "1.3",
    "webhook.reinvocationPolicy": "Never",
    "webhook.matchConditions": [{"name": "other", "expression": "true"}],
    "webhook.failurePolicy": "Fail",
    "webhook.service.type": "NodePort",
    "webhook.service.ipFamilies": ["IPv6"],
    "global.imageRegistry": "mirror.example.com",
    "global.imagePullSecrets": ["ours"],
    "image.registry": "registry.example.com",
    "name": "other",
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["registry.example.com"]}],
    "dnsPolicy": "Default",
    "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
    "runtimeClassName": "gvisor",
    "schedulerName": "other",
    "initContainers": [{"name": "first", "image": "first"}],
    "extraContainers": [{"name": "beside", "image": "beside"}],
    "updateStrategy": {"rollingUpdate": {"maxUnavailable": 1}},
    "startupProbe": {"periodSeconds": 3},
    "livenessProbe": {"initialDelaySeconds": 3},
    "readinessProbe": {"failureThreshold": 1},
    "minAvailable": 1,
    "unhealthyPodEvictionPolicy": "IfHealthyBudget",
    "providers.image": "registry.example.com/ecr:1",
    "providers.path": "usr/local/bin",
    "providers.pullPolicy": "Always",
    "reader.groups": ["oidc:developers"],
    "cleanup.timeout": "1m",
    "networkPolicy.metricsFrom": [{"podSelector": {}}],
    "networkPolicy.dnsPorts": [5353],
    "networkPolicy.apiServerPorts": [8443],
    "networkPolicy.extraEgress": [{"ports": [{"port": 3128}]}],
    "networkPolicy.syncEgress": [{"ports": [{"port": 443}]}],
    "interval": "1m",
    "monitoring.prometheusRule.runbookUrl": "https://docs.example.com/alerts",
    "monitoring.prometheusRule.disabled": ["PullSecretsNoLeader"],
    "extraObjects": [{"kind": "ConfigMap", "metadata": {"name": "more"}}],
    "priorityClassName": "system-cluster-critical",
    "tolerations": [{"operator": "Exists"}],
    "topologySpreadConstraints": [],
    "extraArgs": ["--log-level=debug"],
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.com"}],
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "namespaceSelector": {"matchExpressions": [KEY]},
    "objectSelector": {"matchExpressions": [KEY]},
    "maxUnavailable": "25%",
    "resources": {"limits": {"memory": "1Gi"}},
}
"""Another value for each that cannot be made from the default, by its path or by the last name in it."""

BESIDE: dict[str, dict[str, Any]] = {
    "certificates.issuerRef.name": CERT_MANAGER,
    "certificates.issuerRef.kind": {"certificates": {"mode": "cert-manager", "issuerRef": {"name": "other"}}},
    "certificates.issuerRef.group": {"certificates": {"mode": "cert-manager", "issuerRef": {"name": "other"}}},
    "webhook.caBundle": PROVIDED,
    "webhook.clientAllowedNames": {"webhook": {"clientCA": PEM}},
    "deployments.enabled": OUTSIDE,
    "providers.path": {"providers": {"image": "registry.example.com/ecr:1"}},
    "providers.pullPolicy": {"providers": {"image": "registry.example.com/ecr:1"}},
    "webhook.serviceAccount.create": {"webhook": {"serviceAccount": {"name": "other"}}},
    "sync.serviceAccount.create": {"sync": {"serviceAccount": {"name": "other"}}},
    "cleanup.serviceAccount.create": {"cleanup": {"serviceAccount": {"name": "other"}}},
}
"""What else must be set so that a value matters, beside the ``enabled`` next to it."""


PERMISSIONS = {"enabled", "allowNoPullSecrets"}
"""Values that decide whether anything is rendered; tests/chart/test_habits.py is about them."""


def leaves(tree: dict[str, Any], known: set[str], above: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if f"{above}{key}" in known or not isinstance(value, dict):
            yield f"{above}{key}"
        else:
            yield from leaves(value, known, f"{above}{key}.")


def test_every_value_is_in_the_schema_and_the_schema_has_no_others() -> None:
    known = set(in_schema())
    assert known == set(leaves(yaml.safe_load((CHART / "values.yaml").read_text()), known))


def test_every_value_is_documented() -> None:
    assert sorted(value.path for value in DECLARED) == sorted(set(in_schema()))
    assert all(value.meaning.endswith(".") for value in DECLARED)


def used() -> set[str]:
    """Return the paths that templates read, whole or in part; what both Deployments read of their own, for both."""
    texts = [path.read_text() for path in (CHART / "templates").rglob("*") if path.is_file()]
    direct = {path for text in texts for path in re.findall(r"\.Values\.([\w.]+)", text)}
    shared = {path for text in texts for path in re.findall(r"\.pod\.([\w.]+)", text)}
    return direct | {f"{component}.{path}" for component in ("webhook", "sync") for path in shared}


def test_every_value_that_a_template_reads_is_declared() -> None:
    declared = {value.path for value in DECLARED}
    parents = {path.rpartition(".")[0] for path in declared}
    wholes = {f"{path}.{part}" for path in declared for part in ("matchLabels", "matchExpressions")}
    assert used() - declared - parents - wholes == set()


def other(value: Value) -> Any:  # noqa: ANN401 (a value is any JSON)
    """Return a valid value that is not the default."""
    for name in (value.path, value.path.rpartition(".")[2]):
        if name in OTHERS:
            return OTHERS[name]
    match value.default:
        case bool():
            return not value.default
        case int():
            return value.default + 1
        case dict():
            return {"example.com/other": "other"}
    raise AssertionError(f"give another value of {value.path} in OTHERS")


def beside(path: str) -> dict[str, Any]:
    """Return the values under which this one matters."""
    switch = f"{path.rpartition('.')[0]}.enabled"
    switched = path != switch and switch in {value.path for value in DECLARED}
    return merged(nested(switch, True) if switched else {}, BESIDE.get(path, {}))


def merged(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    both = dict(one)
    for key, value in two.items():
        both[key] = merged(one[key], value) if isinstance(one.get(key), dict) and isinstance(value, dict) else value
    return both


@pytest.mark.parametrize(
    "value", [value for value in DECLARED if value.path not in PERMISSIONS], ids=lambda value: value.path
)
def test_every_value_changes_what_is_rendered(value: Value) -> None:
    base = merged(dict(SAMPLE), beside(value.path))
    changed = merged(base, nested(value.path, other(value)))
    assert render(changed).objects != render(base).objects


def test_an_empty_mapping_can_also_be_written_as_null() -> None:
    """A key whose lines are all comments is null in YAML."""
    nothing: dict[str, Any] = {}
    for path in (value.path for value in DECLARED if value.default == {}):
        nothing = merged(nothing, nested(path, None))
    assert {"commonLabels", "commonAnnotations", "webhook", "sync"} <= nothing.keys()
    assert render(nothing).objects == render().objects


def objects_of(part: object) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        if "properties" in part and part.get("type") == "object":
            yield part
        for value in part.values():
            yield from objects_of(value)
    elif isinstance(part, list):
        for value in part:
            yield from objects_of(value)


def test_no_object_of_the_schema_takes_fields_that_it_does_not_name() -> None:
    strict = strict_schema()
    assert strict["$schema"] == "http://json-schema.org/draft-07/schema#"
    found = [item for item in objects_of(strict) if item is not strict["properties"]["global"]]
    assert len(found) > 10
    assert all(item["additionalProperties"] is False for item in found)


def test_the_schema_that_helm_reads_is_generated_from_the_strict_one_and_the_comments() -> None:
    assert values_schema.FILE.read_text() == values_schema.text()


def test_each_value_has_a_description_in_the_schema_that_helm_reads() -> None:
    loose = values_schema.values_schema()
    for value in DECLARED:
        part = loose
        for name in value.path.split("."):
            part = part["properties"][name]
        assert part["description"] == value.meaning


def test_helm_itself_checks_nothing_that_it_reports_in_other_words_than_peoples() -> None:
    text = values_schema.FILE.read_text()
    assert not [word for word in ('"pattern"', '"additionalProperties": false', '"if"', '"$ref"') if word in text]


def patterns(part: object) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        if "pattern" in part:
            yield part
        for value in part.values():
            yield from patterns(value)
    elif isinstance(part, list):
        for value in part:
            yield from patterns(value)


def test_each_regular_expression_of_the_strict_schema_has_words_for_people() -> None:
    found = list(patterns(strict_schema()))
    assert len(found) > 20
    assert all(item["words"] for item in found)


def test_the_defaults_pass_the_schema_when_they_are_spelled_out() -> None:
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    spelled = json.loads(json.dumps(defaults))
    assert (
        render({**spelled, "allowNoPullSecrets": True, "image": {**spelled["image"], "registry": "localhost"}})
        == render()
    )
    assert at(defaults, "webhook.replicas") == 2
