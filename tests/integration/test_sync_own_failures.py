"""A failure that is a namespace's own holds up no other namespace, and absence is believed only with proof."""

from __future__ import annotations

import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from cryptography import x509

from tests.cluster.cluster import Cluster
from tests.cluster.processes import PullSecrets
from tests.exposition import series
from tests.integration.faults.denier import Denier
from tests.integration.faults.faultlink import Answer, Request
from tests.integration.faults.remote import remote_sync
from tests.integration.hostile.impostor import Impostor
from tests.integration.site.playground import COPY, Playground, eventually
from tests.integration.site.ward import HEALTHY, Ward, copy_path

Maker = Callable[..., Playground]

MANY = 30
PAGE = b"<html><head><title>404 Not Found</title></head><body><center><h1>404 Not Found</h1></center></body></html>"
PAGE_SECONDS = 12.0

TRIED_SECONDS = 20.0
FEW_TRIES = 12
"""Writes of one namespace that is denied for twenty seconds: after 0.25 s, doubling, it is eight, and one namespace is
tried for all of them every 5 s."""

BACKED_OFF_SECONDS = 40.0
"""After which most of the namespaces wait for 32 s and more: without help the last one would be that late."""

RECOVERED_SECONDS = 20.0
"""After a policy or a right has come back: the namespace that is tried for all of them waits 5 s at most."""


@contextmanager
def denier(cluster: Cluster, ours: Playground) -> Iterator[Denier]:
    with Denier(cluster, ours.installation.release) as denier:
        yield denier


@pytest.fixture
def ours(playground: Maker) -> Playground:
    return playground()


@pytest.fixture(scope="module")
def beside(cluster: Cluster) -> Iterator[Playground]:
    """A release without trouble."""
    with Playground.make(cluster) as playground:
        playground.installation.start_sync().wait_ready()
        yield playground


def start(ours: Playground) -> PullSecrets:
    sync = ours.installation.start_sync("--log-format=json")
    sync.wait_ready()
    return sync


def writes_in(ours: Playground, namespace: str, since: datetime) -> int:
    """Return how many writes of the copy of a namespace reached the API server in the first seconds."""
    until = since + timedelta(seconds=TRIED_SECONDS)
    return sum(
        event["verb"] in ("create", "patch") and event["requestURI"].startswith(copy_path(namespace))
        for event in ours.cluster.audit_events()
        if since <= datetime.fromisoformat(event["requestReceivedTimestamp"]) < until
    )


def watches_cut(sync: PullSecrets) -> tuple[float, int]:
    """Return how many watches have broken, and how often connections were given up."""
    found = series(sync.metrics())
    broken = sum(value for name, value in found.items() if name.startswith("pullsecrets_sync_watch_restarts_total"))
    return broken, sync.program.output.count("connections given up")


@pytest.mark.parametrize("code", [503, 500, 429])
def test_webhooks_that_deny_hold_up_only_their_namespaces(
    cluster: Cluster, ours: Playground, beside: Playground, code: int
) -> None:
    start(ours)
    ward = Ward(ours, beside, MANY)
    name = f"{ours.installation.release}.example.com"
    with denier(cluster, ours) as webhook:
        with webhook.registered(name, f"/deny/{code}", ward.selector):
            ward.await_denial("denied the request")
            ward.fall_ill()
            eventually(lambda: webhook.called, lambda called: called > MANY)
            ward.assert_as_without_trouble()
            told = eventually(lambda: dict(ours.events(ward.sick[0])), lambda seen: "CopyDenied" in seen)
            assert name in told["CopyDenied"]
        ward.await_recovery()


def test_one_namespace_that_is_told_to_come_back_later_pauses_no_other(
    cluster: Cluster, ours: Playground, beside: Playground
) -> None:
    sync = start(ours)
    ward = Ward(ours, beside, 1)
    with (
        denier(cluster, ours) as webhook,
        webhook.registered(f"{ours.installation.release}.example.com", "/deny/429/30", ward.selector),
    ):
        ward.await_denial("denied the request")
        called = webhook.called
        ward.fall_ill()
        eventually(lambda: webhook.called, lambda now: now > called)
        ward.assert_as_without_trouble()
        assert series(sync.metrics())["pullsecrets_sync_paused_seconds"] == 0.0


def test_a_policy_without_a_reason_is_a_refusal_and_when_it_is_gone_all_are_tried(
    ours: Playground, beside: Playground
) -> None:
    start(ours)
    ward = Ward(ours, beside, MANY)
    with ward.policy():
        begun, since = time.monotonic(), datetime.now(UTC)
        ward.fall_ill()
        told = eventually(lambda: dict(ours.events(ward.sick[0])), lambda seen: "CopyDenied" in seen)
        assert "ValidatingAdmissionPolicy" in told["CopyDenied"]
        eventually(lambda: time.monotonic() - begun > BACKED_OFF_SECONDS)
        tries = [writes_in(ours, namespace, since) for namespace in ward.sick[:HEALTHY]]
        assert max(tries) <= FEW_TRIES, tries
        ward.assert_as_without_trouble()
    gone = time.monotonic()
    ward.await_recovery()
    seconds = time.monotonic() - gone
    print(f"{MANY} namespaces are right {seconds:.1f} s after the policy was deleted")
    assert seconds <= RECOVERED_SECONDS


