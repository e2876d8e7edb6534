from __future__ import annotations

from webhook.admission.namespaces import NamespaceLabels, WatchState
from webhook.core.selection import Namespace
from webhook.observe.health import Check


def test_labels_follow_the_watch() -> None:
    labels = NamespaceLabels()
    assert labels.labels_of("a") is None
    labels.replace([Namespace("a", {"x": "1"}), Namespace("b")])
    assert (labels.labels_of("a"), labels.labels_of("b")) == ({"x": "1"}, {})
    labels.upsert(Namespace("a", {"x": "2"}))
    labels.remove(Namespace("b"))
    assert (labels.labels_of("a"), labels.labels_of("b")) == ({"x": "2"}, None)
    labels.replace([Namespace("c")])
    assert labels.labels_of("a") is None


def test_a_watch_that_is_down_is_seen_in_the_detail_of_a_check_that_passes() -> None:
    now = [0.0]
    check = Check("namespaces")
    check.passes()
    state = WatchState(check, lambda: now[0])
    assert (state.stale_seconds, check.line) == (0, "[+]namespaces ok")
    for _ in range(3):
        state.lost("ApiUnavailable")
        now[0] += 10
    assert (state.stale_seconds, check.problem) == (30, None)
    assert check.line == "[+]namespaces ok: the watch is down, labels are as last known"
    state.opened()
    assert (state.stale_seconds, check.line) == (0, "[+]namespaces ok")


def test_a_check_that_has_not_passed_yet_stays_so_when_the_watch_opens() -> None:
    check = Check("namespaces")
    state = WatchState(check)
    state.lost("Forbidden")
    state.opened()
    assert check.line == "[-]namespaces failed: starting"


def test_a_check_that_is_tolerated_passes_before_anything_is_known() -> None:
    check = Check("namespaces")
    state = WatchState(check)
    state.tolerate()
    assert check.line == "[+]namespaces ok: no namespace is known yet"
    state.synced()
    assert check.line == "[+]namespaces ok"
