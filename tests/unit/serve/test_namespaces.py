from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from webhook.ops.health import HealthCheck
from webhook.rules.objects import Namespace
from webhook.rules.scope import CacheScope
from webhook.serve.namespaces import ClusterWatches, NamespaceCache, WatchState


def test_what_is_known_follows_the_watch() -> None:
    known = NamespaceCache()
    assert known.get("a") is None
    known.replace([Namespace("a", {"x": "1"}), Namespace("b")])
    assert (known.get("a"), known.get("b")) == (Namespace("a", {"x": "1"}), Namespace("b"))
    known.upsert(Namespace("a", {"x": "2"}, declined=frozenset({"pull"})))
    known.remove(Namespace("b"))
    assert (known.get("a"), known.get("b")) == (Namespace("a", {"x": "2"}, declined=frozenset({"pull"})), None)
    known.replace([Namespace("c")])
    assert known.get("a") is None


def test_a_watch_that_is_down_is_seen_in_the_detail_of_a_check_that_passes() -> None:
    now = [0.0]
    check = HealthCheck("namespaces")
    check.passes()
    state = WatchState(check, lambda: now[0])
    state.synced()
    assert (state.stale_seconds, check.line) == (0, "[+]namespaces ok")
    for _ in range(3):
        state.lost("ApiUnavailable")
        now[0] += 10
    assert (state.stale_seconds, check.problem) == (30, None)
    assert check.line == "[+]namespaces ok: the watch is down, labels are as last known"
    state.opened()
    assert (state.stale_seconds, check.line) == (0, "[+]namespaces ok")


def test_a_check_that_has_not_passed_yet_stays_so_when_the_watch_opens() -> None:
    check = HealthCheck("namespaces")
    state = WatchState(check)
    state.lost("Forbidden")
    state.opened()
    assert check.line == "[-]namespaces failed: starting"


def test_a_watch_that_fails_before_the_first_list_keeps_no_labels(capsys: pytest.CaptureFixture[str]) -> None:
    check = HealthCheck("namespaces")
    state = WatchState(check)
    state.tolerate()
    state.lost("Forbidden")
    assert check.line == "[+]namespaces ok: no namespace is known yet"
    told = capsys.readouterr().out
    assert "no namespace is known yet" in told
    assert "as last known" not in told
    state.synced()
    assert check.line == "[+]namespaces ok: the watch is down, labels are as last known"
    state.opened()
    assert check.line == "[+]namespaces ok"


def test_a_check_that_is_tolerated_passes_before_anything_is_known() -> None:
    check = HealthCheck("namespaces")
    state = WatchState(check)
    state.tolerate()
    assert check.line == "[+]namespaces ok: no namespace is known yet"
    state.synced()
    assert check.line == "[+]namespaces ok"


SCOPE = CacheScope(names=frozenset({"pull", "vendor"}), namespace_labels=frozenset({"team"}))


@pytest.fixture
def watches(kubeconfig: Path) -> Iterator[ClusterWatches]:
    watches = ClusterWatches(kubeconfig)
    yield watches
    watches.stop()


def test_labels_stay_as_last_known_and_say_so_while_the_watch_is_down(
    api: FakeApiServer, watches: ClusterWatches
) -> None:
    known, check = NamespaceCache(), HealthCheck("namespaces")
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
    check = HealthCheck("namespaces")
    state = WatchState(check)
    watches.watch_namespaces(NamespaceCache(), state, SCOPE)
    until(lambda: state.stale_seconds > 0)
    assert check.line == "[-]namespaces failed: starting"
    api.come_back()
    until(lambda: check.line == "[+]namespaces ok")
