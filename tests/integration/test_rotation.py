"""Rotations in stages, with a running ``sync``, a registry over TLS and a real API server."""

from __future__ import annotations

import contextlib
import itertools
import json
import uuid
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.faults.denier import denying_policy
from tests.integration.hostile.impostor import MERGE
from tests.integration.site.commands import Ran, of_release
from tests.integration.site.playground import COPY, SOURCE, Playground, dockerconfigjson, eventually, pod
from tests.integration.site.rights import await_right
from tests.integration.site.rotating import FORBIDDEN, GOOD, NOT_FOUND, OLD, WRONG, RotatingSite
from tests.unit.registries.registry import authorization_of


@pytest.fixture
def rotating(playground: Callable[..., Playground], tmp_path: Path) -> Iterator[RotatingSite]:
    """A release that has not started, whose source has the old password."""
    made = RotatingSite.make(playground(), tmp_path)
    yield made
    made.registry.close()


def test_a_password_that_the_registry_refuses_reaches_no_namespace(rotating: RotatingSite) -> None:
    rotating.start()
    rotating.await_passwords(OLD, OLD)
    rotating.rotate(WRONG)
    message = eventually(rotating.events, lambda seen: "RotationHeld" in seen)["RotationHeld"]
    assert "refuses" in message
    assert WRONG not in message
    late = rotating.site.namespace(selected=True)
    eventually(lambda: rotating.password(late), lambda seen: seen == OLD)
    assert rotating.passwords() == ({OLD}, {OLD})
    rotating.rotate(GOOD)
    rotating.await_passwords(GOOD, OLD)


def test_a_password_that_lacks_the_right_to_one_repository_reaches_no_namespace(rotating: RotatingSite) -> None:
    images = [f"{rotating.registry.key}/team/{name}:1" for name in ("app", "base")]
    rotating.configure(canary=rotating.canary_settings, prove={"login": True, "pull": images})
    rotating.start()
    rotating.await_passwords(OLD, OLD)
    rotating.registry.behaviour.denied = frozenset({"team/base"})
    rotating.rotate(GOOD)
    message = eventually(rotating.events, lambda seen: "RotationHeld" in seen)["RotationHeld"]
    assert f"{images[1]}: the credential for {rotating.registry.key} is refused" in message
    assert images[0] not in message
    assert rotating.passwords() == ({OLD}, {OLD})


def test_an_aborted_rotation_is_returned_and_can_begin_again(rotating: RotatingSite) -> None:
    rotating.start()
    rotating.await_passwords(OLD, OLD)
    rotating.rotate(GOOD)
    rotating.await_passwords(GOOD, OLD)
    rotating.await_stage("canary")
    rotating.ask("abort")
    rotating.await_passwords(OLD, OLD)
    rotating.await_stage("aborted")
    rotating.ask("promote")
    rotating.await_passwords(GOOD, OLD)
    rotating.await_stage("canary")
    rotating.ask("promote")
    rotating.await_passwords(GOOD, GOOD)
    eventually(rotating.events, lambda seen: "RotationComplete" in seen)


@pytest.mark.parametrize("stage", ["held", "canary", "aborted"])
def test_the_stage_outlives_its_leader(rotating: RotatingSite, stage: str) -> None:
    leader = rotating.start()
    rotating.await_passwords(OLD, OLD)
    rotating.rotate(WRONG if stage == "held" else GOOD)
    if stage == "aborted":
        rotating.await_stage("canary")
        rotating.ask("abort")
    before = rotating.await_stage(stage)
    rotating.await_passwords(GOOD if stage == "canary" else OLD, OLD)
    leader.kill()
    late = rotating.site.namespace(selected=True)
    rotating.start("sync-2")
    eventually(lambda: rotating.password(late), lambda seen: seen is not None)
    assert rotating.password(late) == OLD
    assert rotating.passwords() == ({GOOD if stage == "canary" else OLD}, {OLD})
    assert rotating.rollout()["id"] == before["id"]
    outcomes = json.loads(of_release(rotating.site, "check", "-o", "json").out)["checks"]
    (outcome,) = {each["result"] for each in outcomes if each["code"] == "PSW037"}
    assert outcome == {"held": "finding", "aborted": "note", "canary": "ok"}[stage]


