"""``python -m tests.bench.creates``: Pods a second through a real API server, by dry run, with different injectors.

Without any webhook, with each of the webhooks, and with an in-process MutatingAdmissionPolicy that does the same by
``patchType: JSONPatch``, in alternating rounds; once while the reference is missing and each Pod has to get it, and
once as the loop leaves a namespace: the Pod's ServiceAccount has it. Our webhook is configured as the chart does it,
the others as is usual. Everything shares the machine: compare within one run only.
"""

from __future__ import annotations

import json
import os
import statistics
from base64 import b64encode
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench import contestants, wrk
from tests.bench.saved import save
from tests.cluster import helm
from tests.cluster.cluster import Cluster
from tests.cluster.supervise import wait_until

ROUNDS = 3
SECONDS = int(os.environ.get("SECONDS_EACH", "4"))
CONNECTIONS = 8
NAMESPACE = "bench"
PROBE = "probe"
"""A ServiceAccount that never has the reference: by it is seen whether an injector is at work."""

REFERENCE = "registry-credentials"
MISSING, THERE = "each Pod gets it", "its ServiceAccount has it"
NONE = "no webhook"
POLICY = "MutatingAdmissionPolicy"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Row:
    """The rounds of one way to inject: the median and each of them, in Pods a second."""

    situation: str
    injector: str
    pods_per_second: float
    rounds: tuple[float, ...]
    p50_ms: float
    p99_ms: float


def main() -> None:
    """Measure, print a table, and write ``results/creates.json``."""
    rows = measure()
    save("creates", [asdict(row) for row in rows])
    show(rows)


def measure() -> list[Row]:
    """Return a row for each injector in each situation."""
    binaries = contestants.build()
    with Cluster.start() as cluster:
        cluster.create_namespace(NAMESPACE)
        request = _request(cluster)
        folder = cluster.directory / "bench"
        folder.mkdir()
        files = contestants.certificate(folder)
        authority = files.authority.read_bytes()
        running = [contestants.start(name, cluster.keeper, files, binaries, None) for name in contestants.ALL]
        injectors: dict[str, Callable[[], None]] = {NONE: lambda: None, POLICY: lambda: _create_policy(cluster)}
        injectors |= {each.name: lambda each=each: _create_webhook(cluster, each, authority) for each in running}  # type: ignore[misc]
        rows = _compare(cluster, request, injectors, MISSING)
        _give_reference(cluster)
        return rows + _compare(cluster, request, injectors, THERE)


def _compare(
    cluster: Cluster, request: wrk.Request, injectors: dict[str, Callable[[], None]], situation: str
) -> list[Row]:
    loads: dict[str, list[wrk.Load]] = {name: [] for name in injectors}
    for _ in range(ROUNDS):
        for name, install in injectors.items():
            install()
            _await_injection(cluster, expected=name != NONE)
            loads[name].append(wrk.run(request, CONNECTIONS, SECONDS, None, cluster.directory))
            _remove(cluster)
            _await_injection(cluster, expected=False)
    return [_row(situation, name, rounds) for name, rounds in loads.items()]


def _row(situation: str, name: str, loads: list[wrk.Load]) -> Row:
    return Row(
        situation=situation,
        injector=name,
        pods_per_second=statistics.median(load.per_second for load in loads),
        rounds=tuple(load.per_second for load in loads),
        p50_ms=statistics.median(load.p50_ms for load in loads),
        p99_ms=statistics.median(load.p99_ms for load in loads),
    )


def _pod(service_account: str = "default") -> dict[str, Any]:
    containers = [{"name": "app", "image": "registry.example.com/team/app:1"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "web-", "labels": {"app": "web"}},
        "spec": {"serviceAccountName": service_account, "containers": containers},
    }


def _give_reference(cluster: Cluster) -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"
    cluster.api.json_patch(path, [{"op": "add", "path": "/imagePullSecrets", "value": [{"name": REFERENCE}]}])


