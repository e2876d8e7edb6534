"""Sources that renew themselves on a real API server: with the rights and the guard that the chart ships."""

from __future__ import annotations

import json
import random
import re
import subprocess
import time
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.processes import COMMAND, PullSecrets, clean_environment
from tests.exposition import series
from tests.integration.hostile.impostor import Impostor
from tests.integration.policies.guarding import is_refused, refused, stored
from tests.integration.site.background import Background
from tests.integration.site.commands import of_release
from tests.integration.site.playground import COPY, REGISTRY, SOURCE, Playground, eventually
from tests.providers.folder import NAME, plugin_folder
from webhook.rules.renewing import ISSUED_BY_LABEL, RENEW

AUDIENCE = "registry.example.com"
LIFETIME = 20
"""Seconds of a credential whose issuer is dead."""

RENEWED_LIFETIME = 60
"""Seconds of those that are renewed several times. A fault, a takeover and a machine that stands still fit into half of
it: who cannot run renews nothing."""


def provider(folder: Path, *, behaviour: str = "answer", seconds: int = 3600, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    env = [{"name": "FAKE_FOLDER", "value": str(folder)}, {"name": "FAKE_DURATION", "value": f"{seconds}s"}]
    return {
        "credentialProvider": {
            "name": "fake",
            "command": NAME,
            "args": [behaviour],
            "env": env,
            "images": [REGISTRY],
            **more,
        }
    }


TOKEN = {
    "serviceAccountToken": {
        "name": "token",
        "registry": REGISTRY,
        "username": "jwt",
        "audience": AUDIENCE,
        "lifetime": "10m",
        "serviceAccountName": "puller",
    }
}


def values(*sources: dict[str, Any]) -> dict[str, Any]:
    return {"pullSecrets": [{"name": COPY, "sources": list(sources)}]}


def issued(ours: Playground, name: str = "fake") -> dict[str, Any] | None:
    return ours.get(ours.installation.namespace, "secrets", f"{ours.installation.fullname}-issued-{name}")


def claims(password: str | None) -> dict[str, Any]:
    part = (password or "").split(".")[1]
    found: dict[str, Any] = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def add_account(ours: Playground, name: str = "puller") -> None:
    ours.apply(ours.installation.namespace, "ServiceAccount", name, {})


def number(password: str | None) -> int:
    return int((password or "number-0 ").removeprefix("number-").partition(" ")[0])


def attempts(sync: PullSecrets, source: str, result: str) -> float:
    """Return how many attempts to renew a source had a result; 0 until the process listens."""
    try:
        found = series(sync.metrics())
    except OSError:
        return 0
    return found.get(f'pullsecrets_sync_renewals_total{{result="{result}",source="{source}"}}', 0)


def behave(folder: Path, behaviour: str) -> None:
    (folder / "next").write_text(behaviour)
    (folder / "next").rename(folder / "behaviour")  # never read in half


class Observer(Background):
    """Reads copies all the time, and notes each one that holds a credential after its time."""

    def __init__(self, ours: Playground, namespaces: list[str]) -> None:
        self.expired: list[str] = []
        self.numbers: set[int] = set()
        self._ours = ours
        self._namespaces = namespaces
        super().__init__()

    def work(self) -> None:
        while not self.ended.wait(0.1):
            for namespace in self._namespaces:
                asked_at = time.time()
                password = self._ours.password_in_copy(namespace)
                if password is not None:
                    self.numbers.add(number(password))
                    if float(password.rpartition(" ")[2]) < asked_at:
                        self.expired.append(f"{namespace}: {password}")


def test_no_copy_holds_an_expired_credential_while_the_issuer_fails_at_times_and_the_leader_changes(
    playground: Callable[..., Playground], tmp_path: Path
) -> None:
    folder = plugin_folder(tmp_path / "plugins")
    ours = playground(**values(provider(tmp_path, seconds=RENEWED_LIFETIME)))
    flag = f"--providers={folder}"
    sync = ours.installation.start_sync(flag, name="first")
    ours.installation.start_sync(flag, name="second").wait_ready()
    namespaces = [ours.namespace(selected=True) for _ in range(5)]
    for namespace in namespaces:
        eventually(lambda namespace=namespace: ours.password_in_copy(namespace))  # type: ignore[misc]
    faults = random.Random(7)  # noqa: S311 - faults

    with Observer(ours, namespaces) as observer:
        for turn in range(4):
            before = max(observer.numbers, default=1)
            behave(tmp_path, faults.choice(["fail", "garbage", "other-version", "other-registry"]))
            time.sleep(faults.uniform(1, 3))  # the fault lasts; it is no wait for something
            behave(tmp_path, "answer")
            if turn == 1:
                assert sync.stop() == 0
                ours.installation.start_sync(flag, name="third").wait_ready()
            eventually(
                lambda before=before: max(observer.numbers, default=1) > before,  # type: ignore[misc]
                seconds=RENEWED_LIFETIME * 2,
            )

    assert ours.installation.processes["third"].get("/livez")[0] == 200
    assert observer.expired == []
    assert len(observer.numbers) >= 4


def test_a_dead_issuer_leaves_the_copies_and_is_reported(playground: Callable[..., Playground], tmp_path: Path) -> None:
    ours = playground(**values(provider(tmp_path, seconds=LIFETIME)))
    sync = ours.installation.start_sync(f"--providers={plugin_folder(tmp_path / 'plugins')}")
    namespace = ours.namespace(selected=True)
    eventually(lambda: ours.password_in_copy(namespace))
    behave(tmp_path, "fail")

    eventually(lambda: attempts(sync, "fake", "provider-failed") >= 2)

    kept = ours.password_in_copy(namespace)
    reports = eventually(
        lambda: dict(ours.events(ours.installation.namespace)), lambda seen: "CredentialNotRenewed" in seen
    )
    assert "exit code 1" in reports["CredentialNotRenewed"]
    assert failures(ours, sync) >= 2
    (found,) = eventually(lambda: checked(ours, "PSW049"))
    assert re.search("the previous one (expires|expired) at", found["detail"])
    assert "(provider-failed); the first failure that is known was at" in found["detail"]
    assert found["command"].startswith("pullsecrets renew fake ")
    assert eventually(lambda: checked(ours, "PSW045"))
    assert ours.password_in_copy(namespace) == kept, "also after its time"

    behave(tmp_path, "answer")

    eventually(lambda: failures(ours, sync) == 0)
    assert checked(ours, "PSW049") == []


def failures(ours: Playground, sync: PullSecrets) -> float:
    labels = f'{{source="{ours.installation.fullname}-issued-fake"}}'
    return series(sync.metrics())[f"pullsecrets_sync_renewal_failures{labels}"]


def checked(ours: Playground, code: str) -> list[dict[str, Any]]:
    """Return the findings of ``pullsecrets check`` with a code."""
    checks = json.loads(of_release(ours, "check", "-o", "json").out)["checks"]
    return [each for each in checks if each["code"] == code and each["result"] == "finding"]


def test_the_secret_of_a_removed_source_is_named_with_the_command_that_deletes_it(
    playground: Callable[..., Playground], tmp_path: Path
) -> None:
    ours = playground(**values(provider(tmp_path)))
    sync = ours.installation.start_sync(f"--providers={plugin_folder(tmp_path / 'plugins')}")
    eventually(lambda: issued(ours))
    assert checked(ours, "PSW034") == []

    before = series(sync.metrics())["pullsecrets_config_generation"]
    ours.installation.set_configuration(**values({"secretName": SOURCE}))
    # Until then, a Secret that is deleted is issued again.
    eventually(lambda: series(sync.metrics())["pullsecrets_config_generation"] > before)

    (found,) = checked(ours, "PSW034")
    assert found["detail"].startswith(f"Secret {ours.installation.namespace}/{ours.installation.fullname}-issued-fake ")
    ours.cluster.kubectl(*found["command"].removeprefix("kubectl ").split())
    assert checked(ours, "PSW034") == []


def test_a_token_of_a_service_account_is_the_password_itself(
    playground: Callable[..., Playground], tmp_path: Path
) -> None:
    del tmp_path
    ours = playground(**values(TOKEN))
    add_account(ours)
    ours.installation.start_sync().wait_ready()
    namespace = ours.namespace(selected=True)

    password = eventually(lambda: ours.password_in_copy(namespace))

    assert claims(password)["aud"] == [AUDIENCE]
    assert claims(password)["sub"] == f"system:serviceaccount:{ours.installation.namespace}:puller"


def test_a_provider_gets_a_token_for_its_audience(playground: Callable[..., Playground], tmp_path: Path) -> None:
    token = {"audience": AUDIENCE, "serviceAccountName": "puller", "annotations": {"role": "pull"}}
    ours = playground(**values(provider(tmp_path, behaviour="token", serviceAccountToken=token)))
    add_account(ours)
    ours.installation.start_sync(f"--providers={plugin_folder(tmp_path / 'plugins')}")
    namespace = ours.namespace(selected=True)

    password = eventually(lambda: ours.password_in_copy(namespace))

    assert claims(password)["aud"] == [AUDIENCE]
    expires = (issued(ours) or {})["metadata"]["annotations"]["pullsecrets.webhook/expires-at"]
    assert expires.endswith("Z"), "the shorter of the token and the answer"


def test_a_token_that_the_api_server_refuses_is_reported_with_its_reason(
    playground: Callable[..., Playground],
) -> None:
    ours = playground(**values(TOKEN))  # without the ServiceAccount
    sync = ours.installation.start_sync()

    eventually(lambda: attempts(sync, "token", "token-refused") >= 1)
    reports = eventually(
        lambda: dict(ours.events(ours.installation.namespace)), lambda seen: "CredentialNotRenewed" in seen
    )
    assert "puller" in reports["CredentialNotRenewed"]

    add_account(ours)
    namespace = ours.namespace(selected=True)
    eventually(lambda: ours.password_in_copy(namespace))


def test_a_renewal_can_be_requested_by_an_annotation_and_a_deleted_secret_comes_back(
    playground: Callable[..., Playground], tmp_path: Path
) -> None:
    ours = playground(**values(provider(tmp_path)))
    ours.installation.start_sync(f"--providers={plugin_folder(tmp_path / 'plugins')}")
    namespace = ours.namespace(selected=True)
    eventually(lambda: number(ours.password_in_copy(namespace)) == 1)
    name = (issued(ours) or {})["metadata"]["name"]

    ours.patch(ours.installation.namespace, "secrets", name, {"metadata": {"annotations": {RENEW: "now"}}})
    eventually(lambda: number(ours.password_in_copy(namespace)) == 2)

    assert command(ours, "fake").returncode == 0
    eventually(lambda: number(ours.password_in_copy(namespace)) == 3)
    unknown = command(ours, "ecr")
    assert unknown.returncode == 2
    assert "its sources that do are fake" in unknown.stderr

    ours.delete(ours.installation.namespace, "secrets", name)
    eventually(lambda: number(ours.password_in_copy(namespace)) == 4)


def test_nothing_that_a_tenant_writes_reaches_a_provider(playground: Callable[..., Playground], tmp_path: Path) -> None:
    ours = playground(**values(provider(tmp_path, behaviour="record")))
    ours.installation.start_sync(f"--providers={plugin_folder(tmp_path / 'plugins')}")
    first = ours.namespace(selected=True)
    eventually(lambda: number(ours.password_in_copy(first)) == 1)

    mark = "tenant-mark"
    marked = ours.namespace(selected=True, labels={f"{mark}/args": mark, f"{mark}/image": mark})
    annotations = {RENEW: mark, f"{mark}/args": f'["--{mark}"]', "kubernetes.io/description": mark}
    for name in (mark, "default"):
        ours.apply(marked, "ServiceAccount", name, {"metadata": {"annotations": annotations}})
    eventually(lambda: ours.password_in_copy(marked))
    ours.apply(marked, "Secret", COPY, {"metadata": {"annotations": annotations}})
    ours.apply(marked, "Secret", mark, {"metadata": {"labels": {ISSUED_BY_LABEL: mark}}})
    name = (issued(ours) or {})["metadata"]["name"]
    ours.patch(ours.installation.namespace, "secrets", name, {"metadata": {"annotations": {RENEW: "now"}}})
    eventually(lambda: number(ours.password_in_copy(marked)) == 2)

    given = [json.loads(line) for line in (tmp_path / "given").read_text().splitlines()]
    assert len(given) == 2, "the annotation of a tenant renews nothing"
    assert given[0] == given[1]
    assert mark not in json.dumps(given)


def command(ours: Playground, source: str) -> subprocess.CompletedProcess[str]:
    """Run ``pullsecrets renew`` as an administrator."""
    release = [f"--release={ours.installation.release}", f"--release-namespace={ours.installation.namespace}"]
    arguments = [str(COMMAND), "renew", source, f"--kubeconfig={ours.cluster.kubeconfig}", *release]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, env=clean_environment())