def test_a_leader_that_is_killed_while_it_rolls_out_is_followed_by_one_that_ends_it(rotating: RotatingSite) -> None:
    rotating.configure(maxPerSecond=1)
    leader = rotating.start()
    rotating.await_passwords(OLD, OLD)
    # However late the leader is killed, it has not ended the rotation: one of the copies is not to be had until then.
    last = rotating.others[-1]
    with denied(rotating, last):
        rotating.rotate(GOOD)
        eventually(rotating.passwords, lambda seen: GOOD in seen[0] | seen[1])
        leader.kill()
        assert rotating.password(last) == OLD
    rotating.start("sync-2")
    rotating.await_passwords(GOOD, GOOD)
    rotating.await_stage("complete")


@contextlib.contextmanager
def denied(rotating: RotatingSite, namespace: str) -> Iterator[None]:
    """Have the API server deny each write of the copy in a namespace, from when the block begins."""
    api, labels = rotating.site.cluster.api, {"kubernetes.io/metadata.name": namespace}
    path, label = f"/api/v1/namespaces/{namespace}/secrets/{COPY}?dryRun=All", {"metadata": {"labels": {"x": "y"}}}
    with denying_policy(api, f"deny-{namespace}", labels):
        eventually(lambda: api.request("PATCH", path, label, MERGE).text, lambda text: "denied request" in text)
        yield


def test_a_second_rotation_in_the_canary_begins_again(rotating: RotatingSite) -> None:
    rotating.start()
    rotating.await_passwords(OLD, OLD)
    rotating.rotate(GOOD)
    rotating.await_passwords(GOOD, OLD)
    rotating.rotate(WRONG)
    rotating.await_passwords(OLD, OLD)
    rotating.await_stage("held")
    rotating.rotate(OLD)
    rotating.await_stage("settled")
    rotating.await_passwords(OLD, OLD)


def test_a_registry_that_refuses_during_the_soak_gets_the_canary_its_password_back(rotating: RotatingSite) -> None:
    # The proof is repeated after a third of the soak. A slow look at the canary must not take what is left of it.
    rotating.configure(canary={"namespaces": [f"{rotating.canary[0][:-1]}*"], "soak": "60s"}, prove={"login": True})
    rotating.start()
    rotating.await_passwords(OLD, OLD)
    rotating.rotate(GOOD)
    rotating.await_passwords(GOOD, OLD)
    rotating.registry.behaviour.token = b'{"token": "without rights"}'
    assert rotating.await_stage("held")["reason"] == "rollout-refused"
    rotating.await_passwords(OLD, OLD)


def watching(rotating: RotatingSite) -> str:
    """Watch the Pods of the canary, of which one namespace is named in full; return that."""
    watched, other = rotating.canary
    rotating.configure(canary={"namespaces": [watched, f"{other[:-1]}*"], "soak": "1h", "watchPods": True})
    rotating.start()
    rotating.await_passwords(OLD, OLD)
    return watched


def test_a_pod_of_the_canary_that_is_refused_a_pull_holds_the_rotation(rotating: RotatingSite) -> None:
    watched, other = watching(rotating), rotating.canary[1]
    rotating.failing_pod(watched, "before", FORBIDDEN, seconds=-60)
    rotating.rotate(GOOD)
    rotating.await_passwords(GOOD, OLD)
    eventually(rotating.progress, lambda seen: seen.get("watched") == 1)
    shown = of_release(rotating.site, "rotate", COPY)
    assert "the Pods in 1 canary namespace are watched" in shown.out
    assert f"the right to list Pods is missing in {other}, so the Pods there are not watched" in shown.out
    for namespace, clauses in {
        watched: ["the namespace is in the canary", "the copy has the new content", "the registries are not asked"],
        rotating.others[0]: ["waits for the end", "the copy has the previous content"],
    }.items():
        found = explained(rotating, namespace)
        assert (found["result"], found["reason"]) == ("note", "rotation-under-way")
        assert [clause for clause in clauses if clause not in found["why"]] == [], found
    # The same number of looks, or more, passes before the hold: these do not count.
    rotating.failing_pod(watched, "absent", NOT_FOUND)
    rotating.failing_pod(other, "another", FORBIDDEN)

    image = rotating.failing_pod(watched, "refused", FORBIDDEN)

    held = rotating.await_stage("held")
    assert held["reason"] == "rollout-pods-refused"
    assert held["detail"] == f"Pod {watched}/refused cannot pull {image}"
    rotating.await_passwords(OLD, OLD)
    message = eventually(rotating.events, lambda seen: "RotationHeld" in seen)["RotationHeld"]
    assert held["detail"] in message
    # A rotation that is held already is not waited for.
    for flags in ((), ("--wait",)):
        told = of_release(rotating.site, "rotate", COPY, *flags)
        assert (told.code, held["detail"] in told.out, "--promote" in told.err) == (1, True, True), told
        assert f"Next: kubectl -n {watched} describe pod refused, then correct the source" in told.err
    assert f"kubectl -n {watched} describe pod refused" in message
    assert explained(rotating, watched)["next"] == f"kubectl -n {watched} describe pod refused"
    # A person decides that the Pod fails for another cause: it is tried again, and the Pod does not count.
    rotating.ask("promote")
    rotating.await_passwords(GOOD, OLD)
    assert rotating.await_stage("canary")["ignores_pods"]


