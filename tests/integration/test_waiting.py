"""A right, a source, a Lease or a configuration that is missing is named in the readiness report and in the log."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from tests.cluster.processes import PullSecrets
from tests.exposition import series
from tests.integration.site.playground import COPY, NO_READERS, SOURCE, Playground, detail, eventually
from webhook.ops.waiting import REMIND_SECONDS

Maker = Callable[..., Playground]

RETRIES = 5


@pytest.fixture
def ours(playground: Maker) -> Playground:
    """An installation without the rights of all users, so that a right that is taken away is gone."""
    return playground(**NO_READERS)


def logged(process: PullSecrets, message: str) -> list[dict[str, Any]]:
    """Return the lines of the log with this message."""
    lines = (json.loads(line) for line in process.program.output.splitlines() if line.startswith("{"))
    return [line for line in lines if line["event"] == message]


def waits(process: PullSecrets, kind: str, item: str = "") -> list[dict[str, Any]]:
    """Return the lines of the log about waiting for something of this kind; others may be about a slow start."""
    return [line for line in logged(process, "waiting") if kind in line and item in line[kind]]


def needlessly_repeated(process: PullSecrets) -> list[dict[str, Any]]:
    """Return the lines about waiting that say the same as the line before them, earlier than a reminder may.

    On a slow machine there are more lines, about other items; each of them names all that is awaited.
    """
    found = []
    for before, line in itertools.pairwise(logged(process, "waiting")):
        said = [{key: value for key, value in each.items() if key != "timestamp"} for each in (before, line)]
        passed = datetime.fromisoformat(line["timestamp"]) - datetime.fromisoformat(before["timestamp"])
        if said[0] == said[1] and passed.total_seconds() < REMIND_SECONDS - 1:
            found.append(line)
    return found


@dataclass(frozen=True)
class Rule:
    """Verbs on a resource in the ClusterRole of a component, or with ``namespace`` and ``name`` in its Role."""

    component: str
    resource: str
    verbs: tuple[str, ...]
    group: str = ""
    namespace: str = ""
    name: str = ""

    def path(self, ours: Playground) -> str:
        where = f"namespaces/{self.namespace}/roles" if self.namespace else "clusterroles"
        return f"/apis/rbac.authorization.k8s.io/v1/{where}/{ours.installation.fullname}-{self.component}"

    def without(self, rule: dict[str, Any]) -> dict[str, Any]:
        kept = [verb for verb in rule["verbs"] if self.resource not in rule["resources"] or verb not in self.verbs]
        return {**rule, "verbs": kept}

    def is_allowed(self, ours: Playground) -> bool:
        """Ask the API server whether the component has the first of these rights now."""
        user = f"system:serviceaccount:{ours.installation.namespace}:{ours.installation.fullname}-{self.component}"
        where = {"group": self.group, "namespace": self.namespace, "name": self.name}
        return ours.cluster.may(user, self.verbs[0], self.resource, **where)


@contextlib.contextmanager
def taken(ours: Playground, right: Rule) -> Iterator[None]:
    """Take a right out of its role, and wait until it is gone; give it back at the end.

    It has to be there first: one that the API server does not know of yet is missing too, and then comes for a moment.
    """
    eventually(lambda: right.is_allowed(ours))
    before = ours.cluster.api.call("GET", right.path(ours))["rules"]
    rules = [rule for rule in map(right.without, before) if rule["verbs"]]
    ours.cluster.api.json_patch(right.path(ours), [{"op": "replace", "path": "/rules", "value": rules}])
    eventually(lambda: not right.is_allowed(ours))
    try:
        yield
    finally:
        ours.cluster.api.json_patch(right.path(ours), [{"op": "replace", "path": "/rules", "value": before}])


NAMESPACES = Rule("sync", "namespaces", ("list", "watch"))


def forbidden_watches(process: PullSecrets, resource: str) -> float:
    name = f'pullsecrets_sync_watch_restarts_total{{cause="Forbidden",resource="{resource}"}}'
    return series(process.metrics()).get(name, 0)


def test_sync_names_a_right_that_it_lacks_once_and_goes_on_when_it_is_granted(ours: Playground) -> None:
    ours.set_source("first")
    with taken(ours, NAMESPACES):
        sync = ours.installation.start_sync("--log-format=json")
        eventually(lambda: detail(sync, "rights"), lambda line: "watch namespaces" in line)
        expected = "[-]caches failed: not read yet: namespaces"
        eventually(lambda: detail(sync, "caches"), lambda line: line == expected)
        eventually(lambda: forbidden_watches(sync, "namespaces"), lambda count: count >= RETRIES)
        lines = eventually(lambda: waits(sync, "rights", "watch namespaces"))
        assert all("namespaces" in line["lists"] for line in lines)
        assert needlessly_repeated(sync) == []
        assert logged(sync, "watch interrupted") == []
    sync.wait_ready()
    eventually(lambda: detail(sync, "rights"), lambda line: line == "[+]rights ok")
    ours.await_selected(ours.namespace(selected=True), "first")
    eventually(lambda: logged(sync, "waiting is over"))


def test_sync_without_the_right_to_its_config_map_says_so_and_goes_on_with_the_file(ours: Playground) -> None:
    ours.set_source("first")
    own, name = ours.installation.namespace, ours.installation.fullname
    with taken(ours, Rule("sync", "configmaps", ("get",), namespace=own, name=name)):
        sync = ours.installation.start_sync("--log-format=json")
        expected = f'[+]rights ok: the right to get configmaps "{name}" in {own}'
        eventually(lambda: detail(sync, "rights"), lambda line: line == expected)
        ours.await_selected(ours.namespace(selected=True), "first")
        assert len(logged(sync, "configuration not compared")) == 1


def test_sync_names_a_right_that_it_loses_later(ours: Playground) -> None:
    sync = ours.start_sync("first", "--log-format=json")
    before = ours.namespace(selected=True)
    ours.await_selected(before, "first")
    eventually(lambda: ours.hands_nothing_back(before))  # else it lacks the right there, too
    with taken(ours, Rule("sync", "serviceaccounts", ("patch",))):
        namespace = ours.namespace(selected=True)
        expected = f'the right to patch serviceaccounts "default" in {namespace}'
        eventually(lambda: detail(sync, "rights"), lambda line: line == f"[+]rights ok: {expected}")
        assert eventually(lambda: waits(sync, "rights", "serviceaccounts"))[-1]["rights"] == expected
        assert sync.ready
    ours.await_selected(namespace, "first")
    eventually(lambda: detail(sync, "rights"), lambda line: line == "[+]rights ok")


def test_sync_names_a_source_that_does_not_exist(ours: Playground) -> None:
    sync = ours.installation.start_sync("--log-format=json")
    sync.wait_ready()
    expected = f"Secret {ours.installation.namespace}/{SOURCE}"
    eventually(lambda: detail(sync, "sources"), lambda line: line == f"[+]sources ok: {expected}")
    lines = eventually(lambda: waits(sync, "sources"))
    assert {line["sources"] for line in lines} == {expected}
    ours.set_source("first")
    eventually(lambda: detail(sync, "sources"), lambda line: line == "[+]sources ok")


def test_sync_names_a_lease_that_it_cannot_hold(ours: Playground) -> None:
    ours.set_source("first")
    namespace, name = ours.installation.namespace, ours.installation.lease
    lease = f"{namespace}/{name}"
    with taken(ours, Rule("sync", "leases", ("get", "create", "patch"), "coordination.k8s.io", namespace, name)):
        sync = ours.installation.start_sync("--log-format=json")
        eventually(lambda: detail(sync, "lease"), lambda line: f"Lease {lease} that can be read and written" in line)
        right = f'the right to get leases "{name}" in {namespace}'
        assert right in eventually(lambda: detail(sync, "rights"), lambda line: "leases" in line)
        eventually(lambda: waits(sync, "rights", right))
        assert logged(sync, "lease not renewed") == []
    ours.await_selected(ours.namespace(selected=True), "first")
    eventually(lambda: detail(sync, "lease"), lambda line: line == "[+]lease ok")


def test_serve_names_the_right_without_which_it_knows_no_namespace(playground: Maker) -> None:
    selector = {"matchLabels": {"team": "a"}}
    ours = playground(
        pullSecrets=[{"name": COPY, "sources": [{"secretName": SOURCE}], "namespaceSelector": selector}],
    )
    ours.start_sync("first")
    with taken(ours, replace(NAMESPACES, component="webhook")):
        serve = ours.installation.start_serve("--log-format=json")
        eventually(lambda: detail(serve, "rights"), lambda line: "watch namespaces" in line)
        assert detail(serve, "namespaces") == "[-]namespaces failed: waiting for the list of namespaces"
        lines = eventually(lambda: waits(serve, "rights", "watch namespaces"))
        assert needlessly_repeated(serve) == []
        assert all(line["namespaces"] == "the list of namespaces" for line in lines)
        assert logged(serve, "watch interrupted") == []
    serve.wait_ready()
    eventually(lambda: detail(serve, "rights"), lambda line: line == "[+]rights ok")


def test_both_roles_name_a_configuration_file_that_is_gone(ours: Playground) -> None:
    ours.set_source("first")
    installation = ours.installation
    document = {installation.configuration_file.name: installation.configuration_file.read_text()}
    processes = [start("--log-format=json") for start in (installation.start_sync, installation.start_serve)]
    for process in processes:
        process.wait_ready()
    expected = f"a valid configuration: the configuration file {installation.configuration_file} cannot be read"
    installation.configuration.publish({})
    for process in processes:
        eventually(partial(detail, process, "configuration"), lambda line: f"[+]configuration ok: {expected}" in line)
        eventually(partial(waits, process, "configuration", expected))
    installation.configuration.publish(document)
    for process in processes:
        eventually(partial(detail, process, "configuration"), lambda line: line == "[+]configuration ok")