# Rights and the guard


@pytest.fixture(scope="module")
def guarded(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playground]:
    """An installation in which nothing runs, with the policies about sync in force."""
    folder = tmp_path_factory.mktemp("guarded")
    with Playground.make(cluster, **values(provider(folder), TOKEN)) as ours:
        add_account(ours)
        add_account(ours, "other")
        thief = Impostor.of(ours, "sync")
        eventually(lambda: request(thief, "puller", []), is_refused)
        eventually(lambda: apply_issued(thief, "&dryRun=All", labels={}), is_refused)
        yield ours


@pytest.fixture
def thief(guarded: Playground) -> Impostor:
    return Impostor.of(guarded, "sync")


def request(thief: Impostor, account: str, audiences: list[str], namespace: str = "", **spec: Any) -> Any:  # noqa: ANN401
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": audiences, **spec},
    }
    where = namespace or thief.playground.installation.namespace
    return thief.api.request("POST", f"/api/v1/namespaces/{where}/serviceaccounts/{account}/token", body)


def apply_issued(thief: Impostor, query: str = "", name: str = "fake", **metadata: Any) -> Any:  # noqa: ANN401
    installation = thief.playground.installation
    changed = {"labels": {ISSUED_BY_LABEL: installation.release}, **metadata}
    secret = f"{installation.fullname}-issued-{name}"
    return thief.apply_secret(installation.namespace, secret, query=query, metadata=changed)


