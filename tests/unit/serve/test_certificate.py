from __future__ import annotations

import base64
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from certs.authority import issue_authority, issue_leaf
from certs.reload import ServingCertificate
from certs.validity import not_after
from tests.unit.polling import until
from webhook.errors import CertificateInvalid
from webhook.http.counters import PortCounters
from webhook.kube.objects import SecretObject
from webhook.kube.wire import WrittenMeta
from webhook.ops.health import Health
from webhook.ops.metrics import AdmissionMetrics
from webhook.serve.certificate import CertificateLoader, TlsSecretHandler

DAY = timedelta(days=1)
AUTHORITY = issue_authority(datetime.now(UTC), DAY)
LEAF = issue_leaf(AUTHORITY, ["localhost"], datetime.now(UTC), DAY)
OTHER_KEY = base64.b64encode(AUTHORITY.private_key_pem).decode()
GOOD = {
    "tls.crt": base64.b64encode(LEAF.certificate_pem).decode(),
    "tls.key": base64.b64encode(LEAF.private_key_pem).decode(),
}


def secret(data: dict[str, str] | None) -> SecretObject:
    return SecretObject(WrittenMeta(name="tls", namespace="release"), data=data)


class Replica:
    """What a replica has of its certificate."""

    def __init__(self) -> None:
        self.serving, self.health, self.metrics = ServingCertificate(), Health(), AdmissionMetrics(PortCounters())
        self.loader = CertificateLoader(self.serving, self.health.check("certificate"), self.metrics)
        self.handler = TlsSecretHandler(self.loader)

    def value(self, name: str) -> float:
        found = self.metrics.registry.get_sample_value(f"pullsecrets_{name}")
        assert found is not None
        return found

    @property
    def last_reload_successful(self) -> float | None:
        return self.metrics.registry.get_sample_value("pullsecrets_certificate_last_reload_successful")


def test_a_replica_is_ready_with_the_first_usable_pair() -> None:
    replica = Replica()
    replica.handler.replace([], "1")
    assert (replica.health.ready, replica.last_reload_successful) == (False, 0)
    replica.handler.upsert(secret(GOOD))
    assert (replica.health.ready, replica.last_reload_successful) == (True, 1)
    assert replica.serving.loaded


UNUSABLE = {
    "no data": None,
    "nothing in it": {},
    "no key": {**GOOD, "tls.key": ""},
    "not base64": {**GOOD, "tls.crt": "%%%"},
    "not PEM": {**GOOD, "tls.crt": base64.b64encode(b"marker").decode()},
}


@pytest.mark.parametrize("data", UNUSABLE.values(), ids=UNUSABLE)
def test_a_pair_that_is_no_good_is_reported_and_never_replaces_one_that_is(
    data: dict[str, str] | None, caplog: pytest.LogCaptureFixture
) -> None:
    replica = Replica()
    replica.handler.upsert(secret(data))
    assert (replica.health.ready, replica.serving.loaded) == (False, False)
    assert "no usable certificate yet" in replica.health.report()
    replica.handler.upsert(secret(GOOD))
    replica.handler.upsert(secret(data))
    assert (replica.health.ready, replica.serving.loaded, replica.last_reload_successful) == (True, True, 0)
    assert "marker" not in caplog.text


def test_a_secret_that_is_deleted_takes_nothing_away() -> None:
    replica = Replica()
    replica.handler.upsert(secret(GOOD))
    replica.handler.remove(secret(GOOD))
    assert (replica.health.ready, replica.serving.loaded) == (True, True)


def test_the_repr_of_a_secret_is_its_name() -> None:
    assert f"{secret(GOOD)} {[secret(GOOD)]!r}" == "Secret release/tls [Secret release/tls]"


def test_a_replica_whose_certificate_expires_is_not_ready_until_it_has_the_next() -> None:
    replica = Replica()
    now = datetime.now(UTC)
    short = issue_leaf(issue_authority(now, DAY), ["localhost"], now, timedelta(seconds=2))
    replica.loader.load(short.certificate_pem, short.private_key_pem)
    assert replica.health.ready
    until(lambda: not replica.health.ready)
    assert "[-]certificate failed: the certificate expired at" in replica.health.report()
    assert replica.serving.loaded
    replica.handler.upsert(secret(GOOD))
    assert replica.health.ready


def test_the_metrics_say_when_what_expires_and_how_often_a_reload_failed() -> None:
    replica = Replica()
    replica.handler.upsert(secret({**GOOD, "ca.crt": base64.b64encode(AUTHORITY.certificate_pem).decode()}))
    begin = time.time() - 60
    assert replica.value("certificate_expiry_timestamp_seconds") == not_after(LEAF.certificate_pem).timestamp()
    assert (
        replica.value("certificate_authority_expiry_timestamp_seconds")
        == not_after(AUTHORITY.certificate_pem).timestamp()
    )
    assert begin < replica.value("certificate_last_rotation_timestamp_seconds") <= time.time()
    assert replica.value("certificate_reload_errors_total") == 0
    replica.handler.upsert(secret({}))
    replica.handler.remove(secret({}))
    assert replica.value("certificate_reload_errors_total") == 2


@pytest.mark.parametrize("authority", ["", "%%%", base64.b64encode(b"junk").decode()])
def test_an_authority_that_is_not_readable_changes_nothing_but_the_metric(authority: str) -> None:
    replica = Replica()
    replica.handler.upsert(secret({**GOOD, "ca.crt": authority}))
    assert replica.health.ready
    assert replica.value("certificate_authority_expiry_timestamp_seconds") == 0


def test_authorities_of_callers_are_in_force_until_better_ones_come() -> None:
    replica = Replica()
    first = issue_authority(datetime.now(UTC), DAY)
    later = issue_authority(datetime.now(UTC), 2 * DAY)
    replica.loader.load_client_authorities(later.certificate_pem + first.certificate_pem)
    assert replica.value("client_ca_expiry_timestamp_seconds") == not_after(later.certificate_pem).timestamp()
    assert replica.value("client_ca_last_reload_successful") == 1
    replica.loader.report_refused_authorities(CertificateInvalid("no good"))
    assert replica.value("client_ca_last_reload_successful") == 0


def test_what_holds_the_first_certificate_is_named_until_it_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    replica, stop, lines = Replica(), threading.Event(), []
    awaited = "Secret release/tls with tls.crt and tls.key"
    thread = threading.Thread(target=replica.loader.wait_for, args=("release/tls", stop, 0.01))
    thread.start()
    try:
        until(lambda: awaited in replica.health.report())

        def told() -> int:
            lines.extend(capsys.readouterr().out.splitlines())
            return sum(awaited in line for line in lines)

        until(lambda: told() >= 2)
        replica.handler.upsert(secret({**GOOD, "tls.key": OTHER_KEY}))
        awaited = "a usable pair in Secret release/tls: the private key is not the key of the certificate"
        until(lambda: told() >= 1)
        assert f"no usable certificate yet: waiting for {awaited}" in replica.health.report()
        assert "with tls.crt and tls.key" not in replica.health.report()
        replica.handler.upsert(secret(GOOD))
        until(lambda: not thread.is_alive())
        assert awaited not in replica.health.report()
        assert replica.health.ready
    finally:
        stop.set()
        thread.join()
