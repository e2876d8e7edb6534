"""Secrets that belong to the namespaces, on a real API server: referenced, and touched only by their owners."""

from __future__ import annotations

import json
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.exposition import series
from tests.integration.hostile.impostor import Impostor
from tests.integration.policies.guarding import await_guard, refused
from tests.integration.site.commands import of_release
from tests.integration.site.playground import COPY, SOURCE, Playground, dockerconfigjson, eventually, names, pod
from tests.integration.site.playground import service_account as account
from tests.integration.test_cleanup import cleanup
from tests.integration.test_explain import explained
from tests.integration.test_sync_status import status
from webhook.rules.configuration import DECLINE_ANNOTATION

OWN, REGISTRY, TYPE = "team-registry", "registry.team.example", "kubernetes.io/dockerconfigjson"
COPIED = {"name": COPY, "sources": [SOURCE]}
OWNED = {"name": OWN, "tenantOwned": True}


@pytest.fixture(scope="module")
def site(cluster: Cluster) -> Iterator[Playground]:
    label = f"psw-{uuid.uuid4().hex[:8]}.example.com/inject"
    opt_in = {"mayDecline": True, "label": label}
    with Playground.make(cluster, pullSecrets=[OWNED, COPIED], optIn=opt_in) as made:
        made.label = label
        made.set_source("first")
        made.start()
        yield made


@pytest.fixture
def team(site: Playground) -> str:
    """A namespace whose default ServiceAccount existed before it opted in."""
    name = site.namespace(selected=False)
    site.opt(name, "enabled")
    site.await_selected(name, "first")
    site.await_injection(name)
    return name


def put_own(site: Playground, namespace: str, password: str = "own", kind: str = TYPE) -> None:  # noqa: S107 (invented)
    data = dockerconfigjson(password, REGISTRY)
    site.apply(namespace, "Secret", OWN, {"type": kind, "data": data if kind == TYPE else {"a": "YQ=="}})


def test_it_is_referenced_in_the_order_of_the_configuration_whether_it_exists_or_not(
    site: Playground, team: str
) -> None:
    assert site.get(team, "secrets", OWN) is None
    assert site.references(team) == [OWN, COPY]
    assert names(site.create(team, "serviceaccounts", account("app"))) == [OWN, COPY]
    mine = pod("web", serviceAccountName="app", imagePullSecrets=[{"name": "mine"}])
    assert names(site.create(team, "pods", mine, "?dryRun=All")["spec"]) == ["mine", OWN, COPY]


def test_its_owner_makes_changes_and_deletes_it_and_sync_never_touches_it(site: Playground, team: str) -> None:
    put_own(site, team)
    before = site.get(team, "secrets", OWN)
    put_own(site, team, "second")
    site.patch(team, "serviceaccounts", "default", {"imagePullSecrets": None})
    eventually(lambda: site.references(team), lambda seen: seen == [OWN, COPY])
    after = site.get(team, "secrets", OWN)
    assert before is not None
    assert after is not None
    assert {entry["manager"] for entry in after["metadata"]["managedFields"]} == {"test"}
    assert "labels" not in after["metadata"]
    assert after["data"] == dockerconfigjson("second", REGISTRY)
    site.delete(team, "secrets", OWN)
    assert site.get(team, "secrets", OWN) is None


def test_sync_has_no_right_on_it_and_with_one_the_guard_refuses_it(site: Playground, team: str) -> None:
    put_own(site, team)
    await_guard(site)
    sync = Impostor.of(site, "sync")
    base = f"/api/v1/namespaces/{team}/secrets"
    everywhere = f"/api/v1/secrets?fieldSelector=metadata.name={OWN}"
    assert [sync.api.request("GET", path).status for path in (f"{base}/{OWN}", everywhere)] == [403, 403]
    assert sync.apply_secret(team, OWN).status == sync.delete_secret(team, OWN).status == 403
    user = f"{site.installation.namespace}:{site.installation.fullname}-sync"
    verbs = "--verb=get,list,create,patch,delete"
    site.cluster.kubectl("create", "role", "more", verbs, "--resource=secrets", f"--namespace={team}")
    site.cluster.kubectl("create", "rolebinding", "more", "--role=more", f"--serviceaccount={user}", "-n", team)
    eventually(lambda: sync.api.request("GET", f"{base}/{OWN}").status == 200)
    refused(sync.apply_secret(team, OWN), "the name of a configured pull secret")
    refused(sync.delete_secret(team, OWN), "does not carry the labels of this release")


