from __future__ import annotations

from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from tests.unit.sync.running import Running
from tests.unit.sync.world import CONFIGURATION
from webhook.kube.client import Client
from webhook.sync.planner import PlannedNamespace, Planner


def test_a_plan_has_no_effect(opted_in: FakeApiServer, client: Client) -> None:
    standby = Running(client)
    standby.start(leading=False)
    planner = Planner(standby.loop.caches)

    def plan() -> PlannedNamespace | None:
        return planner.plan("a", CONFIGURATION, {"pull": "sha256:first"})

    until(lambda: (planned := plan()) is not None and planned.plan.additions)
    first = plan()
    assert first is not None
    assert [action.name for action in first.plan.copies] == ["pull"]
    assert [standing.secret for standing in first.copies] == ["pull"]
    assert plan() == first
    assert standby.loop.status_index.namespaces() == set()
    assert opted_in.seen("apply", "patch", "delete") == []
    standby.stop()
