"""``pullsecrets plan`` on a real API server: what it says is what sync and serve then do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.integration.day.disorder import FIRST, SECOND, Disorder, settle
from tests.integration.site.commands import of_release
from tests.integration.site.playground import COPY, SOURCE, Playground, eventually, pod
from tests.integration.site.rights import await_right
from tests.providers.folder import NAME, plugin_folder
from webhook.report.preview.preview import FEW_ROWS

Maker = Callable[..., Playground]
Rows = list[dict[str, Any]]

NAMESPACES = 12


def planned(playground: Playground, *flags: str, code: int | None = None) -> Rows:
    ran = of_release(playground, "plan", "-o", "json", *flags)
    assert ran.code in (0, 1), ran.err
    assert code in (None, ran.code)
    rows: Rows = json.loads(ran.out)["rows"]
    assert ran.code == any(row["effect"] in ("create", "update", "delete", "references") for row in rows)
    return rows


def key(row: dict[str, Any]) -> str:
    return f"{row['namespace']}/{row['object'].partition('/')[2]}"


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_what_is_predicted_is_what_then_happens(playground: Maker, seed: int) -> None:
    ours = playground(**FIRST)
    disorder = Disorder(ours, seed)
    disorder.order(NAMESPACES)
    disorder.disturb()
    ours.installation.set_configuration(**SECOND, optIn={"label": ours.label, "mayDecline": True})
    before = disorder.seen()

    rows = [row for row in planned(ours, "-A", code=1) if row["namespace"] in disorder.namespaces]

    serve = ours.installation.start_serve()
    serve.wait_ready(seconds=60)  # sync issues the certificate that it waits for
    sync = ours.installation.start_sync(name="sync-2")
    sync.wait_ready()
    settle(sync)
    after = disorder.seen()

    effects = {"create": set[str](), "update": set[str](), "delete": set[str]()}
    for row in rows:
        if row["object"].startswith("Secret/") and row["effect"] in effects:
            effects[row["effect"]].add(key(row))
    assert effects == {
        "create": after.secrets.keys() - before.secrets.keys(),
        "update": {
            name for name in after.secrets.keys() & before.secrets.keys() if after.secrets[name] != before.secrets[name]
        },
        "delete": before.secrets.keys() - after.secrets.keys(),
    }
    accounts = {key(row): row for row in rows if row["object"].startswith("ServiceAccount/")}
    assert {
        name: (set(row["added"]), set(row["removed"]))
        for name, row in accounts.items()
        if row["effect"] == "references"
    } == {
        name: (set(after.accounts[name]) - set(were), set(were) - set(after.accounts[name]))
        for name, were in before.accounts.items()
        if after.accounts[name] != were
    }
    missing = {key(row): row["added"] for row in rows if row["effect"] == "recreate"}
    assert all(effects.values())
    assert accounts
    assert missing
    for name, body in disorder.pods.items():
        namespace, _, _ = name.partition("/")
        account = after.accounts[f"{namespace}/{body['spec']['serviceAccountName']}"]
        listed = [entry["name"] for entry in body["spec"].get("imagePullSecrets", [])]
        expected = {*(listed or account), *missing.get(name, ())}
        # The API server gives a Pod the list of its ServiceAccount, of which it learns by a watch.
        eventually(lambda name=name: set(disorder.anew(name)), lambda seen, expected=expected: seen == expected)  # type: ignore[misc]
    assert sync.stop() == 0
    planned(ours, "-A", code=0)


@pytest.fixture(scope="module")
def idle(cluster: Cluster) -> Iterator[Playground]:
    """An installation without processes: what is planned stays planned."""
    with Playground.make(cluster) as ours:
        ours.set_source("first")
        yield ours


def short(rows: Rows) -> list[tuple[str, str, str]]:
    return [(row["object"], row["effect"], row["reason"]) for row in rows]


def test_one_namespace_is_shown_whole_and_of_many_only_what_changes(idle: Playground) -> None:
    team, other = idle.namespace(selected=True), idle.namespace(selected=False)
    idle.create(team, "pods", pod("web"))
    assert short(planned(idle, "-n", team, code=1)) == [
        (f"Namespace/{team}", "none", "namespace-selected"),
        (f"Secret/{COPY}", "create", "copy-due"),
        ("ServiceAccount/default", "references", "injected"),
        ("Pod/web", "recreate", "pod-without-reference"),
    ]
    assert short(planned(idle, "-n", other, code=0)) == [
        (f"Namespace/{other}", "none", "namespace-not-opted-in"),
        ("ServiceAccount/default", "none", "namespace-not-opted-in"),
    ]
    everywhere = planned(idle, "-A", code=1)
    assert {row["namespace"] for row in everywhere} >= {team}
    assert other not in {row["namespace"] for row in everywhere}
    assert {row["namespace"] for row in planned(idle, "-l", f"kubernetes.io/metadata.name={team}")} == {team}


def test_the_summary_counts_by_pull_secret_and_restarts_the_workloads_of_pods(idle: Playground) -> None:
    team, label = idle.namespace(selected=True), {"app": "web"}
    template = {"metadata": {"labels": label}, "spec": pod("web")["spec"]}
    spec = {"selector": {"matchLabels": label}, "template": template}
    path = f"/apis/apps/v1/namespaces/{team}/deployments"
    idle.cluster.api.call("POST", path, {"metadata": {"name": "web"}, "spec": spec})
    eventually(lambda: planned(idle, "-n", team), lambda rows: any(row["owner"] == "Deployment/web" for row in rows))

    text = of_release(idle, "plan", "-n", team)

    summary, _, table = text.out.partition("\n\n")
    assert summary.splitlines() == [
        COPY,
        "  copies: 1 to create",
        "  references: in 1 ServiceAccount to add it",
        "  Pods: 1 lacks it, until recreated",
        f"    kubectl -n {team} rollout restart deployment/web",
    ]
    assert table.startswith("NAMESPACE ")
    idle.cluster.kubectl(*summary.splitlines()[-1].split()[1:])  # the command is accepted as it is printed


def test_many_rows_are_listed_on_request_only(idle: Playground) -> None:
    team = idle.namespace(selected=True)
    for number in range(FEW_ROWS):
        idle.create(team, "pods", pod(f"web-{number}"))
    few, all_of_them = of_release(idle, "plan", "-n", team), of_release(idle, "plan", "-n", team, "-v")
    assert f"{FEW_ROWS + 3} rows are not shown (-v lists them)" in few.out.splitlines()
    assert "NAMESPACE " not in few.out
    assert "Pod/web-0 " in all_of_them.out
    assert few.err == all_of_them.err


def test_what_a_label_would_do_and_what_taking_it_away_would(idle: Playground) -> None:
    without, within = idle.namespace(selected=False), idle.namespace(selected=True)
    rows = planned(idle, "--label", f"ns/{without}", code=1)
    assert short(rows)[:2] == [
        (f"Namespace/{without}", "none", "namespace-selected"),
        (f"Secret/{COPY}", "create", "copy-due"),
    ]
    assert short(planned(idle, "--unlabel", f"ns/{within}", code=0))[0] == (
        f"Namespace/{within}",
        "none",
        "namespace-not-opted-in",
    )
    ran = of_release(idle, "plan", "-A", "--label", "ns/absent")
    assert (ran.code, ran.err) == (
        2,
        (
            "error: namespace absent does not exist, or is not among those that are looked at; "
            "list them: kubectl get namespaces\n"
        ),
    )


def test_a_changed_configuration_against_the_running_one(idle: Playground, tmp_path: Path) -> None:
    team = idle.namespace(selected=True)
    changed = tmp_path / "new.yaml"
    text = idle.installation.configuration_file.read_text()
    changed.write_text(text.replace(f"name: {COPY}", "name: another"))
    ran = of_release(idle, "plan", "-n", team, "--config", str(changed))
    assert ran.code == 1
    assert "Secret/another" in ran.out
    assert f"warning: {COPY}: no sources in pullSecrets and not in retired, so their copies would stay\n" in ran.err


def test_a_source_that_was_never_there_is_two_rows_however_many_namespaces_wait_for_it(ours: Playground) -> None:
    team, _ = ours.namespace(selected=True), ours.namespace(selected=True)
    rows = planned(ours, "-A", code=0)
    release = ours.installation.namespace
    assert [(row["namespace"], *row_) for row, row_ in zip(rows, short(rows), strict=True)] == [
        (release, f"Secret/{SOURCE}", "problem", "source-absent"),
        (release, f"PullSecret/{COPY}", "problem", "source-unavailable"),
    ]
    assert rows[1]["why"].startswith(
        "2 copies are missing and 2 ServiceAccounts lack the reference: its sources cannot be"
    )
    assert (f"Secret/{COPY}", "problem", "source-unavailable") in short(planned(ours, "-n", team, code=0))


def test_rights_that_are_missing_are_named_and_the_rest_is_told(idle: Playground, cluster: Cluster) -> None:
    team = idle.namespace(selected=True)
    user = f"viewer-{team}"
    rules = [{"apiGroups": [""], "resources": ["namespaces", "serviceaccounts"], "verbs": ["get", "list"]}]
    role = {"kind": "ClusterRole", "metadata": {"name": user}, "rules": rules}
    binding = {
        "kind": "ClusterRoleBinding",
        "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }
    items = [{"apiVersion": "rbac.authorization.k8s.io/v1", **each} for each in (role, binding)]
    idle.cluster.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    kubeconfig = cluster.kubeconfig_with_client_certificate(user)
    await_right(cluster, user, "list", "namespaces")
    installation = idle.installation
    given = (f"--release-namespace={installation.namespace}", f"--config={installation.configuration_file}")
    ran = of_release(idle, "plan", "-A", "-o", "json", *given, kubeconfig=kubeconfig)

    rows = [row for row in json.loads(ran.out)["rows"] if row["namespace"] == team]
    assert short(rows) == [
        (f"Secret/{COPY}", "undecided", "copy-not-seen"),
        ("ServiceAccount/default", "references", "injected"),
    ]
    told = {line.removeprefix("warning: ").partition("; checks")[0] for line in ran.err.splitlines()[:-1]}
    assert told >= {
        f"you lack the right to get secrets/{SOURCE} in namespace {installation.namespace}",
        f"you lack the right to list secrets named {COPY} across namespaces",
        f"you lack the right to list pods in namespace {team}",
    }


def test_values_of_the_chart_are_planned(idle: Playground, tmp_path: Path) -> None:
    team = idle.namespace(selected=True)
    values = tmp_path / "values.yaml"
    values.write_text(
        f"optIn: {{label: {idle.label}}}\nwebhook: {{replicas: 3}}\n"
        f"pullSecrets: [{{name: another, sources: [{SOURCE}]}}]\nretired: [{COPY}]\n"
    )
    rows = planned(idle, "-n", team, "--values", str(values), code=1)
    assert ("Secret/another", "create", "copy-due") in short(rows)
    ran = of_release(idle, "plan", "-n", team, "--values", str(values), "--config", str(values))
    assert (ran.code, ran.err) == (2, "error: --config and --values are both a configuration: give one of them\n")


def test_what_is_predicted_for_renewing_sources_is_what_then_happens(playground: Maker, tmp_path: Path) -> None:
    ours = playground()
    ours.set_source("first")
    sync = ours.installation.start_sync()
    settled = ours.namespace(selected=True)
    ours.await_selected(settled, "first")
    assert sync.stop() == 0
    fresh = ours.namespace(selected=True)
    plugins = plugin_folder(tmp_path / "plugins")

    def values(lifetime: str) -> dict[str, Any]:
        env = [{"name": "FAKE_DURATION", "value": lifetime}]
        settings = {"name": "fake", "command": NAME, "args": ["answer"], "images": ["ghcr.io"], "env": env}
        sources = [{"secretName": SOURCE}, {"credentialProvider": settings}]
        return {"optIn": {"label": ours.label}, "pullSecrets": [{"name": COPY, "sources": sources}]}

    def copies() -> dict[str, Any]:
        found = {name: ours.get(name, "secrets", COPY) for name in (settled, fresh)}
        return {name: secret and secret["data"] for name, secret in found.items()}

    for turn, chosen in enumerate((values("3600s"), values("7200s"))):
        file = tmp_path / "values.json"
        file.write_text(json.dumps(chosen))
        before = copies()

        rows = planned(ours, "-A", "--values", str(file), code=1)

        ours.installation.set_configuration(**chosen)
        sync = ours.installation.start_sync(f"--providers={plugins}", name=f"renewing-{turn}")
        eventually(copies, lambda seen, before=before: all(seen[name] not in (None, before[name]) for name in seen))  # type: ignore[misc]
        settle(sync)
        issued = f"Secret/{ours.installation.fullname}-issued-fake"
        assert (issued, "none", "credential-due") in short(rows)
        predicted = {row["namespace"]: row["effect"] for row in rows if row["object"] == f"Secret/{COPY}"}
        assert {name: predicted[name] for name in before} == {
            name: "create" if data is None else "update" for name, data in before.items()
        }
        planned(ours, "-A", code=0)
        assert sync.stop() == 0