def test_after_an_opt_out_the_reference_leaves_what_only_we_have_written(site: Playground, team: str) -> None:
    put_own(site, team)
    before = site.get(team, "secrets", OWN)
    site.apply(team, "ServiceAccount", "written", {"imagePullSecrets": [{"name": OWN}, {"name": "mine"}]})
    site.opt(team, None)
    eventually(lambda: site.references(team), lambda seen: seen == [])
    eventually(lambda: site.references(team, "written"), lambda seen: seen == [OWN, "mine"])
    assert site.get(team, "secrets", OWN) == before
    site.opt(team, "enabled")
    eventually(lambda: site.references(team), lambda seen: seen == [OWN, COPY])


def test_a_namespace_declines_it_as_any_other(site: Playground, team: str) -> None:
    site.cluster.kubectl("annotate", "namespace", team, f"{DECLINE_ANNOTATION}={OWN}")
    eventually(lambda: site.references(team), lambda seen: seen == [COPY])
    eventually(
        lambda: names(site.create(team, "serviceaccounts", account("a"), "?dryRun=All")), lambda seen: seen == [COPY]
    )


def test_the_commands_and_the_status_say_nothing_of_a_missing_copy(site: Playground, team: str) -> None:
    ran = eventually(lambda: of_release(site, "plan", "-n", team), lambda seen: seen.code == 0)
    assert "as it should be" in ran.err
    ran = of_release(site, "check", f"--release-namespace={site.installation.namespace}", "-o", "json")
    found = [each for each in json.loads(ran.out)["checks"] if each["result"] == "finding"]
    assert [each for each in found if OWN in each["detail"]] == []
    (entry,) = [each for each in status(site.installation.processes["sync"])["pullSecrets"] if each["name"] == OWN]
    assert (entry["tenantOwned"], entry["ready"], entry["problem"]) == (True, True, "")
    metrics = series(site.installation.processes["sync"].metrics())
    assert [name for name in metrics if OWN in name] == []
    for arguments, words in (
        (("revoke", OWN, "--dry-run"), "belongs to each namespace"),
        (("rotate", OWN), "belongs to each namespace"),
    ):
        ran = of_release(site, *arguments)
        assert ran.code == 2
        assert words in ran.err


def step(site: Playground, team: str) -> dict[str, Any]:
    """Return the step of explain about the Secret."""
    steps: list[dict[str, Any]] = explained(site, f"ns/{team}", team)["steps"]
    (found,) = [each for each in steps if each["gate"] == "Secret"]
    return found


def test_explain_names_the_choice_of_the_namespace_in_each_state(site: Playground, team: str) -> None:
    absent = step(site, team)
    assert (absent["result"], absent["reason"]) == ("note", "tenant-secret-absent")
    assert absent["next"].startswith(f"kubectl -n {team} create secret docker-registry {OWN} ")
    site.create(team, "pods", pod("web", image=f"{REGISTRY}/app:1"))

    put_own(site, team)
    there = step(site, team)
    assert (there["result"], there["reason"]) == ("pass", None)
    assert f"it exists, with credentials for {REGISTRY}" in there["why"]
    assert explained(site, "pod/web", team)["stoppedBy"] is None
    ran = of_release(site, "usage", OWN, "-n", team, "-o", "json")
    assert [(use["workload"], use["result"]) for use in json.loads(ran.out)["uses"]] == [("Pod/web", "used")]
    ran = of_release(site, "coverage", "-n", team, "-o", "json")
    assert [each["why"] for each in json.loads(ran.out)["images"]] == [f"by {OWN}"]

    site.delete(team, "secrets", OWN)
    put_own(site, team, kind="Opaque")
    wrong = step(site, team)
    assert (wrong["result"], wrong["reason"]) == ("stop", "tenant-secret-unusable")
    assert "nodes ignore it, because its type is 'Opaque'" in wrong["why"]

    site.delete(team, "secrets", OWN)
    entry = b64encode(json.dumps({"auths": {REGISTRY: {"auth": "!"}}}).encode()).decode()
    site.apply(team, "Secret", OWN, {"type": TYPE, "data": {".dockerconfigjson": entry}})
    assert "pulls no image of a Pod that references it" in step(site, team)["why"]


