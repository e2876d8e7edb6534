"""The order of a cleanup, and what it does when something is in its way, on the fake API server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.fake_apiserver.faults import Answer
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.fake_apiserver.storage import Target
from tests.unit.sync.world import BY_US, OURS, RELEASE, copy_in, put_account, put_namespace, secret_path
from webhook.errors import UsageError
from webhook.report.removals import RemovalReport
from webhook.rules.dockerconfig import COPY_TYPE
from webhook.rules.ownership import MANAGED_BY, MANAGED_BY_LABEL
from webhook.sync.cleanup import HELM_SECONDS, CleanupSettings, run

CONFIGURATION = """\
apiVersion: pullsecrets.webhook/v1alpha1
kind: Configuration
pullSecrets: [{name: pull, sources: [{secretName: harbor}]}]
"""
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/full"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/psw-system/leases/full-sync"
ACCOUNT = "/api/v1/namespaces/psw-system/serviceaccounts/full-sync"


INSTANCE = {"app.kubernetes.io/instance": RELEASE.name}
NOTED = {"meta.helm.sh/release-namespace": RELEASE.namespace}


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leader is believed to be gone after a moment, and pauses are a hundredth."""
    monkeypatch.setattr("webhook.sync.cleanup.PAUSE_BASE", 0.005)
    monkeypatch.setattr("webhook.sync.removal.PAUSE_BASE", 0.005)
    monkeypatch.setattr("webhook.sync.cleanup.signal.signal", lambda *_: None)


@pytest.fixture
def settings(kubeconfig: Path, tmp_path: Path) -> CleanupSettings:
    config = tmp_path / "configuration.yaml"
    config.write_text(CONFIGURATION)
    return CleanupSettings(config, kubeconfig, None, RELEASE, "full", timeout=30.0)


def left_by(settings: CleanupSettings) -> list[str]:
    return [str(each) for each in run(settings).objects]


def put_certificate(api: FakeApiServer, name: str, **labels: str) -> None:
    api.put(secret_path(RELEASE.namespace, name), {"type": "kubernetes.io/tls", "metadata": {"labels": labels}})


@pytest.fixture(autouse=True)
def installed(api: FakeApiServer) -> None:
    """A release whose loop has ended as it should, with one namespace to look after."""
    put_namespace(api, RELEASE.namespace, "")
    api.put(WEBHOOKS, {"webhooks": [], "metadata": {"labels": INSTANCE, "annotations": NOTED}})
    api.put(ACCOUNT, {"metadata": {"labels": INSTANCE}})
    api.put(LEASE, {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}})
    for name in ("full-tls", "full-ca"):
        put_certificate(api, name, **{MANAGED_BY_LABEL: MANAGED_BY})
    put_namespace(api, "a")
    put_account(api, "a", "mine", "pull")
    api.put(secret_path("a"), {"type": COPY_TYPE, "data": {}, "metadata": {"labels": OURS}}, **BY_US)


def delete(api: FakeApiServer, path: str) -> None:
    api.storage.delete(Target.parse(path), {})


def lease(api: FakeApiServer) -> dict[str, Any]:
    return api.read(LEASE) or {}


def test_the_order_is_webhooks_lease_references_copies_certificate(
    api: FakeApiServer, settings: CleanupSettings
) -> None:
    assert left_by(settings) == []
    writes = [(one.verb, one.target.plural, one.target.name) for one in api.seen("patch", "apply", "delete", "create")]
    assert writes == [
        ("delete", "mutatingwebhookconfigurations", "full"),
        ("patch", "leases", "full-sync"),
        ("patch", "serviceaccounts", "default"),
        ("delete", "secrets", "pull"),
        ("delete", "secrets", "full-tls"),
        ("delete", "secrets", "full-ca"),
    ]


def test_the_lease_stays_taken_until_helm_is_done_and_goes_with_the_account(
    api: FakeApiServer, settings: CleanupSettings
) -> None:
    run(settings)
    uid = (api.read(ACCOUNT) or {})["metadata"]["uid"]
    assert lease(api)["spec"]["holderIdentity"].startswith("uninstalling_")
    assert lease(api)["spec"]["leaseDurationSeconds"] == settings.timeout + HELM_SECONDS
    assert [owner["uid"] for owner in lease(api)["metadata"]["ownerReferences"]] == [uid]


def test_without_an_account_the_lease_is_deleted_here(api: FakeApiServer, settings: CleanupSettings) -> None:
    delete(api, ACCOUNT)
    assert left_by(settings) == []
    assert api.read(LEASE) is None


def test_it_can_be_repeated_when_everything_is_gone(api: FakeApiServer, settings: CleanupSettings) -> None:
    assert left_by(settings) == []
    delete(api, LEASE)
    assert left_by(settings) == []