def explained(rotating: RotatingSite, namespace: str, kubeconfig: Path | None = None, *options: str) -> dict[str, str]:
    """Return the step of ``explain`` about the rotation, for a namespace and for a ServiceAccount in it."""
    steps = []
    for target in (f"ns/{namespace}", "sa/default"):
        ran = of_release(
            rotating.site, "explain", target, "-n", namespace, "-o", "json", *options, kubeconfig=kubeconfig
        )
        assert ran.code == 0, ran
        found = json.loads(ran.out)["steps"]
        steps.append(next(step for step in found if step["gate"] == "rotation"))
    # The numbers of seconds go on.
    assert [steps[0][part] for part in ("result", "reason", "next")] == [
        steps[1][part] for part in ("result", "reason", "next")
    ]
    step: dict[str, str] = steps[0]
    return step


def person(rotating: RotatingSite, rights: dict[str, list[tuple[str, str, str]]]) -> Path:
    """Return the kubeconfig of a person who has rights in some namespaces: verb, resource, and name or all of them."""
    user, group = f"person-{uuid.uuid4().hex[:8]}", "rbac.authorization.k8s.io"
    items: list[dict[str, Any]] = []
    for namespace, given in rights.items():
        rules = [
            {"apiGroups": [""], "verbs": [verb], "resources": [resource], "resourceNames": [name] if name else []}
            for verb, resource, name in given
        ]
        metadata, api = {"name": user, "namespace": namespace}, f"{group}/v1"
        items.append({"apiVersion": api, "kind": "Role", "metadata": metadata, "rules": rules})
        reference = {"apiGroup": group, "kind": "Role", "name": user}
        subjects = [{"apiGroup": group, "kind": "User", "name": user}]
        binding = {"apiVersion": api, "kind": "RoleBinding", "metadata": metadata}
        items.append({**binding, "roleRef": reference, "subjects": subjects})
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    rotating.site.cluster.kubectl("apply", "-f", "-", input=document)
    for namespace, given in rights.items():
        for verb, resource, name in given:
            await_right(rotating.site.cluster, user, verb, resource, namespace=namespace, name=name)
    return rotating.site.cluster.kubeconfig_with_client_certificate(user)


def test_a_person_needs_the_documented_rights_and_no_others(rotating: RotatingSite, tmp_path: Path) -> None:
    site = rotating.site
    where, state = site.installation.namespace, ("get", "secrets", site.installation.state_secret)
    get, patch = ("get", "secrets", SOURCE), ("patch", "secrets", SOURCE)
    team = {rotating.others[0]: [("get", "namespaces", ""), ("get", "serviceaccounts", "")]}
    people = {
        "nothing": person(rotating, team),
        "events": person(rotating, {**team, where: [("list", "events", "")]}),
        "stage": person(rotating, {**team, where: [state]}),
        "promote": person(rotating, {where: [state, patch]}),
        "replace": person(rotating, {where: [state, get, patch]}),
    }

    def run_as(name: str, *flags: str) -> Ran:
        options = (COPY, f"--release-namespace={where}", *flags)
        return of_release(site, "rotate", *options, kubeconfig=people[name])

    file = tmp_path / "config.json"
    file.write_bytes(b64decode(dockerconfigjson(OLD, rotating.registry.key)[".dockerconfigjson"]))
    rotating.start()
    rotating.await_passwords(OLD, OLD)
    rotating.rotate(GOOD)
    rotating.await_passwords(GOOD, OLD)
    before = rotating.await_stage("canary")
    eventually(rotating.events, lambda seen: "RotationInCanary" in seen)

    lacking = f"you lack the right to get secrets/{site.installation.state_secret} in namespace {where}"
    for flags in ((), ("--wait",), ("--promote",), (f"--from-file={file}",)):
        ran = run_as("nothing", *flags)
        assert (ran.code, lacking in ran.err) == (2, True), ran
    assert run_as("stage").code == 0
    refused = run_as("stage", "--abort"), run_as("promote", f"--from-file={file}")
    assert [ran.code for ran in refused] == [2, 2], refused
    assert "was not changed" in refused[0].err
    assert f"you lack the right to get secrets/{SOURCE} in namespace {where}" in refused[1].err
    assert rotating.await_stage("canary")["id"] == before["id"]

    options = (f"--release-namespace={where}",)
    step = explained(rotating, rotating.others[0], people["nothing"], *options)
    assert (step["result"], lacking in step["why"]) == ("unknown", True), step
    step = explained(rotating, rotating.others[0], people["events"], *options)
    assert (step["result"], "Event RotationInCanary" in step["why"]) == ("note", True), step
    step = explained(rotating, rotating.others[0], people["stage"], *options)
    assert (step["result"], "waits for the end" in step["why"]) == ("note", True), step

    assert run_as("promote", "--abort").code == 1
    rotating.await_stage("aborted")
    assert run_as("replace", f"--from-file={file}").code == 0
    assert rotating.await_stage("settled")["id"] != before["id"]


