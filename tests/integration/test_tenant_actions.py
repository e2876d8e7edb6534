"""No sequence of a tenant's actions yields a reference to, or the content of, something of another namespace.

The tenant has the ClusterRole ``edit`` in two namespaces: one is selected, and the platform may also select the other.
Another namespace, the vault, has a credential that is limited to it. ``TENANT_STEPS=2000`` makes the long run.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from base64 import b64decode, b64encode, urlsafe_b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.cluster.api import Answer, Api
from tests.cluster.cluster import Cluster
from tests.integration.hostile.impostor import APPLY, MERGE
from tests.integration.site.playground import (
    COPY,
    SOURCE,
    Playground,
    dockerconfigjson,
    eventually,
    names,
    pod,
    service_account,
)
from webhook.rules.backfill import ENFORCE_ANNOTATION
from webhook.rules.configuration import DECLINE_ANNOTATION
from webhook.rules.gates import MIRROR_ANNOTATION
from webhook.rules.ownership import FIELD_MANAGER, copy_labels, labels_for

Json = dict[str, Any]

STEPS = int(os.environ.get("TENANT_STEPS", "60"))
STEPS_PER_EXAMPLE = 20

GOLD, GOLD_SOURCE, OWN = "gold-credentials", "gold", "team-registry"
LIMITED = {"secretName": GOLD_SOURCE, "namespaces": ["vault-*"]}
TOKEN = {
    "name": "tenant",
    "registry": "tenants.example.com",
    "username": "jwt",
    "audience": "tenants.example.com",
    "perNamespace": True,
    "serviceAccountName": "puller",
}
PULL_SECRETS = [
    {"name": COPY, "sources": [SOURCE, {"serviceAccountToken": TOKEN}]},
    {"name": GOLD, "sources": [LIMITED], "namespaceSelector": {"matchLabels": {"team": "gold"}}},
    {"name": OWN, "tenantOwned": True},
]
# Annotations can have the name of the vault, which is vault- and a random number: no password is a part of it.
SHARED_PASSWORD, GOLD_PASSWORD, VAULT_PASSWORD, TENANT_PASSWORD = "shared-1", "gold-2", "unguessed-3", "tenant-4"
OF_OTHERS = (GOLD_PASSWORD, VAULT_PASSWORD)

TYPE = "kubernetes.io/dockerconfigjson"
SECRETS = (COPY, GOLD, GOLD_SOURCE, SOURCE, OWN, "mine")
ACCOUNTS = ("default", "app", "puller")
WRITTEN_BY_TENANT = (COPY, SOURCE, OWN, "mine")
"""The references that the tenant writes; no list may have another name."""

JWT = re.compile(r"eyJ[\w-]+\.([\w-]+)\.[\w-]+")
NAMESPACE = st.sampled_from([0, 1])
MANAGERS = st.sampled_from([FIELD_MANAGER, f"{FIELD_MANAGER}-create", "kubectl"])
REFERENCES = st.lists(st.sampled_from(WRITTEN_BY_TENANT), max_size=3, unique=True)


@dataclass(frozen=True, slots=True)
class Estate:
    """An installation with running processes, and a namespace that has what the tenant must not get."""

    playground: Playground
    vault: str

    def vault_state(self) -> Json:
        """Return the Secrets and references of the vault, and the sources; renewed tokens are left out."""
        release = self.playground.installation.namespace
        found = [self.playground.get(self.vault, "secrets", name) for name in (GOLD, "theirs", OWN)]
        found += [self.playground.get(release, "secrets", name) for name in (SOURCE, GOLD_SOURCE)]
        secrets = [(secret or {}).get("data") for secret in found]
        return {"secrets": secrets, "references": {name: self.references(name) for name in ("default", "puller")}}

    def references(self, account: str) -> list[str] | None:
        """Return the references of a ServiceAccount in the vault."""
        return self.playground.references(self.vault, account)


@pytest.fixture(scope="module")
def estate(cluster: Cluster) -> Iterator[Estate]:
    with Playground.make(cluster, pullSecrets=PULL_SECRETS) as playground:
        playground.set_source(SHARED_PASSWORD)
        playground.set_source(GOLD_PASSWORD, GOLD_SOURCE)
        playground.start()
        vault = f"vault-{uuid.uuid4().hex[:8]}"
        cluster.create_namespace(vault, {playground.label: "enabled", "team": "gold"})
        playground.apply(vault, "ServiceAccount", "puller", {})
        theirs = {"type": TYPE, "data": dockerconfigjson(VAULT_PASSWORD)}
        for name in ("theirs", OWN):
            playground.apply(vault, "Secret", name, theirs)
        for account in ("default", "puller"):
            eventually(
                lambda account=account: playground.references(vault, account),  # type: ignore[misc]
                lambda seen: sorted(seen or []) == sorted([COPY, GOLD, OWN]),
            )
        # The webhook gives the references before there are copies.
        for name in (COPY, GOLD):
            eventually(lambda name=name: playground.get(vault, "secrets", name))  # type: ignore[misc]
        playground.await_injection(vault)
        yield Estate(playground, vault)
        cluster.delete_namespace(vault)


def text_of(secret: Mapping[str, Any]) -> str:
    """Return everything that a reader of a Secret can read in it, also what is encoded twice."""
    values = [b64decode(value).decode(errors="replace") for value in secret.get("data", {}).values()]
    passwords = [
        b64decode(auth).decode(errors="replace") for auth in re.findall(r'"auth": ?"([^"]*)"', "".join(values))
    ]
    return "\n".join([*values, *passwords, json.dumps(secret["metadata"].get("annotations", {}))])


def subjects_in(text: str) -> set[str]:
    """Return the subjects of the tokens in a text."""
    parts = JWT.findall(text)
    return {json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))["sub"] for part in parts}


def violations(playground: Playground, namespaces: Sequence[str]) -> Iterator[str]:
    """Yield everything in the namespaces of the tenant that is of another one."""
    own = tuple(f"system:serviceaccount:{namespace}:" for namespace in namespaces)
    for namespace in namespaces:
        base = f"/api/v1/namespaces/{namespace}"
        for secret in playground.cluster.api.call("GET", f"{base}/secrets")["items"]:
            text, where = text_of(secret), f"Secret {namespace}/{secret['metadata']['name']}"
            yield from (f"{where} has {password}" for password in OF_OTHERS if password in text)
            yield from (f"{where} has a token of {each}" for each in subjects_in(text) if not each.startswith(own))
        for resource in ("serviceaccounts", "pods"):
            for found in playground.cluster.api.call("GET", f"{base}/{resource}")["items"]:
                more = set(names(found.get("spec", found))) - set(WRITTEN_BY_TENANT)
                yield from (f"{resource} {namespace}/{found['metadata']['name']} references {each}" for each in more)


@dataclass(slots=True)
class Tenant:
    """Two namespaces, and requests of somebody who may edit both."""

    estate: Estate
    namespaces: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        playground = self.estate.playground
        self.namespaces = [playground.namespace(selected=selected) for selected in (True, False)]
        home = self.namespaces[0]
        subject = {"kind": "ServiceAccount", "name": "attacker", "namespace": home}
        playground.apply(home, "ServiceAccount", "attacker", {})
        for namespace in self.namespaces:
            playground.cluster.kubectl(
                *("create", "rolebinding", "attacker", "--clusterrole=edit"),
                *(f"--serviceaccount={subject['namespace']}:{subject['name']}", f"--namespace={namespace}"),
            )
            eventually(lambda namespace=namespace: self.api.request("GET", path(namespace, "secrets")).status == 200)  # type: ignore[misc]
            playground.apply(namespace, "ServiceAccount", "puller", {})
            playground.apply(namespace, "Secret", "mine", {"data": dockerconfigjson(TENANT_PASSWORD), "type": TYPE})
        eventually(lambda: playground.get(home, "secrets", COPY))
        playground.await_injection(home)

    @property
    def api(self) -> Api:
        """Return requests with a fresh token."""
        return self.estate.playground.cluster.api_as("attacker", self.namespaces[0])


def path(namespace: str, resource: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/{resource}" + (f"/{name}" if name else "")


class TenantActions(RuleBasedStateMachine):
    """Actions of a tenant in any order, while the platform selects the namespaces or not."""

    estate: Estate

    def __init__(self) -> None:
        super().__init__()
        self.tenant = Tenant(self.estate)
        self.api = self.tenant.api
        self.before = self.estate.vault_state()

    def labels(self, kind: str) -> dict[str, str]:
        """Return labels to forge: those of a copy of the own namespace, of the vault, or others that may matter."""
        playground = self.estate.playground
        release = (playground.installation.release, playground.installation.namespace)
        if kind in ("own", "vault"):
            namespace = self.tenant.namespaces[0] if kind == "own" else self.estate.vault
            uid = playground.cluster.api.call("GET", f"/api/v1/namespaces/{namespace}")["metadata"]["uid"]
            return copy_labels(*release, uid)
        return {
            "none": {},
            "release": labels_for(*release),
            "gold": {"team": "gold", playground.label: "enabled"},
            "disabled": {playground.label: "disabled"},
        }[kind]

    @rule(
        place=NAMESPACE,
        name=st.sampled_from(SECRETS),
        kind=st.sampled_from(["none", "release", "own", "vault", "gold"]),
        manager=MANAGERS,
        empty=st.booleans(),
    )
    def put_secret(self, place: int, name: str, kind: str, manager: str, empty: bool) -> None:
        annotations = {
            "pullsecrets.webhook/source": f"{self.estate.vault}/theirs",
            "pullsecrets.webhook/issued-for": GOLD,
        }
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "labels": self.labels(kind), "annotations": annotations},
            "type": TYPE,
            "data": {".dockerconfigjson": b64encode(b"{}").decode()} if empty else dockerconfigjson(TENANT_PASSWORD),
        }
        query = f"?fieldManager={manager}&force=true"
        self.request("PATCH", path(self.tenant.namespaces[place], "secrets", name) + query, body, APPLY)

    @rule(source=NAMESPACE, place=NAMESPACE, name=st.sampled_from(SECRETS), to=st.sampled_from(SECRETS))
    def copy_secret(self, source: int, place: int, name: str, to: str) -> None:
        """Do as ``kubectl get -o yaml``, edit and ``kubectl create`` do: labels and annotations go along."""
        answer = self.request("GET", path(self.tenant.namespaces[source], "secrets", name))
        if answer.status == 200:
            found = answer.json()
            found["metadata"] = {"name": to, **{key: found["metadata"].get(key) for key in ("labels", "annotations")}}
            self.request("POST", path(self.tenant.namespaces[place], "secrets"), found)

    @rule(place=NAMESPACE, name=st.sampled_from(SECRETS), kind=st.sampled_from(["none", "release", "vault", "gold"]))
    def label_secret(self, place: int, name: str, kind: str) -> None:
        body = {"metadata": {"labels": self.labels(kind) or None, "annotations": None}}
        self.request("PATCH", path(self.tenant.namespaces[place], "secrets", name), body, MERGE)

    @rule(
        place=NAMESPACE,
        resource=st.sampled_from(["secrets", "serviceaccounts"]),
        name=st.sampled_from(SECRETS + ACCOUNTS),
    )
    def delete(self, place: int, resource: str, name: str) -> None:
        self.request("DELETE", path(self.tenant.namespaces[place], resource, name))

    @rule(
        place=NAMESPACE,
        name=st.sampled_from(ACCOUNTS),
        references=REFERENCES,
        kind=st.sampled_from(["none", "own", "gold", "disabled"]),
        annotation=st.sampled_from([ENFORCE_ANNOTATION, DECLINE_ANNOTATION, "pullsecrets.webhook/pull-secrets"]),
        manager=MANAGERS,
    )
    def put_account(
        self, place: int, name: str, references: list[str], kind: str, annotation: str, manager: str
    ) -> None:
        value = "true" if annotation == ENFORCE_ANNOTATION else GOLD
        body = service_account(name, imagePullSecrets=[{"name": each} for each in references])
        body["metadata"] |= {"labels": self.labels(kind), "annotations": {annotation: value}}
        query = f"?fieldManager={manager}&force=true"
        self.request("PATCH", path(self.tenant.namespaces[place], "serviceaccounts", name) + query, body, APPLY)

    @rule(
        place=NAMESPACE,
        account=st.sampled_from([*ACCOUNTS, "attacker", "nowhere"]),
        references=REFERENCES,
        kind=st.sampled_from(["none", "own", "gold", "disabled"]),
        mirror=st.booleans(),
    )
    def create_pod(self, place: int, account: str, references: list[str], kind: str, mirror: bool) -> None:
        body = pod(f"web-{uuid.uuid4().hex[:6]}", serviceAccountName=account)
        body["spec"]["imagePullSecrets"] = [{"name": each} for each in references]
        annotations = {MIRROR_ANNOTATION: "0"} if mirror else {DECLINE_ANNOTATION: COPY}
        body["metadata"] |= {"labels": self.labels(kind), "annotations": annotations}
        self.request("POST", path(self.tenant.namespaces[place], "pods"), body)

    @rule(place=NAMESPACE, account=st.sampled_from(ACCOUNTS), audience=st.sampled_from(["", TOKEN["audience"]]))
    def use_a_token(self, place: int, account: str, audience: str) -> None:
        """Request a token, and try to read what is of others with it."""
        spec = {"audiences": [audience]} if audience else {}
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = self.request("POST", path(self.tenant.namespaces[place], "serviceaccounts", f"{account}/token"), asked)
        if answer.status == 201:
            cluster = self.estate.playground.cluster
            self.read_of_others(Api(cluster.url, cluster.ca_file, None, answer.json()["status"]["token"]))

    @rule()
    def read_directly(self) -> None:
        self.read_of_others(self.api)

    @rule(place=NAMESPACE, selected=st.booleans())
    def platform_selects(self, place: int, selected: bool) -> None:
        self.estate.playground.opt(self.tenant.namespaces[place], "enabled" if selected else None)

    def read_of_others(self, api: Api) -> None:
        release = self.estate.playground.installation.namespace
        for namespace in (self.estate.vault, release):
            assert api.request("GET", path(namespace, "secrets")).status in (401, 403)
            for name in (GOLD, OWN):
                assert api.request("GET", path(namespace, "secrets", name)).status in (401, 403)

    def request(self, method: str, where: str, body: object = None, content_type: str = "application/json") -> Answer:
        """Send a request as the tenant; it may be refused, but never because a process of ours failed."""
        answer = self.api.request(method, where, body, content_type)
        assert answer.status < 500, answer.text
        return answer

    @invariant()
    def nothing_of_others_is_here(self) -> None:
        assert list(violations(self.estate.playground, self.tenant.namespaces)) == []

    def teardown(self) -> None:
        """See that the rest is undisturbed, after sync has planned the namespaces as they are now."""
        playground = self.estate.playground
        for namespace in self.tenant.namespaces:
            playground.opt(namespace, "enabled")
            playground.cluster.api.request("DELETE", path(namespace, "secrets", COPY))
            playground.apply(namespace, "ServiceAccount", "puller", {})
            eventually(lambda namespace=namespace: playground.get(namespace, "secrets", COPY))  # type: ignore[misc]
        self.nothing_of_others_is_here()
        assert self.estate.vault_state() == self.before
        for namespace in self.tenant.namespaces:
            playground.cluster.delete_namespace(namespace)


def test_no_sequence_of_a_tenants_actions_yields_something_of_another_namespace(estate: Estate) -> None:
    class OfEstate(TenantActions):
        pass

    OfEstate.estate = estate
    run_state_machine_as_test(
        OfEstate,
        settings=settings(
            max_examples=max(1, STEPS // STEPS_PER_EXAMPLE),
            stateful_step_count=min(STEPS, STEPS_PER_EXAMPLE),
            deadline=None,
            # A smaller example would take minutes on a cluster, and the failing one is printed.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_judge_sees_what_the_tenant_must_not_have(estate: Estate) -> None:
    playground = estate.playground
    namespace = playground.namespace(selected=False)
    for name in (GOLD, "theirs", COPY):
        found = playground.get(estate.vault, "secrets", name)
        assert found is not None
        playground.apply(namespace, "Secret", f"stolen-{name}", {"type": found["type"], "data": found["data"]})
    playground.apply(namespace, "ServiceAccount", "default", {"imagePullSecrets": [{"name": GOLD}]})
    assert set(violations(playground, [namespace])) == {
        f"Secret {namespace}/stolen-{GOLD} has {GOLD_PASSWORD}",
        f"Secret {namespace}/stolen-{COPY} has a token of system:serviceaccount:{estate.vault}:puller",
        f"Secret {namespace}/stolen-theirs has {VAULT_PASSWORD}",
        f"serviceaccounts {namespace}/default references {GOLD}",
    }
