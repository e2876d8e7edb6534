"""The judge of exported policies: what the API server makes of an object with them, and what the core says of it.

Each object is created by dry run before the policies are there, which shows what a webhook would be given, and after.
"""

from __future__ import annotations

import copy
import json
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonpatch

from tests.cluster.cluster import Cluster
from tests.cluster.processes import COMMAND, clean_environment
from tests.integration.policies.worlds import ACCOUNTS, THEIRS, Place, World, references
from tests.integration.site.playground import eventually
from webhook.files.configuration import parse
from webhook.rules.configuration import Configuration
from webhook.rules.gates import Decision, decide
from webhook.rules.objects import Namespace, declined_names
from webhook.rules.patch import POD_PATH, SERVICE_ACCOUNT_PATH, additions
from webhook.rules.subject import pod_subject, service_account_subject

Json = dict[str, Any]

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
RELEASE_NAMESPACE = "pull-secrets"
_VOLATILE = ("uid", "creationTimestamp", "managedFields", "resourceVersion")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One object: what the core decides about it, what it should be, and what the API server has made of it."""

    namespace: str
    before: Json
    decision: Decision | None
    expected: Json
    found: Json

    @property
    def agrees(self) -> bool:
        return self.expected == self.found


@dataclass(frozen=True, slots=True)
class Site:
    """A world on the cluster."""

    cluster: Cluster
    world: World
    document: Json
    configuration: Configuration
    namespaces: tuple[str, ...]
    release: str

    @classmethod
    def build(cls, cluster: Cluster, world: World, label: str) -> Site:
        """Create the namespaces with their ServiceAccounts; nothing is injected yet."""
        document = copy.deepcopy(world.configuration)
        document["optIn"] = {**document.get("optIn", {}), "label": label}
        configuration = parse(json.dumps(document), "configuration.yaml").excluding(RELEASE_NAMESPACE)
        release = f"e-{uuid.uuid4().hex[:8]}"
        namespaces = tuple(f"{release}-{position}" for position in range(len(world.places)))
        for name, place in zip(namespaces, world.places, strict=True):
            _create_namespace(cluster, name, place, configuration)
        return cls(cluster, world, document, configuration, namespaces, release)

    def objects(self) -> Iterator[tuple[str, str, str, Json]]:
        """Yield namespace, method, path and body of each request."""
        for namespace in self.namespaces:
            base = f"/api/v1/namespaces/{namespace}"
            for body in self.world.pods:
                yield namespace, "POST", f"{base}/pods", body
            for body in self.world.accounts:
                name = body["metadata"]["name"]
                there = name in ACCOUNTS
                path = f"{base}/serviceaccounts/{name}" if there else f"{base}/serviceaccounts"
                yield namespace, "PUT" if there else "POST", path, body

    def apply(self, folder: Path, release_namespace: str = RELEASE_NAMESPACE) -> None:
        """Apply what the command writes; `await_policies` waits until the API server goes by it."""
        self.cluster.kubectl("apply", "--server-side", "-f", "-", input=self.exported(folder, release_namespace))

    def remove(self) -> None:
        """Take away policies and namespaces."""
        for plural in ("mutatingadmissionpolicybindings", "mutatingadmissionpolicies"):
            for resource in ("pods", "serviceaccounts"):
                self.cluster.api.request("DELETE", f"{ADMISSION}/{plural}/{self.release}-{resource}")
        for namespace in self.namespaces:
            self.cluster.delete_namespace(namespace)

    def rehearse(self) -> list[Json]:
        """Return what the API server makes of each object now; the status of the answer is part of it."""
        return [self._rehearsed(method, path, body) for _, method, path, body in self.objects()]

    def exported(self, folder: Path, release_namespace: str, *flags: str) -> str:
        """Return what the command writes."""
        file = folder / f"{self.release}.yaml"
        file.write_text(json.dumps(self.document))
        arguments = [f"--config={file}", f"--release-namespace={release_namespace}", f"--release={self.release}"]
        return export("mutating-admission-policy", *arguments, *flags)

    def _rehearsed(self, method: str, path: str, body: Json) -> Json:
        answer = self.cluster.api.request(method, f"{path}?dryRun=All", body)
        found = answer.json()
        if answer.status >= 300:
            return {"refused": answer.status, "message": found.get("message")}
        for field in _VOLATILE:
            found["metadata"].pop(field, None)
        return found

    def judge(self, before: Sequence[Json]) -> list[Verdict]:
        """Return the verdict on each object, now that the policies are in force."""
        requests = zip(self.objects(), before, self.rehearse(), strict=True)
        return [self._verdict(namespace, seen, found) for (namespace, *_), seen, found in requests]

    def _verdict(self, namespace: str, before: Json, found: Json) -> Verdict:
        if "refused" in before:
            return Verdict(namespace, before, None, before, found)
        about = self.cluster.api.call("GET", f"/api/v1/namespaces/{namespace}")["metadata"]
        of_pod = before["kind"] == "Pod"
        subject = (pod_subject if of_pod else service_account_subject)(before, namespace)
        assert subject is not None
        declined = declined_names(about.get("annotations", {}))
        decision = decide(subject, self.configuration, Namespace(namespace, about["labels"], declined=declined))
        path = POD_PATH if of_pod else SERVICE_ACCOUNT_PATH
        patch = additions(path, subject.references, decision.added)
        return Verdict(namespace, before, decision, jsonpatch.apply_patch(before, patch), found)


def export(*arguments: str, stdin: str = "") -> str:
    """Run the command, and return what it writes."""
    done = subprocess.run(
        [COMMAND, "export", *arguments],
        env=clean_environment(),
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def _create_namespace(cluster: Cluster, name: str, place: Place, configuration: Configuration) -> None:
    opt_in = {configuration.opt_in.label: configuration.opt_in.value} if place.opted_in else {}
    cluster.create_namespace(name, {**place.labels, **opt_in})
    annotations = {"metadata": {"annotations": place.annotations}}
    cluster.api.call("PATCH", f"/api/v1/namespaces/{name}", annotations, "application/merge-patch+json")
    for account in ACCOUNTS[1:]:
        there = {"imagePullSecrets": references(THEIRS)} if account == "builder" else {}
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}, **there}
        cluster.api.call("POST", f"/api/v1/namespaces/{name}/serviceaccounts", body)


def await_policies(cluster: Cluster) -> None:
    """Wait until every policy that exists is in force: one that comes after them is, and it takes them all at once."""
    policy, binding = sentinel(name := f"sentinel-{uuid.uuid4().hex[:8]}")
    cluster.api.call("POST", f"{ADMISSION}/mutatingadmissionpolicies", policy)
    cluster.api.call("POST", f"{ADMISSION}/mutatingadmissionpolicybindings", binding)
    await_sentinel(cluster, name)
    cluster.api.call("DELETE", f"{ADMISSION}/mutatingadmissionpolicybindings/{name}")
    cluster.api.call("DELETE", f"{ADMISSION}/mutatingadmissionpolicies/{name}")


def sentinel(name: str) -> tuple[Json, Json]:
    """Return a policy and its binding that label one ConfigMap in the namespace ``default``."""
    selects = {"matchLabels": {"kubernetes.io/metadata.name": "default"}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}
    patch = f'Object{{metadata: Object.metadata{{labels: {{"sentinel": "{name}"}}}}}}'
    spec = {
        "matchConstraints": {"namespaceSelector": selects, "resourceRules": [{**rule, "resourceNames": [name]}]},
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": patch}}],
    }
    about = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    policy = {"kind": "MutatingAdmissionPolicy", **about, "spec": spec}
    return policy, {"kind": "MutatingAdmissionPolicyBinding", **about, "spec": {"policyName": name}}


def await_sentinel(cluster: Cluster, name: str) -> None:
    """Wait until the sentinel of that name is in force."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}

    def labelled() -> bool:
        found = cluster.api.call("POST", "/api/v1/namespaces/default/configmaps?dryRun=All", body)
        return "sentinel" in found["metadata"].get("labels", {})

    eventually(labelled)
