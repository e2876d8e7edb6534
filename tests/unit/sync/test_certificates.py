"""The keeper of the certificate, on an API server with faults to switch on, and by a clock that is given."""

from __future__ import annotations

import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certs.bundle import parse
from certs.lifetimes import Lifetimes
from certs.rotation import next_step
from certs.validity import check_pair, not_after
from tests.strangers import foreign_authority
from tests.unit.fake_apiserver.faults import Answer
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from tests.unit.sync.world import RELEASE, secret_path
from webhook.errors import CertificateInvalid, Conflict
from webhook.kube.client import Client
from webhook.kube.connect import connect
from webhook.kube.events import EventRecorder
from webhook.kube.objects import SecretObject
from webhook.kube.wire import WrittenMeta
from webhook.ops.sync_metrics import SyncMetrics
from webhook.sync import certificates
from webhook.sync.certificates import CertificateKeeper, CertificateStore
from webhook.sync.settings import CertificateNames
from webhook.sync.table import ObjectCache
from webhook.sync.write_gate import RateLimit, WriteGate

NAMES = CertificateNames("psw-tls", "psw-ca", "psw", ("psw-webhook.psw-system.svc",))
LEAF, AUTHORITY = secret_path(RELEASE.namespace, "psw-tls"), secret_path(RELEASE.namespace, "psw-ca")
CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/psw"
SETTLING = timedelta(milliseconds=50)
LIFETIMES = Lifetimes(timedelta(days=365), timedelta(days=30), SETTLING)
DAY = timedelta(days=1)


class Clock:
    """The time of the process, which a test may move."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset


class Kept:
    """A keeper, what it acts on, and what it told."""

    def __init__(self, api: FakeApiServer, client: Client) -> None:
        self.api = api
        self.clock = Clock()
        self.metrics = SyncMetrics()
        self.recorder = EventRecorder(client)
        self.leads = threading.Event()
        self.leads.set()
        self.turns: list[float] = []
        self.gate = WriteGate(client.connectivity, RateLimit(waited=self.turns.append))
        self.gate.set_election(self.leads.is_set)
        self.keeper = CertificateKeeper(
            self.gate.fenced(client),
            RELEASE.namespace,
            NAMES,
            self.gate,
            self.recorder,
            self.metrics.certificates,
            LIFETIMES,
            self.clock,
        )

    def part(self, path: str, key: str) -> bytes:
        found = self.api.read(path) or {}
        return b64decode(found.get("data", {}).get(key, ""))

    def bundles(self) -> list[bytes]:
        found = self.api.read(CONFIGURATION) or {"webhooks": []}
        return [b64decode(webhook["clientConfig"].get("caBundle", "")) for webhook in found["webhooks"]]

    def serves(self) -> bool:
        """Whether the leaf in the Secret is good now, by every bundle."""
        pair = self.part(LEAF, "tls.crt"), self.part(LEAF, "tls.key")
        try:
            for bundle in self.bundles():
                check_pair(*pair, bundle, NAMES.sans, self.clock())
        except CertificateInvalid:
            return False
        return True

    def put_bundle(self, content: bytes) -> None:
        webhooks = [{"name": name, "clientConfig": {"caBundle": b64encode(content).decode()}} for name in ("a", "b")]
        self.api.put(CONFIGURATION, {"webhooks": webhooks})

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"pullsecrets_{name}", labels)

    def events(self) -> list[str]:
        found = self.api.seen("create", plural="events")
        return [request.body.decode() for request in found]

    def look_now(self) -> None:
        self.keeper.set_leading(leading=True)


@pytest.fixture
def kept(api: FakeApiServer, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    """A keeper that runs on an API server with a webhook configuration and nothing else."""
    monkeypatch.setattr(certificates, "RETRY_SECONDS", 0.02)
    client = connect(kubeconfig, request_timeout=5.0)
    world = Kept(api, client)
    world.put_bundle(b"")
    world.recorder.start()
    world.keeper.start()
    yield world
    world.keeper.stop(5)
    world.recorder.stop(5)
    client.close()


def test_from_nothing_there_is_a_certificate_that_every_bundle_trusts(kept: Kept) -> None:
    until(kept.serves)
    assert len(set(kept.bundles())) == 1
    assert kept.part(LEAF, "ca.crt") == kept.part(AUTHORITY, "tls.crt")
    leaf, authority = (not_after(kept.part(path, "tls.crt")).timestamp() for path in (LEAF, AUTHORITY))
    # A write is seen at the API server a moment before the keeper counts it.
    until(lambda: kept.value("certificate_expiry_timestamp_seconds") == leaf)
    until(lambda: kept.value("certificate_authority_expiry_timestamp_seconds") == authority)
    until(lambda: kept.value("ca_bundle_certificates", kind="own") == 1)
    for what in ("authority", "certificate", "bundle"):
        until(lambda what=what: kept.value("certificate_writes_total", what=what) == 1)  # type: ignore[misc]


def test_who_does_not_lead_writes_nothing(api: FakeApiServer, client: Client) -> None:
    world = Kept(api, client)
    world.put_bundle(b"")
    world.leads.clear()
    world.keeper.start()
    until(lambda: world.keeper._store.has_synced)
    world.look_now()
    until(lambda: world.value("ca_bundle_certificates", kind="own") == 0)
    world.keeper.stop(5)
    assert api.seen("create", "apply", "patch", "delete") == []


def test_a_write_that_the_fence_stops_is_no_failure(
    api: FakeApiServer, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Lease is lost between the check and the write."""
    until(kept.serves)
    asked: list[None] = []

    def leads() -> bool:
        asked.append(None)
        return kept.leads.is_set()

    monkeypatch.setattr(kept.gate, "may_write", lambda: True)
    kept.gate.set_election(leads)
    kept.leads.clear()
    api.remove(LEAF)
    until(lambda: len(asked) > 10)
    assert not kept.value("certificate_write_errors_total")

    kept.leads.set()

    until(kept.serves)


