from __future__ import annotations

from webhook.http.port import FairScheduler


class Started:
    """Remembers what was started; of one of them, nobody waits for the answer."""

    def __init__(self, forgotten: object = None) -> None:
        self.all: list[object] = []
        self._forgotten = forgotten

    def start(self, what: object) -> bool:
        self.all.append(what)
        return what != self._forgotten


def test_addresses_take_turns_whoever_came_first() -> None:
    scheduler, started = FairScheduler(1), Started()
    for peer in ("stranger", "stranger", "stranger", "kubelet", "stranger", "prometheus"):
        scheduler.submit(peer, lambda peer=peer: started.start(peer))  # type: ignore[misc]
    assert started.all == ["stranger"]
    for _ in range(5):
        scheduler.finish_one()
    assert started.all == ["stranger", "stranger", "kubelet", "prometheus", "stranger", "stranger"]


def test_no_more_than_the_limit_are_at_it_and_none_that_nobody_waits_for() -> None:
    scheduler, started = FairScheduler(2), Started(forgotten=1)
    for number in range(5):
        scheduler.submit("a", lambda number=number: started.start(number))  # type: ignore[misc]
    assert started.all == [0, 1, 2]
    scheduler.finish_one()
    assert started.all == [0, 1, 2, 3]