def test_webhooks_that_cannot_be_deleted_stop_it_at_once(api: FakeApiServer, settings: CleanupSettings) -> None:
    api.inject(Answer(403), "delete", plural="mutatingwebhookconfigurations")
    (left,) = left_by(settings)
    assert left.startswith("MutatingWebhookConfiguration full: DELETE ")
    assert copy_in(api, "a") is not None


def test_a_lease_that_cannot_be_taken_stops_it_because_the_loop_would_go_on(
    api: FakeApiServer, settings: CleanupSettings
) -> None:
    api.inject(Answer(403), "patch", plural="leases")
    (left,) = left_by(settings)
    assert left.startswith("Lease psw-system/full-sync: until it is seized, sync would restore what is removed: PATCH ")
    assert copy_in(api, "a") is not None


@pytest.mark.parametrize("status", [404, 403], ids=["gone", "terminating"])
def test_a_release_namespace_that_is_gone_or_going_has_no_lease_to_take(
    api: FakeApiServer, settings: CleanupSettings, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr("webhook.sync.cleanup.TERM_SECONDS", 0.01)
    delete(api, LEASE)
    message = b'{"message": "unable to create new content in namespace psw-system because it is being terminated"}'
    api.inject(Answer(status, message), "apply", plural="leases")
    assert left_by(settings) == []
    assert copy_in(api, "a") is None


def test_an_answer_that_does_not_come_is_asked_for_again(api: FakeApiServer, settings: CleanupSettings) -> None:
    api.inject(Answer(500), "delete", times=3)
    assert left_by(settings) == []


def test_what_is_left_leaves_the_certificate_as_it_is(api: FakeApiServer, settings: CleanupSettings) -> None:
    api.inject(Answer(422), "delete", name="pull", times=None)
    (left,) = left_by(settings)
    assert left.startswith("Secret a/pull: DELETE ")
    assert api.read(secret_path(RELEASE.namespace, "full-tls")) is not None


def test_a_certificate_that_sync_has_not_made_stays(api: FakeApiServer, settings: CleanupSettings) -> None:
    put_certificate(api, "full-tls", **{MANAGED_BY_LABEL: "cert-manager"})
    api.inject(Answer(403), "get", name="full-ca")
    assert left_by(settings) == []
    assert api.read(secret_path(RELEASE.namespace, "full-tls")) is not None
    assert api.read(secret_path(RELEASE.namespace, "full-ca")) is not None


def test_secrets_that_cannot_be_deleted_are_listed_and_the_others_are_deleted(
    api: FakeApiServer, settings: CleanupSettings
) -> None:
    put_certificate(api, "full-state", **{MANAGED_BY_LABEL: MANAGED_BY})
    api.inject(Answer(403), "delete", name="full-state")
    api.inject(Answer(403), "delete", name="full-ca")
    state, authority = left_by(settings)
    assert state.startswith("Secret psw-system/full-state: DELETE ")
    assert authority.startswith("Secret psw-system/full-ca: DELETE ")
    assert api.read(secret_path(RELEASE.namespace, "full-tls")) is None


def test_when_the_time_is_over_nothing_more_is_done(api: FakeApiServer, settings: CleanupSettings) -> None:
    over = CleanupSettings(settings.config, settings.kubeconfig, None, RELEASE, "full", timeout=0.0)
    assert left_by(over) == ["Cluster: its objects are not known: there was no time to look"]
    assert copy_in(api, "a") is not None


# Whose it is


def unchanged(api: FakeApiServer) -> bool:
    return api.seen("patch", "apply", "delete", "create") == []


def excluding(namespace: str) -> dict[str, Any]:
    expression = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", namespace]}
    return {"namespaceSelector": {"matchExpressions": [expression]}, "clientConfig": {"url": "https://x"}}


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"labels": {"app.kubernetes.io/instance": "another"}, "annotations": NOTED}},
        {"metadata": {"labels": INSTANCE, "annotations": {"meta.helm.sh/release-namespace": "elsewhere"}}},
        {"metadata": {"annotations": NOTED}},
        {"webhooks": [{"clientConfig": {"service": {"namespace": "elsewhere", "name": "x"}}}]},
        {"webhooks": [excluding("elsewhere")]},
    ],
    ids=["release", "namespace by Helm", "no label", "namespace by the Service", "namespace by the selector"],
)
def test_the_webhooks_of_another_release_end_it(
    api: FakeApiServer, settings: CleanupSettings, changes: dict[str, Any]
) -> None:
    delete(api, WEBHOOKS)
    api.put(WEBHOOKS, {"webhooks": [], "metadata": {"labels": INSTANCE}, **changes})
    api.requests.clear()
    with pytest.raises(UsageError, match="MutatingWebhookConfiguration full belongs to"):
        run(settings)
    assert unchanged(api)


