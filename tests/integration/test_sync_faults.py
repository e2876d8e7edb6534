"""A network between sync and the API server that is not what it should be, and a loop that gets over it.

Each fault lasts for some seconds, in which everything happens that the loop has to put right; 5 s after its end all
must be right. ``FAULT_SECONDS=60`` makes the long run of it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.cluster.cluster import Cluster
from tests.integration.faults.faultlink import Answer, Request
from tests.integration.faults.remote import Remote, remote_sync
from tests.integration.site.estate import CONVERGED_SECONDS, Estate, new_password
from tests.integration.site.playground import COPY, SOURCE, Playground, eventually
from webhook.rules.state_document import decode_document

FAULT_SECONDS = float(os.environ.get("FAULT_SECONDS", "12"))
"""By default more than the 10 s after which a leader that cannot renew its Lease gives up."""

SHORT_FAULT_SECONDS = FAULT_SECONDS / 3
"""For what fails at once, so that every backoff but that of a single namespace has reached its cap by then."""

QUIET_PER_SECOND = 3.0
"""Requests while nobody answers: one question a second, and what was on its way."""

TRYING_PER_SECOND = 10.0
"""Requests while something answers: each of ten watches every 1 to 2 s, the lease, and the work that gets through."""

REPEATING_PER_SECOND = 6.0
"""Requests beyond those that the same work takes without a fault, while some answers arrive and others are cut.