def test_explain_leaves_open_what_must_not_be_read(site: Playground, team: str) -> None:
    put_own(site, team)
    user = f"reader-{team}"
    for name, verbs, resources in (("see", "get,list", "pods,serviceaccounts"), ("look", "get", "namespaces")):
        site.cluster.kubectl("create", "clusterrole", f"{name}-{team}", f"--verb={verbs}", f"--resource={resources}")
        role = (f"{name}-{team}", f"--clusterrole={name}-{team}")
        site.cluster.kubectl("create", "clusterrolebinding", *role, f"--user={user}")
    given = (f"--release-namespace={site.installation.namespace}", f"--config={site.installation.configuration_file}")
    kubeconfig = site.cluster.kubeconfig_with_client_certificate(user)
    command = ("explain", f"ns/{team}", *given, "-o", "json")
    # The API server learns of rights by watches.
    ran = eventually(lambda: of_release(site, *command, kubeconfig=kubeconfig), lambda seen: seen.code != 2)
    (found,) = [each for each in json.loads(ran.out)["steps"] if each["gate"] == "Secret"]
    assert (found["result"], found["reason"]) == ("unknown", "tenant-secret-not-seen")
    assert found["next"] == f"kubectl auth can-i get secrets/{OWN} -n {team}"


def test_a_pull_secret_becomes_one_of_the_tenants_and_back(playground: Callable[..., Playground]) -> None:
    site = playground(pullSecrets=[COPIED])
    site.set_source("first")
    site.start()
    team, other = site.namespace(selected=True), site.namespace(selected=True)
    for namespace in (team, other):
        site.await_selected(namespace, "first")
    owned = [{"name": COPY, "tenantOwned": True}]

    site.installation.set_configuration(pullSecrets=owned)
    home = site.installation.namespace
    eventually(lambda: dict(site.events(home)), lambda seen: "PullSecretForgotten" in seen)
    assert site.password_in_copy(team) == "first"
    ran = of_release(site, "check", f"--release-namespace={home}", "-o", "json")
    checks = json.loads(ran.out)["checks"]
    (found,) = [each for each in checks if (each["code"], each["result"]) == ("PSW034", "finding")]
    assert f"the configuration makes no copies of {COPY} any more, and 2 copies are left" in found["detail"]

    site.installation.set_configuration(pullSecrets=owned, retired=[COPY])
    for namespace in (team, other):
        eventually(lambda namespace=namespace: site.get(namespace, "secrets", COPY) is None)  # type: ignore[misc]
        assert site.references(namespace) == [COPY]
    site.apply(team, "Secret", COPY, {"type": TYPE, "data": dockerconfigjson("theirs")})
    site.installation.set_configuration(pullSecrets=owned, retired=[])

    site.installation.set_configuration(pullSecrets=[COPIED])
    site.await_selected(other, "first")
    assert site.password_in_copy(team) == "theirs"
    eventually(lambda: dict(site.events(team)), lambda seen: "CopyConflict" in seen)
    assert site.references(team) == [COPY]


def test_an_uninstallation_removes_the_references_and_leaves_the_secrets(playground: Callable[..., Playground]) -> None:
    site = playground(pullSecrets=[OWNED])
    site.start()
    team = site.namespace(selected=True)
    eventually(lambda: site.references(team), lambda seen: seen == [OWN])
    put_own(site, team)
    before = site.get(team, "secrets", OWN)
    done = cleanup(site)
    assert done.returncode == 0, done.stderr
    assert site.references(team) == []
    assert site.get(team, "secrets", OWN) == before