def test_years_pass_in_leaps_and_after_each_there_is_a_certificate_that_is_valid_and_trusted(kept: Kept) -> None:
    until(kept.serves)
    seen = {kept.part(LEAF, "tls.crt")}
    authorities = {kept.part(AUTHORITY, "tls.crt")}
    for days in (21, 21, 21, 200, 30, 29, 700, 25, 2000):
        kept.clock.offset += timedelta(days=days)
        kept.look_now()
        until(lambda: kept.serves() and kept.part(LEAF, "tls.crt") not in seen)
        seen.add(kept.part(LEAF, "tls.crt"))
        authorities.add(kept.part(AUTHORITY, "tls.crt"))
    assert len(seen) >= 10
    assert len(authorities) >= 4
    until(lambda: len(parse(kept.bundles()[0]).certificates) == 1)


def test_it_looks_at_the_clock_often_although_nothing_is_due_for_weeks(kept: Kept) -> None:
    """Whoever was suspended, or had its clock set, has a sleep behind it that began before."""
    until(kept.serves)
    # Its own thread has taken note of what it wrote, so that two threads do not write.
    until(lambda: kept.keeper._store.snapshot().leaf.value is not None)
    assert 0 < kept.keeper._reconcile() <= certificates.POLL_SECONDS <= 30


def test_a_look_at_a_certificate_that_is_in_order_takes_no_turn_of_a_write(kept: Kept) -> None:
    until(kept.serves)
    for what in ("authority", "certificate", "bundle"):
        until(lambda what=what: kept.value("certificate_writes_total", what=what) == 1)  # type: ignore[misc]
    assert kept.keeper._reconcile() > 0
    assert len(kept.turns) == 3


def test_a_foreign_authority_stays_and_is_told_of_when_it_expires(kept: Kept, foreign: bytes) -> None:
    until(kept.serves)
    kept.put_bundle(foreign)
    until(lambda: kept.serves() and foreign in parse(kept.bundles()[0]))
    until(lambda: kept.value("ca_bundle_certificates", kind="foreign") == 1)
    assert kept.events() == []
    kept.clock.offset = 3 * DAY
    kept.look_now()
    until(lambda: any("ForeignAuthorityExpired" in event and "CN=a corporate root" in event for event in kept.events()))
    assert foreign in parse(kept.bundles()[0])
    until(lambda: kept.value("ca_bundle_certificates", kind="foreign expired") == 1)
    kept.look_now()
    kept.put_bundle(b"")
    until(lambda: kept.serves() and kept.value("ca_bundle_certificates", kind="foreign expired") == 0)
    assert len([event for event in kept.events() if "ForeignAuthorityExpired" in event]) == 1


def test_what_is_no_certificate_is_left_out_and_told_of(kept: Kept, foreign: bytes) -> None:
    until(kept.serves)
    kept.put_bundle(foreign[:100] + b"\n" + foreign)
    until(lambda: kept.serves() and foreign in parse(kept.bundles()[0]) and not parse(kept.bundles()[0]).unparsable)
    until(lambda: any("BundleUnreadable" in event for event in kept.events()))
    assert any("held 2 entries that are not certificates: they have been left out" in each for each in kept.events())
    until(lambda: kept.value("ca_bundle_unreadable_total") == 2)  # in each of the two webhooks


