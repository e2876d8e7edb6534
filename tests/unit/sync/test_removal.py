from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.fake_apiserver.faults import Answer
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.sync.world import (
    BY_US,
    CONFIGURATION,
    OURS,
    RELEASE,
    copy_in,
    docker_config,
    put_account,
    put_namespace,
    references_in,
    secret_path,
)
from webhook.kube.client import Client
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE
from webhook.sync.removal import MAX_REFUSED_PASSES, Removal

NAMESPACES = ("a", "b", "c")


class Hook:
    """A removal whose waiting the test sees, and may end."""

    def __init__(self, client: Client) -> None:
        self.waited: list[float] = []
        self.passes_left = 50
        self.meanwhile: Callable[[], None] = lambda: None
        self.removal = Removal(client, RELEASE, CONFIGURATION, lambda: self.passes_left > 0, self._wait)

    def _wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.passes_left -= 1
        self.meanwhile()

    def run(self) -> list[str]:
        return [str(each) for each in self.removal.run()]


@pytest.fixture
def hook(client: Client) -> Hook:
    return Hook(client)


@pytest.fixture(autouse=True)
def installed(api: FakeApiServer) -> None:
    """Three namespaces with a copy, a reference to it and one of their own; the last has opted out in a hurry."""
    put_namespace(api, RELEASE.namespace, "")
    for name in NAMESPACES:
        put_namespace(api, name, "enabled" if name != "c" else "")
        put_account(api, name, "mine", "pull")
        put_copy(api, name)


def put_copy(api: FakeApiServer, namespace: str, **metadata: object) -> None:
    body = {"type": COPY_TYPE, "data": {COPY_KEY: docker_config("x")}, "metadata": {"labels": OURS, **metadata}}
    api.put(secret_path(namespace), body, **BY_US)


def clean(api: FakeApiServer) -> list[str]:
    return [name for name in NAMESPACES if copy_in(api, name) is None and references_in(api, name) == ["mine"]]


def test_nothing_of_ours_is_left_and_all_else_is(api: FakeApiServer, hook: Hook) -> None:
    api.put(secret_path("a", "theirs"), {"type": COPY_TYPE, "data": {}})

    assert hook.run() == []

    assert clean(api) == list(NAMESPACES)
    assert api.read(secret_path("a", "theirs")) is not None
    assert hook.removal.done == {"references removed": 3, "copy deleted": 3}


def test_references_go_before_the_copy_they_name(api: FakeApiServer, hook: Hook) -> None:
    hook.run()
    for name in NAMESPACES:
        verbs = [each.verb for each in api.seen("patch", "delete") if each.target.namespace == name]
        assert verbs == ["patch", "delete"]


def test_a_second_run_finds_nothing_to_write(api: FakeApiServer, client: Client, hook: Hook) -> None:
    hook.run()
    api.requests.clear()
    assert Hook(client).run() == []
    assert api.seen("patch", "delete", "apply", "create") == []


def test_a_foreign_secret_and_its_reference_stay(api: FakeApiServer, hook: Hook) -> None:
    put_copy(api, "a", labels=dict.fromkeys(OURS))

    assert hook.run() == []

    assert references_in(api, "a") == ["mine", "pull"]
    assert copy_in(api, "a") is not None


def test_conflicts_are_tried_again(api: FakeApiServer, hook: Hook) -> None:
    api.inject(Answer(409), "patch")
    api.inject(Answer(409), "delete")
    assert hook.run() == []
    assert clean(api) == list(NAMESPACES)


def test_an_outage_is_waited_for(api: FakeApiServer, hook: Hook) -> None:
    api.inject(Answer(503, retry_after="1"), "list", times=6)
    assert hook.run() == []
    assert clean(api) == list(NAMESPACES)
    assert min(hook.waited) >= 1


def test_what_is_refused_again_and_again_is_listed_and_the_rest_is_done(api: FakeApiServer, hook: Hook) -> None:
    put_account(api, "b", "pull", account="guarded")
    api.inject(Answer(403), "patch", name="guarded", times=None)

    left = hook.run()

    assert clean(api) == ["a", "c"]
    assert references_in(api, "b") == ["mine"]
    assert [line.partition(": ")[0] for line in left] == ["ServiceAccount b/guarded", "Secret b/pull"]
    assert "its references to pull: PATCH /api/v1/namespaces/b/serviceaccounts/guarded: 403" in left[0]
    assert len(hook.waited) <= MAX_REFUSED_PASSES
    assert copy_in(api, "b") is not None


def test_secrets_that_cannot_be_listed_are_told_and_references_are_not_guessed(api: FakeApiServer, hook: Hook) -> None:
    api.inject(Answer(403), "list", plural="secrets", times=None)

    left = hook.run()

    assert len(left) == 1
    assert left[0].startswith("Secret pull: in all namespaces, and the references to it: GET /api/v1/secrets: 403")
    assert clean(api) == []
    assert references_in(api, "a") == ["mine", "pull"]


def test_what_comes_while_it_works_goes_too(api: FakeApiServer, hook: Hook) -> None:
    api.inject(Answer(409), "delete")

    def come() -> None:
        hook.meanwhile = lambda: None
        put_account(api, "a", "pull", account="late")

    hook.meanwhile = come
    put_copy(api, "a")

    assert hook.run() == []

    assert references_in(api, "a", "late") == []


def test_who_puts_everything_back_is_not_raced(api: FakeApiServer, hook: Hook) -> None:
    """A loop that heeds no Lease, say: it ends by the time, with the list, and not at the speed of the API server."""
    hook.passes_left = 4
    hook.meanwhile = lambda: put_copy(api, "a")
    put_copy(api, "a")
    api.inject(Answer(409), "delete", name="pull", times=1)

    left = hook.run()

    assert len(hook.waited) == 4
    assert hook.waited == sorted(hook.waited)
    assert left


def test_a_copy_that_a_finalizer_keeps_is_a_warning_and_stops_nothing(api: FakeApiServer, hook: Hook) -> None:
    put_copy(api, "a", deletionTimestamp="2026-01-01T00:00:00Z")

    assert hook.run() == []

    assert [str(each) for each in hook.removal.waiting()] == [
        "Secret a/pull: it is being deleted, and a finalizer keeps it"
    ]
    assert references_in(api, "a") == ["mine"]


def test_without_time_nothing_is_claimed(api: FakeApiServer, hook: Hook) -> None:
    hook.passes_left = 0
    assert hook.run() == ["Cluster: its objects are not known: there was no time to look"]
    assert clean(api) == []


def test_when_the_time_is_over_no_further_namespace_is_read(api: FakeApiServer, client: Client) -> None:
    """The Secret of the name is read before the first write."""
    api.remove(secret_path("b"))
    has_time = iter([True])
    left = Removal(client, RELEASE, CONFIGURATION, lambda: next(has_time, False), lambda _: None).run()
    assert "ServiceAccount b/default: its references to pull: there was no time left" in map(str, left)
    assert api.seen("get", plural="secrets") == []
