"""The pre-delete hook on a real API server, with its own rights, while two sync loops and a webhook still run."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.processes import COMMAND, clean_environment
from tests.integration.site.playground import COPY, Playground, eventually, service_account
from webhook.kube.lease import TERM_SECONDS

HOOK_SECONDS = 120
QUIET_SECONDS = 5.0
"""Longer than a leader takes to look at its Lease, and than a standby needs to take over one that is free."""


@pytest.fixture
def installed(playground: Callable[..., Playground]) -> Playground:
    """A release with a retired name, whose loop has a leader and a standby."""
    running = playground(retired=["old-credentials"])
    running.set_source("first")
    running.start()
    running.installation.start_sync(name="standby").wait_ready()
    return running


def cleanup(playground: Playground, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run the hook to its end."""
    command = [str(COMMAND), *playground.installation.cleanup_command(), *flags]
    return subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, check=False, timeout=HOOK_SECONDS
    )


def copies_of(playground: Playground) -> list[str]:
    """Return the Secrets of any namespace that carry the label of the release."""
    selector = f"pullsecrets.webhook/release={playground.installation.release}"
    found = playground.cluster.api.call("GET", f"/api/v1/secrets?labelSelector={selector}")["items"]
    return [f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in found]


def lease(playground: Playground) -> dict[str, Any] | None:
    installation = playground.installation
    path = f"/apis/coordination.k8s.io/v1/namespaces/{installation.namespace}/leases/{installation.lease}"
    answer = playground.cluster.api.request("GET", path)
    return answer.json() if answer.status == 200 else None


def webhooks(playground: Playground) -> int:
    name = playground.installation.webhook_configuration
    path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{name}"
    return playground.cluster.api.request("GET", path).status


def writes_of_sync(playground: Playground) -> Iterator[str]:
    """Yield the writes of the loop that were accepted, but those of the Lease, from the audit log."""
    user = f"system:serviceaccount:{playground.installation.namespace}:{playground.installation.fullname}-sync"
    for event in playground.cluster.audit_events():
        reference = event.get("objectRef", {})
        if (
            event["user"].get("username") == user  # a request without a name that was proved has none
            and event["verb"] in ("create", "patch", "update", "delete")
            and event.get("responseStatus", {}).get("code", 0) < 300
            and reference.get("resource") not in ("leases", "events")
        ):
            yield f"{event['stage']} {event['verb']} {event['requestURI']}"


def test_nothing_of_ours_is_left_nothing_of_others_is_missing_and_nothing_comes_back(
    installed: Playground, cluster: Cluster
) -> None:
    tenants = [installed.namespace(selected=True) for _ in range(3)]
    for tenant in tenants:
        installed.await_selected(tenant, "first")
    theirs = installed.namespace(selected=False)
    installed.apply(theirs, "Secret", COPY, {"type": "Opaque", "data": {}})
    installed.create(theirs, "serviceaccounts", service_account("builder", imagePullSecrets=[{"name": COPY}]))
    mixed = service_account("mixed", imagePullSecrets=[{"name": "mine"}, {"name": "other"}])
    installed.create(tenants[0], "serviceaccounts", mixed)
    installed.apply(tenants[1], "Secret", "their-own", {"type": "Opaque", "data": {}})
    installation = installed.installation

    begun = time.monotonic()
    done = cleanup(installed)

    assert (done.returncode, copies_of(installed), webhooks(installed)) == (0, [], 404), done.stderr
    assert time.monotonic() - begun >= TERM_SECONDS
    assert "Traceback" not in done.stderr
    assert [installed.references(tenant) for tenant in tenants] == [[], [], []]
    assert installed.references(tenants[0], "mixed") == ["mine", "other"]
    assert installed.references(theirs, "builder") == [COPY]
    assert installed.get(theirs, "secrets", COPY) is not None
    assert installed.get(tenants[1], "secrets", "their-own") is not None
    for secret in (installation.tls_secret, installation.ca_secret):
        assert installed.get(installation.namespace, "secrets", secret) is None

    see_that_nothing_comes_back(installed)
    see_that_it_goes_with_the_release(installed)

    cluster.delete_namespace(installation.namespace)
    eventually(lambda: cluster.api.request("GET", f"/api/v1/namespaces/{installation.namespace}").status == 404)
    admin = f"--kubeconfig={cluster.kubeconfig}"
    done = cleanup(installed, admin, "--ignore-not-found")
    assert done.returncode == 0, done.stderr
    assert cleanup(installed, admin).returncode == 2


def see_that_nothing_comes_back(installed: Playground) -> None:
    """Watch both loops for as long as one would need to notice that it leads, with something to act on at once."""
    before = list(writes_of_sync(installed))
    late = installed.namespace(selected=True)
    deadline = time.monotonic() + QUIET_SECONDS
    eventually(lambda: time.monotonic() > deadline)
    assert before
    assert list(writes_of_sync(installed)) == before
    assert installed.get(late, "secrets", COPY) is None


def see_that_it_goes_with_the_release(installed: Playground) -> None:
    """Delete what Helm deletes after the hook: the Lease, which it does not know, goes too."""
    held = lease(installed)
    assert held is not None
    assert held["spec"]["holderIdentity"].startswith("uninstalling_")
    installed.installation.delete_objects()
    eventually(lambda: lease(installed), lambda seen: seen is None)
    assert copies_of(installed) == []