def test_when_rights_come_back_all_namespaces_are_tried(ours: Playground, beside: Playground) -> None:
    sync = start(ours)
    ward = Ward(ours, beside, MANY)
    binding = f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{ours.installation.fullname}-sync"
    api = ours.cluster.api
    kept = api.call("GET", binding)
    api.call("DELETE", binding)
    # Otherwise some of them get their copies: the API server learns of rights by watches.
    thief = Impostor.of(ours, "sync")
    eventually(lambda: "cannot patch resource" in thief.apply_secret(ward.sick[0], query="&dryRun=All").text)
    begun = time.monotonic()
    ward.fall_ill()
    eventually(lambda: time.monotonic() - begun > BACKED_OFF_SECONDS)
    denied = 'pullsecrets_sync_writes_total{action="copy created",result="denied"}'
    eventually(lambda: series(sync.metrics()).get(denied, 0), lambda seen: seen >= MANY)

    metadata = {"name": kept["metadata"]["name"], "labels": kept["metadata"].get("labels", {})}
    api.call("POST", binding.rpartition("/")[0], {**kept, "metadata": metadata})

    restored = time.monotonic()
    ward.await_recovery()
    seconds = time.monotonic() - restored
    print(f"{MANY} namespaces are right {seconds:.1f} s after the rights came back")
    assert seconds <= RECOVERED_SECONDS


def test_slow_webhooks_cut_neither_watches_nor_other_writes(
    cluster: Cluster, ours: Playground, beside: Playground
) -> None:
    sync = start(ours)
    ward = Ward(ours, beside, 3)
    with (
        denier(cluster, ours) as webhook,
        webhook.registered(f"{ours.installation.release}.example.com", "/slow/25", ward.selector, timeout=30),
    ):
        eventually(lambda: webhook.is_called_in(ward.sick[0]))
        before, called = watches_cut(sync), webhook.called
        spared = beside.installation.processes["sync"]
        spared_before = watches_cut(spared)
        ward.fall_ill()
        # A write is given up after 15 s; by then each has been tried a second time.
        eventually(lambda: webhook.called, lambda now: now >= called + 2 * len(ward.sick))
        ward.assert_as_without_trouble()
        # An API server that stands still itself cuts the watches of both.
        assert watches_cut(sync) == before or watches_cut(spared) != spared_before


def not_the_lease(request: Request) -> bool:
    return "/leases/" not in request.target


def everything(_request: Request) -> bool:
    return True


def deletions(request: Request) -> bool:
    return request.method == "DELETE"


def writes_a_secret(request: Request) -> bool:
    return request.writes and "/secrets/" in request.target


@pytest.mark.parametrize(
    ("answer", "chosen"),
    [
        # Each answer to deletions alone, where a 404 counts as done; what else it is an answer to matters little.
        pytest.param(Answer(404, PAGE, "text/html"), deletions, id="404-page"),
        pytest.param(Answer(200, PAGE, "text/html"), deletions, id="200-page"),
        pytest.param(Answer(404), deletions, id="404-empty"),
        pytest.param(Answer(200, b"{}"), deletions, id="200-json"),
        pytest.param(Answer(404, PAGE, "text/html"), not_the_lease, id="404-page-but-for-the-lease"),
        pytest.param(Answer(200, b"{}"), everything, id="200-json-to-everything"),
    ],
)
def test_a_page_in_place_of_an_answer_leaves_no_copy_behind(
    ours: Playground, answer: Answer, chosen: Callable[[Request], bool]
) -> None:
    ours.set_source("first")
    with remote_sync(ours, "sync") as remote:
        leaving = [ours.namespace(selected=True) for _ in range(3)]
        for namespace in leaving:
            ours.await_selected(namespace, "first")
        with remote.proxy.answering(answer, chosen):
            begun = time.monotonic()
            for namespace in leaving:
                ours.opt(namespace, None)
            # It is not a fault before somebody gets it.
            eventually(lambda: any(map(chosen, remote.proxy.since(begun))))
            eventually(lambda: time.monotonic() - begun > PAGE_SECONDS / 4)
        for namespace in leaving:
            eventually(partial(ours.get, namespace, "secrets", COPY), lambda seen: seen is None)
            eventually(partial(ours.references, namespace), lambda seen: seen == [])


def test_a_page_in_place_of_an_answer_does_not_end_the_renewal_of_certificates(ours: Playground) -> None:
    ours.set_source("first")
    namespace, name = ours.installation.namespace, ours.installation.tls_secret

    def serial() -> int | None:
        found = ours.get(namespace, "secrets", name)
        pem = b64decode((found or {}).get("data", {}).get("tls.crt", ""))
        return x509.load_pem_x509_certificate(pem).serial_number if pem else None

    with remote_sync(ours, "sync") as remote:
        first = eventually(serial)
        with remote.proxy.answering(Answer(404, PAGE, "text/html"), writes_a_secret):
            begun = time.monotonic()
            ours.patch(namespace, "secrets", name, {"data": {"tls.crt": "", "tls.key": ""}})
            eventually(lambda: any(map(writes_a_secret, remote.proxy.since(begun))))
            eventually(lambda: time.monotonic() - begun > PAGE_SECONDS)
            assert serial() is None
        assert eventually(serial, lambda seen: seen is not None) != first
