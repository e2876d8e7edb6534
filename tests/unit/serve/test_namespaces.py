from __future__ import annotations

from webhook.ops.health import Check
from webhook.rules.objects import Namespace
from webhook.serve.namespaces import NamespaceCache, WatchState


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
