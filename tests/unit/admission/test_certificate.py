from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from certs.authority import issue_authority, issue_leaf
from certs.reload import ServingCertificate
from webhook.admission.certificate import CertificateIntake, TlsSecret, TlsSecretHandler
from webhook.kube.wire import ObjectMeta
from webhook.observe.health import Health
from webhook.observe.metrics import AdmissionMetrics
from webhook.observe.traffic import Traffic

DAY = timedelta(days=1)
LEAF = issue_leaf(issue_authority(datetime.now(UTC), DAY), ["localhost"], datetime.now(UTC), DAY)
GOOD = {
    "tls.crt": base64.b64encode(LEAF.certificate_pem).decode(),
    "tls.key": base64.b64encode(LEAF.private_key_pem).decode(),
}


def secret(data: dict[str, str] | None) -> TlsSecret:
    return TlsSecret(ObjectMeta(name="tls", namespace="release"), data)


class Replica:
    """What a replica has of its certificate."""

    def __init__(self) -> None:
        self.serving, self.health, self.metrics = ServingCertificate(), Health(), AdmissionMetrics(Traffic())
        intake = CertificateIntake(self.serving, self.health.check("certificate"), self.metrics)
        self.handler = TlsSecretHandler(intake)

    @property
    def last_reload_successful(self) -> float | None:
        return self.metrics.registry.get_sample_value("pullsecrets_certificate_last_reload_successful")


def test_a_replica_is_ready_with_the_first_usable_pair() -> None:
    replica = Replica()
    replica.handler.replace([])
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