def test_images_of_pods_are_proved(rotating: RotatingSite) -> None:
    rotating.configure(
        canary=rotating.canary_settings, prove={"login": False, "imagesFromPods": True, "whenUnknown": "Hold"}
    )
    # Both passwords log in, and the new one does not open one of the repositories.
    rotating.registry.behaviour.users = {
        authorization_of(OLD): frozenset(),
        authorization_of(GOOD): frozenset({"team/base"}),
    }
    for name in ("app", "base"):
        image = f"{rotating.registry.key}/team/{name}:1"
        body = pod(name, image, imagePullSecrets=[{"name": COPY}])
        rotating.site.create(rotating.others[0], "pods", body)
    rotating.start()
    rotating.await_passwords(OLD, OLD)
    rotating.rotate(GOOD)
    # A registry that is slow to answer holds it for another reason first.
    held = eventually(rotating.rollout, lambda seen: seen.get("reason") == "rollout-refused")
    assert held["stage"] == "held"
    assert f"{rotating.registry.key}/team/base:1, which Pods pull" in held["detail"]
    assert rotating.passwords() == ({OLD}, {OLD})


def test_a_person_replaces_the_source_and_follows_promotes_and_aborts(rotating: RotatingSite, tmp_path: Path) -> None:
    site = rotating.site
    rotating.start()
    rotating.await_passwords(OLD, OLD)
    rotating.await_stage("settled")
    assert of_release(site, "rotate", COPY).code == 0
    file = tmp_path / "config.json"
    file.write_bytes(b64decode(dockerconfigjson(GOOD, rotating.registry.key)[".dockerconfigjson"]))

    # Where the canary is not reached within the time limit, another command goes on to follow.
    follow = itertools.chain([("--from-file", str(file))], itertools.repeat(("--wait",)))
    followed = eventually(
        lambda: of_release(site, "rotate", COPY, *next(follow), "--timeout=15s"),
        lambda ran: "canary: 2 of 2 canary namespaces" in ran.out,
    )

    assert followed.code == 2, followed
    assert rotating.passwords() == ({GOOD}, {OLD})
    aborted = of_release(site, "rotate", COPY, "--abort", "--wait")
    assert (aborted.code, "aborted: no copy has the new content" in aborted.out) == (1, True), aborted
    assert rotating.passwords() == ({OLD}, {OLD})
    assert of_release(site, "rotate", COPY).code == 1
    refused = of_release(site, "rotate", COPY, "--abort")
    assert (refused.code, "cannot be aborted" in refused.err) == (2, True), refused
    assert of_release(site, "rotate", COPY, "--promote").code == 0
    rotating.await_passwords(GOOD, OLD)
    rotating.await_stage("canary")
    promoted = of_release(site, "rotate", COPY, "--promote", "--wait")
    assert (promoted.code, "when the overlap is over, revoke each credential" in promoted.out) == (0, True), promoted
    assert rotating.passwords() == ({GOOD}, {GOOD})
    assert GOOD not in followed.out + promoted.out + promoted.err
