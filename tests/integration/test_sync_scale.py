"""What the loop asks of the API server for many namespaces, by the API server's own audit log: nothing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.bench.requests import Requests
from tests.cluster.cluster import Cluster
from tests.integration.site.playground import COPY, Playground, eventually
from webhook.kube.listing import FIRST_PAGE_LIMIT

NAMESPACES = 40
WORKERS = 16
ONCE = {"get /version", "get configmaps", "get leases", "apply leases", "patch leases"}
"""Requests whose number does not depend on the number of namespaces: for the version, the ConfigMap and the Lease."""

WATCHES = {"watch namespaces": 1, "watch secrets": 2, "watch serviceaccounts": 1}
"""Two of Secrets: those of the copy's name, and the source."""


@pytest.fixture
def installed(cluster: Cluster) -> Iterator[Playground]:
    """An installation of its own for each test, without processes, and with a source."""
    with Playground.make(cluster) as playground:
        playground.set_source("first")
        yield playground


@pytest.fixture
def namespaces(installed: Playground) -> list[str]:
    """Selected namespaces that have nothing yet."""
    return [installed.namespace(selected=True) for _ in range(NAMESPACES)]


class Counted:
    """The requests of sync, counted from one call of :meth:`since` to the next."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def since(self, **least: int) -> dict[str, int]:
        """Return the requests since the last call, when there are at least so many of some kinds.

        The API server logs a request after its response, so what it has stored may not be in the log yet.
        """
        counted: Counter[str] = Counter()

        def look() -> Counter[str]:
            counted.update(self._requests.since())
            return counted

        eventually(look, lambda seen: all(seen[kind.replace("_", " ")] >= number for kind, number in least.items()))
        return dict(counted)


@pytest.fixture
def requests(installed: Playground) -> Counted:
    """What sync asks from now on."""
    installation = installed.installation
    user = f"system:serviceaccount:{installation.namespace}:{installation.fullname}-sync"
    return Counted(Requests(installed.cluster.audit_log, user))


def without_once(counted: dict[str, int]) -> dict[str, int]:
    return {key: number for key, number in counted.items() if key not in ONCE}


def without_watches(counted: dict[str, int], playground: Playground) -> dict[str, int]:
    """Leave out the watches, each once. What a process had before it led, it opens again; namespaces it lists again."""
    everything = playground.cluster.api.call("GET", "/api/v1/namespaces")["items"]  # other tests have some, too
    assert counted.get("list namespaces", 0) <= 1 + len(everything) // FIRST_PAGE_LIMIT
    for watch, number in WATCHES.items():
        assert number <= counted[watch] <= 2 * number
    return {key: number for key, number in counted.items() if key not in {*WATCHES, "list namespaces"}}


def complete(playground: Playground, namespaces: list[str], password: str) -> None:
    for namespace in namespaces:
        playground.await_selected(namespace, password)


def test_each_namespace_costs_one_apply_and_few_patches_and_each_kind_of_object_one_watch(
    installed: Playground, namespaces: list[str], requests: Counted
) -> None:
    sync = installed.installation.start_sync("--tls-secret=", "--state-secret=", f"--workers={WORKERS}")
    complete(installed, namespaces, "first")
    eventually(lambda: all(installed.hands_nothing_back(namespace) for namespace in namespaces))
    all_of_them = requests.since(apply_secrets=NAMESPACES, patch_serviceaccounts=2 * NAMESPACES)
    counted = without_watches(without_once(all_of_them), installed)
    assert sync.stop() == 0
    # No webhook answers here. So a reference is added directly, and its ownership handed back by a second patch. At the
    # beginning each worker may have tried whether the webhook adds it.
    patches = counted.pop("patch serviceaccounts")
    assert 2 * NAMESPACES <= patches <= 2 * NAMESPACES + WORKERS

    assert counted == {
        "apply secrets": NAMESPACES,
        "get secrets": 1,  # the source, before the first write of a leader
    }


def settle(playground: Playground, namespaces: list[str]) -> None:
    """Let sync do all that there is to do, and end it."""
    sync = playground.installation.start_sync("--tls-secret=", "--state-secret=", f"--workers={WORKERS}")
    complete(playground, namespaces, "first")
    eventually(lambda: all(playground.hands_nothing_back(namespace) for namespace in namespaces))
    assert sync.stop() == 0


def test_a_start_where_all_is_well_writes_nothing_and_a_rotation_only_the_copies(
    installed: Playground, namespaces: list[str], requests: Counted
) -> None:
    settle(installed, namespaces)
    requests.since(apply_secrets=NAMESPACES, patch_serviceaccounts=2 * NAMESPACES)
    sync = installed.installation.start_sync("--tls-secret=", "--state-secret=", f"--workers={WORKERS}")
    sync.wait_ready()
    eventually(
        sync.metrics, lambda text: 'workqueue_depth{name="namespaces"} 0.0' in text and "pull_secret_ready" in text
    )
    for namespace in namespaces:
        body = {"metadata": {"labels": {"example.com/stirred": "now"}}}
        installed.cluster.api.call("PATCH", f"/api/v1/namespaces/{namespace}", body, "application/merge-patch+json")
    # What is done after all of them shows that they have been seen.
    last = installed.namespace(selected=True)
    installed.await_selected(last, "first")
    eventually(lambda: installed.hands_nothing_back(last))
    counted = without_watches(without_once(requests.since(apply_secrets=1, patch_serviceaccounts=2)), installed)
    assert counted.pop("patch serviceaccounts") <= 3  # a try, the addition, the ownership
    assert counted == {
        "apply secrets": 1,
        "get secrets": 1,
    }

    installed.set_source("second")
    complete(installed, [*namespaces, last], "second")
    found = without_once(requests.since(apply_secrets=NAMESPACES + 1))
    writes = {key: number for key, number in found.items() if not key.startswith("watch ")}
    assert writes == {"apply secrets": NAMESPACES + 1}
    assert sync.stop() == 0
    assert COPY in (installed.references(last) or [])
