from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from webhook.ops.health import Check
from webhook.rules.objects import Namespace
from webhook.rules.scope import CacheScope
from webhook.serve.namespaces import ClusterWatches, NamespaceCache, WatchState

SCOPE = CacheScope(names=frozenset({"pull", "vendor"}), namespace_labels=frozenset({"team"}))


@pytest.fixture
def watches(kubeconfig: Path) -> Iterator[ClusterWatches]:
    watches = ClusterWatches(kubeconfig)
    yield watches
    watches.stop()


def test_labels_stay_as_last_known_and_say_so_while_the_watch_is_down(
    api: FakeApiServer, watches: ClusterWatches
) -> None:
    known, check = NamespaceCache(), Check("namespaces")
    state = WatchState(check)
    declining = {"annotations": {"pullsecrets.webhook/decline": "pull, vendor"}}
    api.put("/api/v1/namespaces/a", {"metadata": {"labels": {"team": "a"}, **declining}})
    watches.watch_namespaces(known, state, SCOPE)
    until(lambda: check.line == "[+]namespaces ok")

    api.go_away()
    until(lambda: state.stale_seconds > 0)
    assert check.line == "[+]namespaces ok: the watch is down, labels are as last known"
    found = known.get("a")
    assert found == Namespace(
        "a", {"team": "a"}, declined=frozenset({"pull", "vendor"}), uid=found.uid if found else ""
    )

    api.come_back()
    until(lambda: state.stale_seconds == 0)
    assert check.line == "[+]namespaces ok"
    api.put("/api/v1/namespaces/b", {"metadata": {"labels": {"team": "b"}}})
    until(lambda: known.get("b"))


def test_not_ready_before_all_namespaces_are_known(api: FakeApiServer, watches: ClusterWatches) -> None:
    api.go_away()
    check = Check("namespaces")
    state = WatchState(check)
    watches.watch_namespaces(NamespaceCache(), state, SCOPE)
    until(lambda: state.stale_seconds > 0)
    assert check.line == "[-]namespaces failed: starting"
    api.come_back()
    until(lambda: check.line == "[+]namespaces ok")