def test_a_stolen_token_of_sync_mints_the_configured_token_and_no_other(guarded: Playground, thief: Impostor) -> None:
    stored(request(thief, "puller", [AUDIENCE]))

    for account, audiences, because in (
        ("puller", [], "one audience"),
        ("puller", ["https://kubernetes.default.svc.cluster.local"], "one audience"),
        ("puller", [AUDIENCE, "other"], "one audience"),
        ("puller", ["other"], "one audience"),
    ):
        refused(request(thief, account, audiences), because)
    pod = {"apiVersion": "v1", "kind": "Secret", "name": "x", "uid": "y"}
    refused(request(thief, "puller", [AUDIENCE], boundObjectRef=pod), "not bound")
    for account, namespace in (("other", ""), ("default", ""), ("puller", "default"), ("default", "kube-system")):
        answer = request(thief, account, [AUDIENCE], namespace)
        assert answer.status == 403, (account, namespace)
        assert "cannot create resource" in answer.json()["message"]
    fullname = guarded.installation.fullname
    assert request(thief, f"{fullname}-sync", [AUDIENCE]).status == 403


def test_sync_writes_an_issued_secret_only_with_its_label(thief: Impostor) -> None:
    stored(apply_issued(thief))

    refused(apply_issued(thief, labels={}), "carries the label")
    refused(apply_issued(thief, labels={ISSUED_BY_LABEL: "other"}), "carries the label")
    refused(apply_issued(thief, labels={ISSUED_BY_LABEL: thief.playground.installation.release, "x": "y"}), "label x")
    assert apply_issued(thief, name="other").status == 403


def test_sync_does_not_write_over_a_secret_that_it_did_not_issue(guarded: Playground, thief: Impostor) -> None:
    namespace, name = guarded.installation.namespace, f"{guarded.installation.fullname}-issued-token"
    guarded.apply(
        namespace, "Secret", name, {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "e30="}}
    )

    refused(apply_issued(thief, name="token"), "no other Secret is written over")
    refused(thief.delete_secret(namespace, name), "no other Secret is written over")


def test_cleanup_removes_the_issued_secrets(playground: Callable[..., Playground], tmp_path: Path) -> None:
    ours = playground(**values(provider(tmp_path)))
    sync = ours.installation.start_sync(f"--providers={plugin_folder(tmp_path / 'plugins')}")
    namespace = ours.namespace(selected=True)
    eventually(lambda: ours.password_in_copy(namespace))
    secret = issued(ours)
    assert secret is not None
    assert b64decode(secret["data"][".dockerconfigjson"])

    cleanup = [str(COMMAND), *ours.installation.cleanup_command()]
    done = subprocess.run(cleanup, capture_output=True, text=True, check=False, env=clean_environment())
    assert done.returncode == 0, done.stderr

    assert issued(ours) is None
    sync.stop()