Watches are judged one by one: what other tests do in this cluster travels over them as well, until they are cut.
"""

FIRST_REOPENINGS = 4
"""A watch that breaks is opened again after 0.1, 0.2, 0.4 and 0.8 s at the earliest, and then once a second."""

WORKING_PER_SECOND = 20.0
"""Requests where the fault is over within the block: all that there was to do, and every watch opened once."""

HTML = b"<html><body>It does not work!</body></html>"


@pytest.fixture(scope="module")
def site(cluster: Cluster) -> Iterator[Playground]:
    with Playground.make(cluster) as playground:
        playground.set_source("first")
        yield playground


@pytest.fixture(scope="module")
def remote(site: Playground) -> Iterator[Remote]:
    with remote_sync(site, "sync") as remote:
        yield remote


class Struck:
    """Namespaces that a fault is about, and the requests of the process while it lasts."""

    def __init__(self, estate: Estate, remote: Remote) -> None:
        self._estate = estate
        self._remote = remote
        self._begun = time.monotonic()
        self._before = remote.attempts()
        self._attempts, self._ended = self._before, self._begun

    def happen(self, seconds: float = FAULT_SECONDS) -> None:
        """Let everything happen, and so many seconds go by; what was asked until then is the load of the fault.

        It is counted while the fault lasts: as soon as it is over, the process does all that there is to do.
        """
        happen(self._estate, seconds)
        self._attempts, self._ended = self._remote.attempts(), time.monotonic()

    def load(self, work: float, apart: Callable[[Request], bool]) -> float:
        """Return how many requests a second it made, without ``work`` in all, and without those that are ``apart``."""
        proxy, begun, ended = self._remote.proxy, self._begun, self._ended
        seconds = ended - begun
        assert seconds > 0, "nothing has happened"
        load = max((self._attempts - self._before) / seconds, proxy.load(begun, ended))
        load -= (work + sum(apart(request) and request.at < ended for request in proxy.since(begun))) / seconds
        print(f"{load:.1f} requests a second during {seconds:.1f} s of the fault")
        return load


@contextmanager
def got_over(
    site: Playground,
    remote: Remote,
    per_second: float,
    work: float = 0.0,
    apart: Callable[[Request], bool] = lambda _: False,
) -> Iterator[Struck]:
    """Let a fault come and go within the block; then all must be right in time, and the process have kept calm.

    ``work`` requests are made in any case, and do not count. The caller judges those that are ``apart``.
    """
    with Estate(site) as estate:
        struck = Struck(estate, remote)
        yield struck
        ended = time.monotonic()
        load = struck.load(work, apart)
        seconds = estate.await_right(ended, CONVERGED_SECONDS)
        print(f"right {seconds:.2f} s after its end")
    assert remote.alive
    assert load <= per_second


def happen(estate: Estate, seconds: float) -> None:
    """Let everything happen, and so many seconds go by."""
    begun = time.monotonic()
    estate.disturb(new_password())
    time.sleep(max(0.0, begun + seconds - time.monotonic()))


def requests_without_a_fault(site: Playground, remote: Remote) -> float:
    """Return how many requests the same work takes; by chance several changes are seen together, or one by one."""
    with Estate(site) as estate:
        before = remote.attempts()
        happen(estate, 0.0)
        estate.await_right()
        return remote.attempts() - before


def renews_the_lease(request: Request) -> bool:
    return request.writes and "/leases/" in request.target


def opens_a_watch(request: Request) -> bool:
    return "watch=true" in request.target


def test_nobody_listens(site: Playground, remote: Remote) -> None:
    with got_over(site, remote, QUIET_PER_SECOND) as struck, remote.proxy.refusing():
        struck.happen()


def test_connections_are_half_open_and_stay_dead(site: Playground, remote: Remote) -> None:
    with got_over(site, remote, QUIET_PER_SECOND) as struck, remote.proxy.silent():
        struck.happen()


def test_connections_are_half_open_and_go_on_afterwards(site: Playground, remote: Remote) -> None:
    with got_over(site, remote, QUIET_PER_SECOND) as struck, remote.proxy.silent(resumes=True):
        struck.happen(FAULT_SECONDS / 2)


def test_what_was_established_dies_in_silence_and_what_is_new_works(site: Playground, remote: Remote) -> None:
    """As when an address moves to another machine, which knows nothing of the connections to it.

    No process is told, so the fault lasts until it is found out: by a renewal of the Lease, every 2 s, that is not
    answered for 2.5 s. After the fault before this one, the connection for that may not be there yet.
    """
    eventually(lambda: remote.proxy.carries(renews_the_lease))
    with got_over(site, remote, WORKING_PER_SECOND) as struck, remote.proxy.silent(new=False):
        struck.happen(seconds=5.0)


def test_a_short_silence_is_got_over_as_well(site: Playground, remote: Remote) -> None:
    with got_over(site, remote, TRYING_PER_SECOND) as struck, remote.proxy.silent():
        struck.happen(seconds=2.0)


def test_answers_are_slow(site: Playground, remote: Remote) -> None:
    with got_over(site, remote, TRYING_PER_SECOND) as struck, remote.proxy.slow(1.5):
        struck.happen(SHORT_FAULT_SECONDS)


def test_connections_break_in_the_middle_of_an_answer(site: Playground, remote: Remote) -> None:
    work = max(requests_without_a_fault(site, remote) for _ in range(3))
    calm = got_over(site, remote, REPEATING_PER_SECOND, work, apart=opens_a_watch)
    with calm as struck, remote.proxy.cutting(after=3000):
        begun = time.monotonic()
        struck.happen(SHORT_FAULT_SECONDS)
        requests, seconds = remote.proxy.since(begun), time.monotonic() - begun
    opened = Counter(request.target.partition("?")[0] for request in requests if opens_a_watch(request))
    assert max(opened.values()) <= FIRST_REOPENINGS + seconds, opened


@pytest.mark.parametrize(
    ("answer", "per_second"),
    [
        pytest.param(Answer(429, b"{}", headers=(("Retry-After", "1"),)), QUIET_PER_SECOND, id="429"),
        pytest.param(Answer(500, HTML, "text/html"), QUIET_PER_SECOND, id="500-html"),
        pytest.param(Answer(503), QUIET_PER_SECOND, id="503-empty"),
        # Something that is no API server at all, as the page that asks for a login.
        pytest.param(Answer(200, HTML, "text/html"), TRYING_PER_SECOND, id="200-html"),
    ],
)
def test_everything_gets_the_same_answer(site: Playground, remote: Remote, answer: Answer, per_second: float) -> None:
    with got_over(site, remote, per_second) as struck, remote.proxy.answering(answer):
        remote.proxy.reset()
        struck.happen(SHORT_FAULT_SECONDS)


def writes_of_secrets(request: Request) -> bool:
    return request.writes and "/secrets/" in request.target


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(429, b"{}", headers=(("Retry-After", "1"),)), id="429"),
        pytest.param(Answer(503, HTML, "text/html"), id="503-html"),
    ],
)
def test_only_writes_fail(site: Playground, remote: Remote, answer: Answer) -> None:
    with (
        got_over(site, remote, TRYING_PER_SECOND) as struck,
        remote.proxy.answering(answer, writes_of_secrets),
    ):
        struck.happen(SHORT_FAULT_SECONDS)


# Without a fault: what others do to what is ours.


def test_what_others_do_is_put_right(site: Playground, remote: Remote) -> None:
    with Estate(site) as estate:
        for _ in range(3):
            estate.disturb(new_password())
            estate.await_right(time.monotonic(), CONVERGED_SECONDS)
    assert remote.alive


def is_stored(site: Playground, password: str) -> bool:
    """Return whether the last good content that is stored has this password."""
    secret = site.get(site.installation.namespace, "secrets", site.installation.state_secret)
    found = decode_document((secret or {}).get("data") or {}).last_good.get(COPY)
    return found is not None and password.encode() in found.payload


def test_a_source_that_is_deleted_touches_no_copy_and_the_next_credential_reaches_all(
    site: Playground, remote: Remote
) -> None:
    with Estate(site) as estate:
        eventually(lambda: is_stored(site, estate.password))  # that is a write of its own, after those of the copies
        before = estate.versions()
        deleted = time.monotonic()
        site.delete(site.installation.namespace, "secrets", SOURCE)
        eventually(lambda: f'pullsecrets_sync_source_valid{{source="{SOURCE}"}} 0.0' in remote.process.metrics())
        assert estate.versions() == before
        assert remote.writes(deleted) == []
        estate.rotate(new_password())
        estate.await_right(time.monotonic(), CONVERGED_SECONDS)
        assert estate.versions().keys() == before.keys()


def test_who_opts_out_and_in_again_at_once_is_selected_and_who_opts_out_leaves_nothing(site: Playground) -> None:
    with Estate(site) as estate:
        for _ in range(20):
            estate.flap()
        estate.await_right(time.monotonic(), CONVERGED_SECONDS)
        for _ in range(20):
            estate.flap()
        estate.leave()
        estate.await_right(time.monotonic(), CONVERGED_SECONDS)