@pytest.mark.parametrize("webhook", [excluding(RELEASE.namespace), {"clientConfig": {"url": "https://x"}}])
def test_its_own_webhooks_are_known_without_helm(
    api: FakeApiServer, settings: CleanupSettings, webhook: dict[str, Any]
) -> None:
    delete(api, WEBHOOKS)
    api.put(WEBHOOKS, {"webhooks": [webhook], "metadata": {"labels": INSTANCE}})
    assert left_by(settings) == []


def test_copies_made_from_another_namespace_end_it(api: FakeApiServer, settings: CleanupSettings) -> None:
    for path in (WEBHOOKS, ACCOUNT, LEASE):
        delete(api, path)
    theirs = {**OURS, "pullsecrets.webhook/release-namespace": "elsewhere"}
    api.put(secret_path("a"), {"type": COPY_TYPE, "data": {}, "metadata": {"labels": theirs}})
    with pytest.raises(UsageError, match="give --release-namespace elsewhere"):
        run(settings)
    assert unchanged(api)


def test_a_lease_of_somebody_unknown_ends_it(api: FakeApiServer, settings: CleanupSettings) -> None:
    for path in (WEBHOOKS, ACCOUNT, secret_path("a")):
        delete(api, path)
    with pytest.raises(UsageError, match="Lease psw-system/full-sync is not known to belong"):
        run(settings)
    assert unchanged(api)


def test_references_that_nothing_shows_to_be_ours_end_it(api: FakeApiServer, settings: CleanupSettings) -> None:
    for path in (WEBHOOKS, ACCOUNT, LEASE, secret_path("a")):
        delete(api, path)
    with pytest.raises(UsageError, match="nothing shows that release"):
        run(settings)
    assert unchanged(api)


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_release_without_any_object_is_an_error_unless_that_is_wanted(
    api: FakeApiServer, settings: CleanupSettings, dry_run: bool
) -> None:
    for path in (WEBHOOKS, ACCOUNT, LEASE, secret_path("a"), "/api/v1/namespaces/a/serviceaccounts/default"):
        delete(api, path)
    api.requests.clear()
    settings = replace(settings, dry_run=dry_run)
    with pytest.raises(UsageError, match=r"no copy of it\. Nothing was changed\. Find the release by \"helm list"):
        run(settings)
    assert left_by(replace(settings, ignore_not_found=True)) == []
    assert unchanged(api)


def test_references_that_may_be_ours_are_an_error_in_any_case(api: FakeApiServer, settings: CleanupSettings) -> None:
    for path in (WEBHOOKS, ACCOUNT, LEASE, secret_path("a")):
        delete(api, path)
    with pytest.raises(UsageError, match="References that it may have made: ServiceAccount a/default"):
        run(replace(settings, ignore_not_found=True))


def test_a_dry_run_lists_all_that_a_run_removes_and_changes_nothing(
    api: FakeApiServer, settings: CleanupSettings
) -> None:
    planned = left_by(replace(settings, dry_run=True))
    assert planned == [
        "MutatingWebhookConfiguration full",
        "Lease psw-system/full-sync: seized until ServiceAccount full-sync is deleted",
        "ServiceAccount a/default: its references to pull",
        "Secret a/pull",
        "Secret psw-system/full-tls",
        "Secret psw-system/full-ca",
    ]
    assert unchanged(api)
    assert left_by(settings) == []
    written = {one.target.name for one in api.seen("patch", "apply", "delete", "create")}
    assert written == {"full", "full-sync", "default", "pull", "full-tls", "full-ca"}


def test_a_dry_run_after_a_run_lists_what_is_still_there(api: FakeApiServer, settings: CleanupSettings) -> None:
    assert left_by(settings) == []
    assert left_by(replace(settings, dry_run=True)) == [
        "Lease psw-system/full-sync: seized until ServiceAccount full-sync is deleted"
    ]
    delete(api, LEASE)
    assert left_by(replace(settings, dry_run=True)) == []


def test_a_lease_without_an_account_is_listed_as_deleted(api: FakeApiServer, settings: CleanupSettings) -> None:
    delete(api, ACCOUNT)
    assert "Lease psw-system/full-sync" in left_by(replace(settings, dry_run=True))


def test_it_asks_once_and_a_no_changes_nothing(api: FakeApiServer, settings: CleanupSettings) -> None:
    asked: list[RemovalReport] = []

    def no(planned: RemovalReport) -> bool:
        asked.append(planned)
        return False

    with pytest.raises(UsageError, match="it was not confirmed, so nothing was changed"):
        run(replace(settings, confirm=no))
    assert (len(asked), unchanged(api)) == (1, True)