def test_one_that_was_killed_is_finished_by_the_next(installed: Playground) -> None:
    tenants = [installed.namespace(selected=True) for _ in range(5)]
    for tenant in tenants:
        installed.await_selected(tenant, "first")
    command = [str(COMMAND), *installed.installation.cleanup_command()]
    with subprocess.Popen(command, env=clean_environment(), stderr=subprocess.DEVNULL) as first:
        eventually(lambda: len(copies_of(installed)) < len(tenants))
        first.kill()

    assert cleanup(installed).returncode == 0

    assert copies_of(installed) == []
    assert [installed.references(tenant) for tenant in tenants] == [[]] * len(tenants)


def test_what_cannot_be_removed_is_listed_and_the_rest_is_removed(installed: Playground, cluster: Cluster) -> None:
    free, guarded = installed.namespace(selected=True), installed.namespace(selected=True)
    for tenant in (free, guarded):
        installed.await_selected(tenant, "first")
    with _no_deletion_in(cluster, guarded):
        done = cleanup(installed)

    assert done.returncode == 1
    assert copies_of(installed) == [f"{guarded}/{COPY}"]
    assert done.stderr.splitlines()[-1] == "error: 1 item could not be removed; run the command again"
    namespace, title, result, detail = done.stdout.splitlines()[-1].split(maxsplit=3)
    assert (namespace, title, result) == (guarded, f"Secret/{COPY}", "LEFT")
    assert detail.startswith("DELETE ")
    assert "422" in detail

    assert cleanup(installed).returncode == 0
    assert copies_of(installed) == []


def test_a_finalizer_of_a_tenant_stops_no_uninstallation(installed: Playground) -> None:
    free, held = installed.namespace(selected=True), installed.namespace(selected=True)
    for tenant in (free, held):
        installed.await_selected(tenant, "first")
    installed.patch(held, "secrets", COPY, {"metadata": {"finalizers": ["example.com/held"]}})

    done = cleanup(installed)

    assert done.returncode == 0, done.stderr
    assert f"Secret {held}/{COPY}: it is being deleted, and a finalizer keeps it" in done.stderr
    assert copies_of(installed) == [f"{held}/{COPY}"]
    assert installed.references(held) == []
    installed.patch(held, "secrets", COPY, {"metadata": {"finalizers": None}})
    assert copies_of(installed) == []


def test_a_wrong_namespace_or_release_ends_with_an_error_and_no_change(installed: Playground, cluster: Cluster) -> None:
    tenant = installed.namespace(selected=True)
    installed.await_selected(tenant, "first")
    admin = f"--kubeconfig={cluster.kubeconfig}"
    for wrong in (
        "--release-namespace=default",
        f"--release-namespace={tenant}",
        "--release-namespace=nowhere",
        "--release=another",
    ):
        done = cleanup(installed, wrong, admin)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
        assert "nothing was changed" in done.stderr
    # Other tests on this cluster have copies of a release with the name "another".
    nobodys = f"{installed.installation.release}-unknown"
    flags = (f"--release={nobodys}", f"--webhook-configuration={nobodys}", admin)
    for unknown in (cleanup(installed, *flags, "--dry-run"), cleanup(installed, *flags)):
        assert (unknown.returncode, "nothing shows that release" in unknown.stderr) == (2, True), unknown.stderr
    own = installed.installation
    eventually(lambda: installed.get(own.namespace, "secrets", own.state_secret))  # sync stores it beside its copies
    listed = cleanup(installed, "--dry-run")
    assert listed.returncode == 0
    rows = [line.split() for line in listed.stdout.splitlines()]
    assert [f"MutatingWebhookConfiguration/{own.webhook_configuration}", "REMOVE"] in rows
    assert [tenant, f"Secret/{COPY}", "REMOVE"] in rows
    for name in ("state", "tls", "ca"):
        assert [own.namespace, f"Secret/{own.fullname}-{name}", "REMOVE"] in rows
    assert [own.namespace, f"Lease/{own.lease}"] in [row[:2] for row in rows]
    installed.await_selected(tenant, "first")
    assert webhooks(installed) == 200


class _no_deletion_in:  # noqa: N801 - reads as what it is in a with statement
    """Another tool's policy, which keeps Secrets of a namespace from being deleted."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._name = f"keep-{namespace}"
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["secrets"]}
        here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
        group = {"apiVersion": "admissionregistration.k8s.io/v1"}
        self._objects: list[dict[str, Any]] = [
            {
                **group,
                "kind": "ValidatingAdmissionPolicy",
                "metadata": {"name": self._name},
                "spec": {
                    "failurePolicy": "Fail",
                    "matchConstraints": {**here, "resourceRules": [rule]},
                    "validations": [{"expression": "false", "message": "kept"}],
                },
            },
            {
                **group,
                "kind": "ValidatingAdmissionPolicyBinding",
                "metadata": {"name": self._name},
                "spec": {"policyName": self._name, "validationActions": ["Deny"]},
            },
        ]
        self._namespace = namespace

    def __enter__(self) -> None:
        for each in self._objects:
            self._cluster.kubectl("apply", "-f", "-", input=json.dumps(each))
        path = f"/api/v1/namespaces/{self._namespace}/secrets/{COPY}?dryRun=All"
        eventually(lambda: self._cluster.api.request("DELETE", path).status in (403, 422))

    def __exit__(self, *_: object) -> None:
        for each in self._objects:
            self._cluster.kubectl("delete", each["kind"], self._name)
        path = f"/api/v1/namespaces/{self._namespace}/secrets/{COPY}?dryRun=All"
        eventually(lambda: self._cluster.api.request("DELETE", path).status == 200)