def test_a_single_block_that_is_left_out_is_told_of_in_the_singular(client: Client) -> None:
    recorder = EventRecorder(client)
    certificates._Reporter(recorder, SyncMetrics().certificates, RELEASE.namespace).left_out(1)
    ((_, notice),) = recorder.recent()
    assert notice.message == "the caBundle held 1 entry that is not a certificate: it has been left out"


def test_a_write_that_is_refused_is_told_of_and_tried_again(kept: Kept, api: FakeApiServer) -> None:
    until(kept.serves)
    fault = api.inject(Answer(403), "apply", plural="secrets", times=None)
    api.remove(LEAF)
    until(lambda: any("CertificateDenied" in event for event in kept.events()))
    until(lambda: (kept.value("certificate_write_errors_total") or 0) >= 1)
    fault.lift()
    until(kept.serves)


def test_a_secret_that_is_gone_when_it_is_to_be_changed_is_created(kept: Kept, api: FakeApiServer) -> None:
    """As when the answer to a write comes after the watch has told of the deletion."""
    until(kept.serves)
    api.inject(Answer(404), "patch", plural="secrets", name="psw-tls", times=1)
    api.put(LEAF, {"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}})
    until(lambda: len(applied(api, "psw-tls")) > 1)
    api.remove(LEAF)
    until(kept.serves)


def test_a_secret_of_another_type_is_deleted_and_created_again(kept: Kept, api: FakeApiServer) -> None:
    until(kept.serves)
    api.remove(LEAF)
    api.put(LEAF, {"type": "Opaque", "data": {"tls.crt": "", "tls.key": ""}})
    until(lambda: kept.serves() and (api.read(LEAF) or {})["type"] == "kubernetes.io/tls")


def test_a_secret_that_must_not_be_deleted_is_named_with_what_is_wrong_and_the_command(
    kept: Kept, api: FakeApiServer
) -> None:
    until(kept.serves)
    fault = api.inject(Answer(403), "delete", plural="secrets", times=None)
    api.put(LEAF, {"type": "kubernetes.io/tls", "immutable": True, "data": {"tls.crt": "", "tls.key": ""}})
    until(lambda: any("is immutable, and it must not be deleted by sync" in event for event in kept.events()))
    assert any("kubectl delete secret psw-tls -n" in event for event in kept.events())
    fault.lift()
    until(kept.serves)


def applied(api: FakeApiServer, name: str) -> list[object]:
    return [request for request in api.seen("apply", plural="secrets") if request.name == name]


def test_what_was_decided_on_an_older_state_meets_a_conflict(api: FakeApiServer, client: Client) -> None:
    """Even where the watch has told of the newer state by then, so that a write on top of that would succeed."""
    store = CertificateStore(client, RELEASE.namespace, NAMES, lambda: None)
    store.start()
    until(lambda: store.has_synced)
    nothing = store.snapshot()
    step = next_step(nothing.state(NAMES.sans), datetime.now(UTC), LIFETIMES)
    somebody_elses = {"type": "kubernetes.io/tls", "data": {"tls.crt": "b3RoZXI=", "tls.key": "b3RoZXI="}}
    api.put(AUTHORITY, somebody_elses)
    until(lambda: store.snapshot().authority.value is not None)
    with pytest.raises(Conflict):
        store.write(step, nothing)
    store.stop()
    assert (api.read(AUTHORITY) or {})["data"] == somebody_elses["data"]


def test_a_deletion_of_another_object_takes_nothing_out_of_a_slot() -> None:
    woken: list[None] = []
    slot: ObjectCache[SecretObject] = ObjectCache(lambda: woken.append(None))
    old, new = secret_object("1"), secret_object("2")
    values = []
    changes: list[tuple[Callable[[SecretObject], None], SecretObject]]
    changes = [(slot.upsert, new), (slot.remove, old), (slot.remove, new)]
    for change, obj in changes:
        change(obj)
        values.append(slot.observed.value)
    assert values == [new, new, None]
    assert len(woken) == 3


def test_the_answer_to_a_write_never_hides_what_the_watch_has_told_meanwhile() -> None:
    slot: ObjectCache[SecretObject] = ObjectCache(lambda: None)
    answer, edited = secret_object("1"), secret_object("1")
    before = slot.observed
    slot.upsert(edited)
    slot.store_response(answer, before)
    after = slot.observed
    assert after.value is edited
    slot.store_response(answer, after)
    assert slot.observed.value is answer


def secret_object(uid: str) -> SecretObject:
    return SecretObject(WrittenMeta(name="psw-tls", uid=uid))


@pytest.fixture(scope="module")
def foreign() -> bytes:
    """An authority of somebody else's that is valid for two days."""
    return foreign_authority().certificate_pem
