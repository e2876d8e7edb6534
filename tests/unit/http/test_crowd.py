"""Who makes room when a port is full."""

from __future__ import annotations

from dataclasses import dataclass, field

from webhook.http.port import Crowd


@dataclass(eq=False)
class Member:
    peer: str
    due: float = 0.0
    idle: bool = True
    kept: int = 0
    evicted: list[bool] = field(default_factory=list)

    def evict(self) -> None:
        self.evicted.append(True)


def join(crowd: Crowd, *members: Member) -> None:
    for member in members:
        assert crowd.admits(member.peer)
        crowd.join(member)


def test_while_there_is_room_nobody_has_to_go() -> None:
    crowd = Crowd(2)
    first, second = Member("a"), Member("a")
    join(crowd, first, second)
    assert (len(crowd), first.evicted, second.evicted) == (2, [], [])


def test_the_oldest_that_never_had_an_accepted_request_makes_room() -> None:
    crowd = Crowd(3)
    known, old, young = Member("a"), Member("a"), Member("a")
    join(crowd, known, old, young)
    crowd.accept(known)
    join(crowd, Member("api server"))
    assert (known.evicted, old.evicted, young.evicted, len(crowd)) == ([], [True], [], 3)


def test_the_address_with_the_most_connections_gives_up_first() -> None:
    crowd = Crowd(4)
    few, many = Member("few"), [Member("many") for _ in range(3)]
    join(crowd, few, *many)
    join(crowd, Member("new"))
    assert few.evicted == []
    assert many[0].evicted == [True]


def test_who_has_more_gives_way_even_where_all_have_had_accepted_requests() -> None:
    crowd = Crowd(4)
    members = [Member("stranger", due=due) for due in (3.0, 1.0, 2.0, 4.0)]
    join(crowd, *members)
    for member in members:
        crowd.accept(member)
    join(crowd, Member("api server"))
    assert [bool(member.evicted) for member in members] == [False, True, False, False]


def test_a_request_in_progress_is_not_given_up() -> None:
    crowd = Crowd(2)
    busy = [Member("stranger", idle=False) for _ in range(2)]
    join(crowd, *busy)
    for member in busy:
        crowd.accept(member)
    assert not crowd.admits("api server")


def test_addresses_with_equal_shares_do_not_displace_each_other() -> None:
    crowd = Crowd(4)
    members = [Member(peer, due=due) for due, peer in enumerate(("a", "a", "b", "b"))]
    join(crowd, *members)
    for member in members:
        crowd.accept(member)
    assert crowd.admits("a")
    assert [bool(member.evicted) for member in members] == [True, False, False, False]


def test_a_crowd_of_strangers_that_renew_their_connections_does_not_keep_a_newcomer_out() -> None:
    crowd = Crowd(100)
    join(crowd, *(Member("stranger") for _ in range(100)))
    api_server = Member("api server")
    join(crowd, api_server)
    for _ in range(1000):
        join(crowd, Member("stranger"))
    assert api_server.evicted == []


def test_a_connection_that_keeps_nothing_never_pays_for_those_that_do() -> None:
    """In its handshake, an API server's new connection is the only one without an accepted request."""
    crowd = Crowd(10)
    hoarders = [Member("a", due=due, kept=100) for due in (2.0, 1.0)]
    api_server = Member("a")
    join(crowd, *hoarders, api_server)
    for member in hoarders:
        crowd.accept(member)

    assert crowd.keeper() is hoarders[1]
    for member in hoarders:
        crowd.leave(member)
    assert crowd.keeper() is None


def test_of_those_that_keep_bytes_the_greediest_address_loses_first_and_there_a_stranger() -> None:
    crowd = Crowd(10)
    api_server = Member("api server", due=0.0, kept=150)
    greedy = [Member("greedy", due=due, kept=100) for due in (1.0, 2.0, 3.0)]
    join(crowd, api_server, *greedy)
    crowd.accept(greedy[0])
    crowd.accept(api_server)

    assert crowd.keeper() is greedy[1]
    crowd.accept(greedy[1])
    crowd.accept(greedy[2])
    assert crowd.keeper() is greedy[0]


def test_who_has_gone_is_forgotten() -> None:
    crowd = Crowd(1)
    member = Member("a")
    join(crowd, member)
    crowd.leave(member)
    crowd.leave(member)
    crowd.accept(member)
    assert len(crowd) == 0
    join(crowd, Member("b"))
    assert member.evicted == []