def _request(cluster: Cluster) -> wrk.Request:
    """Return the creation of a Pod, by dry run, with a token that may do just that."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": PROBE}}
    cluster.api.call("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account)
    account = {"kind": "ServiceAccount", "name": "default", "namespace": NAMESPACE}
    cluster.api.call(
        "POST",
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/rolebindings",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "bench"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
            "subjects": [account],
        },
    )
    token = cluster.api.call(
        "POST",
        f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}},
    )["status"]["token"]
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All"
    return wrk.Request(cluster.url, path, json.dumps(_pod()).encode(), headers)


def _create_webhook(cluster: Cluster, contestant: contestants.Contestant, authority: bytes) -> None:
    webhook = {
        "name": "pods.pullsecrets.webhook",
        "clientConfig": {"url": f"{contestant.url}/mutate", "caBundle": b64encode(authority).decode()},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    if contestant.name == contestants.OURS:
        webhook["matchConditions"] = _match_conditions()
    _create(cluster, "MutatingWebhookConfiguration", {"webhooks": [webhook]})


def _match_conditions() -> list[dict[str, str]]:
    """Return the conditions of the chart's own webhook for Pods."""
    values = {"pullSecrets": [{"name": REFERENCE, "sources": [{"secretName": "harbor"}]}]}
    (configuration,) = (
        each for each in helm.template("bench", "bench", values) if each["kind"] == "MutatingWebhookConfiguration"
    )
    conditions: list[dict[str, str]] = configuration["webhooks"][0]["matchConditions"]
    return conditions


def _create_policy(cluster: Cluster) -> None:
    """Create the policy that does the same inside the API server (KEP-3962)."""
    entry = f'Object.spec.imagePullSecrets{{name: "{REFERENCE}"}}'
    expression = (
        "has(object.spec.imagePullSecrets) "
        f'? [JSONPatch{{op: "add", path: "/spec/imagePullSecrets/-", value: {entry}}}] '
        f': [JSONPatch{{op: "add", path: "/spec/imagePullSecrets", value: [{entry}]}}]'
    )
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
    policy = {
        "matchConstraints": {
            "resourceRules": [rule],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
        },
        "matchConditions": [
            {
                "name": "not-referenced",
                "expression": "!has(object.spec.imagePullSecrets) || "
                f'!object.spec.imagePullSecrets.exists(each, each.name == "{REFERENCE}")',
            }
        ],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
    }
    _create(cluster, "MutatingAdmissionPolicy", {"spec": policy})
    _create(cluster, "MutatingAdmissionPolicyBinding", {"spec": {"policyName": "bench"}})


_PLURALS = {
    "MutatingWebhookConfiguration": "mutatingwebhookconfigurations",
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
}


def _create(cluster: Cluster, kind: str, fields: dict[str, Any]) -> None:
    body = {"apiVersion": ADMISSION.removeprefix("/apis/"), "kind": kind, "metadata": {"name": "bench"}, **fields}
    cluster.api.call("POST", f"{ADMISSION}/{_PLURALS[kind]}", body)


def _remove(cluster: Cluster) -> None:
    for plural in _PLURALS.values():
        cluster.api.request("DELETE", f"{ADMISSION}/{plural}/bench")


def _await_injection(cluster: Cluster, *, expected: bool) -> None:
    """Wait until the API server has learnt of a webhook or policy, or of its end."""

    path = f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All"
    answer = cluster.api.request("POST", path, _pod(PROBE))

    def injected() -> bool:
        nonlocal answer
        answer = cluster.api.request("POST", path, _pod(PROBE))
        return answer.status < 300 and bool(answer.json()["spec"].get("imagePullSecrets")) is expected

    if not wait_until(injected, contestants.READY_SECONDS):
        raise wrk.WrkFailed(f"the API server does {'not' if expected else 'still'} inject: {answer.text[:500]}")


def show(rows: list[Row]) -> None:
    """Print the rows, each with its ratio to ours in the same situation."""
    columns = ("the reference", "injector", "Pods/s", "ours is", "p50 ms", "p99 ms", "rounds")
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        (ours,) = (each for each in rows if (each.situation, each.injector) == (row.situation, contestants.OURS))
        ratio = "" if row is ours else f"{ours.pods_per_second / row.pods_per_second:.2f} x"
        rounds = ", ".join(f"{each:.0f}" for each in row.rounds)
        figures = (f"{row.pods_per_second:.0f}", ratio, f"{row.p50_ms}", f"{row.p99_ms}", rounds)
        table.add_row(row.situation, row.injector, *figures)
    Console(highlight=False, width=140).print(table)


if __name__ == "__main__":
    main()
