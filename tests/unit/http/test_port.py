"""The connections that make room when a port is full."""

from __future__ import annotations

from dataclasses import dataclass, field

from webhook.http.port import ConnectionTable, FairScheduler


@dataclass(eq=False)
class Member:
    peer: str
    due: float = 0.0
    idle: bool = True
    buffered: int = 0
    evicted: list[bool] = field(default_factory=list)

    def evict(self) -> None:
        self.evicted.append(True)


def join(table: ConnectionTable, *members: Member) -> None:
    for member in members:
        assert table.admits(member.peer)
        table.join(member)


def test_while_there_is_room_nobody_has_to_go() -> None:
    table = ConnectionTable(2)
    first, second = Member("a"), Member("a")
    join(table, first, second)
    assert (len(table), first.evicted, second.evicted) == (2, [], [])


def test_the_oldest_that_never_had_an_accepted_request_makes_room() -> None:
    table = ConnectionTable(3)
    known, old, young = Member("a"), Member("a"), Member("a")
    join(table, known, old, young)
    table.accept(known)
    join(table, Member("api server"))
    assert (known.evicted, old.evicted, young.evicted, len(table)) == ([], [True], [], 3)


def test_the_address_with_the_most_connections_gives_up_first() -> None:
    table = ConnectionTable(4)
    few, many = Member("few"), [Member("many") for _ in range(3)]
    join(table, few, *many)
    join(table, Member("new"))
    assert few.evicted == []
    assert many[0].evicted == [True]


def test_who_has_more_gives_way_even_where_all_have_had_accepted_requests() -> None:
    table = ConnectionTable(4)
    members = [Member("stranger", due=due) for due in (3.0, 1.0, 2.0, 4.0)]
    join(table, *members)
    for member in members:
        table.accept(member)
    join(table, Member("api server"))
    assert [bool(member.evicted) for member in members] == [False, True, False, False]


def test_a_request_in_progress_is_not_given_up() -> None:
    table = ConnectionTable(2)
    busy = [Member("stranger", idle=False) for _ in range(2)]
    join(table, *busy)
    for member in busy:
        table.accept(member)
    assert not table.admits("api server")


def test_addresses_with_equal_shares_do_not_displace_each_other() -> None:
    table = ConnectionTable(4)
    members = [Member(peer, due=due) for due, peer in enumerate(("a", "a", "b", "b"))]
    join(table, *members)
    for member in members:
        table.accept(member)
    assert table.admits("a")
    assert [bool(member.evicted) for member in members] == [True, False, False, False]


def test_a_crowd_of_strangers_that_renew_their_connections_does_not_keep_a_newcomer_out() -> None:
    table = ConnectionTable(100)
    join(table, *(Member("stranger") for _ in range(100)))
    api_server = Member("api server")
    join(table, api_server)
    for _ in range(1000):
        join(table, Member("stranger"))
    assert api_server.evicted == []


def test_a_connection_that_keeps_nothing_never_pays_for_those_that_do() -> None:
    """In its handshake, an API server's new connection is the only one without an accepted request."""
    table = ConnectionTable(10)
    hoarders = [Member("a", due=due, buffered=100) for due in (2.0, 1.0)]
    api_server = Member("a")
    join(table, *hoarders, api_server)
    for member in hoarders:
        table.accept(member)

    assert table.largest_buffer_owner() is hoarders[1]
    for member in hoarders:
        table.leave(member)
    assert table.largest_buffer_owner() is None


def test_of_those_that_keep_bytes_the_greediest_address_loses_first_and_there_a_stranger() -> None:
    table = ConnectionTable(10)
    api_server = Member("api server", due=0.0, buffered=150)
    greedy = [Member("greedy", due=due, buffered=100) for due in (1.0, 2.0, 3.0)]
    join(table, api_server, *greedy)
    table.accept(greedy[0])
    table.accept(api_server)

    assert table.largest_buffer_owner() is greedy[1]
    table.accept(greedy[1])
    table.accept(greedy[2])
    assert table.largest_buffer_owner() is greedy[0]


def test_who_has_gone_is_forgotten() -> None:
    table = ConnectionTable(1)
    member = Member("a")
    join(table, member)
    table.leave(member)
    table.leave(member)
    table.accept(member)
    assert len(table) == 0
    join(table, Member("b"))
    assert member.evicted == []


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
