"""``pullsecrets check``: an item that could not be looked at is never in order, and each sentence fits its state."""

from __future__ import annotations

import io
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from certs.authority import issue_authority, issue_leaf
from tests.unit.fake_apiserver.faults import Answer
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.inspect.test_release import CONFIGURATIONS, DOCUMENT, INSTANCE, put_release
from tests.unit.inspect.test_selection import OPTED_IN, put_namespace
from tests.unit.inspect.test_usage import put_secret
from webhook.cli.paragraphs import write_paragraphs
from webhook.errors import UsageError
from webhook.files.values import CHART
from webhook.inspect.checks import sources
from webhook.inspect.checks.before import check_before
from webhook.inspect.checks.result import CheckResult, finding, note
from webhook.inspect.checks.run import check
from webhook.inspect.explain_input import reach_of, registration_of
from webhook.inspect.reader import Reader
from webhook.inspect.release import ReleaseQuery, find_release
from webhook.inspect.rotation import request_renewal
from webhook.kube.client import Client
from webhook.kube.webhook_configuration import ClientConfig
from webhook.registries.login import Login, LoginResult, Registries
from webhook.report.explain.registration import Reachability
from webhook.report.protocol import Severity
from webhook.rules.brake import digest
from webhook.rules.credential import Credential
from webhook.rules.dockerconfig import render
from webhook.rules.ownership import FIELD_MANAGER, copy_labels
from webhook.rules.state_document import HELD_KEY, STATE_TYPE, LastGood, encode, encode_held
from webhook.rules.versions import SourceVersion

CONTENT = render({"r.io": Credential("robot", "p")}).decode()
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
HOME = "/api/v1/namespaces/pull-secrets"
NOW = datetime.now(UTC)
AUTHORITY = issue_authority(NOW, timedelta(days=1))
LEAF = issue_leaf(AUTHORITY, ["psw-webhook.pull-secrets.svc"], NOW, timedelta(days=1))
UNREAD = "get secrets/harbor in namespace pull-secrets"
UNLISTED = "list secrets named registry across namespaces"
UNREGISTERED = "the API server calls no webhook of MutatingWebhookConfiguration psw (PSW010)"
EVERYWHERE = "list serviceaccounts across namespaces"


@pytest.fixture(autouse=True)
def _release(api: FakeApiServer) -> None:
    allowed = Answer(201, b'{"status": {"allowed": true}}')
    api.inject(allowed, "create", plural="subjectaccessreviews", times=None)
    put_release(api, "psw", "pull-secrets")
    put_namespace(api, "team")
    put_secret(api, "pull-secrets", "harbor", CONTENT)
    pair = {"tls.crt": LEAF.certificate_pem, "tls.key": LEAF.private_key_pem}
    data = {key: b64encode(value).decode() for key, value in pair.items()}
    api.put(f"{HOME}/secrets/psw-tls", {"type": "kubernetes.io/tls", "data": data})


SOURCE_OF_NAMESPACES = (
    "name: zot, registry: zot.io, username: u, audience: zot, serviceAccountName: puller, perNamespace: true"
)
WITH_TOKENS = DOCUMENT.replace(
    "{secretName: harbor}", f"{{secretName: harbor}}, {{serviceAccountToken: {{{SOURCE_OF_NAMESPACES}}}}}"
)


def put_state(api: FakeApiServer, **state: Any) -> None:  # noqa: ANN401 - of a Secret
    labels = {"labels": copy_labels("psw", "pull-secrets", "uid")}
    api.put(f"{HOME}/secrets/psw-state", {"metadata": labels, "type": STATE_TYPE, **state})


def refuse(api: FakeApiServer, verb: str, plural: str, name: str = "") -> None:
    what = f'{plural} "{name}" is forbidden: User "x" cannot {verb} resource "{plural}" in API group ""'
    status = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 403, "message": what}
    api.inject(Answer(403, json.dumps(status).encode()), verb, plural=plural, name=name, times=None)


def looked(client: Client, *codes: str) -> dict[str, list[CheckResult]]:
    """Return the outcomes of some codes, or of all."""
    found: dict[str, list[CheckResult]] = {}
    for each in check(Reader(client), ReleaseQuery()).outcomes:
        if not codes or each.code in codes:
            found.setdefault(each.code, []).append(each)
    return found


def lacking(client: Client, right: str) -> set[str]:
    """Return the codes that are unknown without a right, having seen that each says so."""
    outcomes = [each for found in looked(client).values() for each in found if each.lacks == right]
    assert {each.severity for each in outcomes} <= {Severity.UNKNOWN}
    assert {each.detail for each in outcomes} <= {f"you lack the right to {right}"}
    return {each.code for each in outcomes}


def only(client: Client, code: str) -> CheckResult:
    (found,) = looked(client, code)[code]
    return found


def test_a_source_that_must_not_be_read_is_not_in_order(api: FakeApiServer, client: Client) -> None:
    assert lacking(client, UNREAD) == set()
    refuse(api, "get", "secrets", "harbor")
    codes = {"PSW040", "PSW041", "PSW043", "PSW044", "PSW045", "PSW046", "PSW047", "PSW048", "PSW051"}
    assert lacking(client, UNREAD) == codes


def test_a_login_with_a_source_that_must_not_be_read_was_not_tried(api: FakeApiServer, client: Client) -> None:
    refuse(api, "get", "secrets", "harbor")
    found = check(Reader(client), ReleaseQuery(), (sources.logins(Registries()),)).outcomes
    assert [each.lacks for each in found if each.code == "PSW042"] == [UNREAD]


def test_many_sources_that_must_not_be_read_are_one_right(api: FakeApiServer, client: Client) -> None:
    names = [f"{{secretName: {name}}}" for name in "abcde"]
    put_release(api, "psw", "pull-secrets", document=DOCUMENT.replace("{secretName: harbor}", ", ".join(names)))
    refuse(api, "get", "secrets")
    right = "get secrets/a, secrets/b, secrets/c and 2 more in namespace pull-secrets"
    assert {each.lacks for each in looked(client, "PSW045")["PSW045"]} == {right}


def test_copies_that_must_not_be_listed_are_not_in_order(api: FakeApiServer, client: Client) -> None:
    assert lacking(client, UNLISTED) == set()
    refuse(api, "list", "secrets")
    assert lacking(client, UNLISTED) == {"PSW050", "PSW051", "PSW052", "PSW054", "PSW056"}


@pytest.mark.parametrize(("namespaces", "right"), [(1, "list serviceaccounts in namespace team"), (9, EVERYWHERE)])
def test_service_accounts_that_must_not_be_listed_are_not_in_order(
    api: FakeApiServer, client: Client, namespaces: int, right: str
) -> None:
    for number in range(1, namespaces):
        put_namespace(api, f"team-{number}")
    assert lacking(client, right) == set()
    refuse(api, "list", "serviceaccounts")
    assert lacking(client, right) == {"PSW053", "PSW054", "PSW055"}


@pytest.mark.parametrize("data", [None, {"tls.crt": "", "tls.key": ""}, {"tls.crt": "eA==", "tls.key": "eA=="}])
def test_without_a_certificate_what_depends_on_it_is_unknown(
    api: FakeApiServer, client: Client, data: dict[str, str] | None
) -> None:
    api.remove(f"{HOME}/secrets/psw-tls")
    if data is not None:
        api.put(f"{HOME}/secrets/psw-tls", {"data": data})
    found = looked(client, "PSW015", "PSW020", "PSW021", "PSW022", "PSW023", "PSW024")
    assert found.pop("PSW020")[0].severity is Severity.FAULT
    message = "Secret pull-secrets/psw-tls has no certificate that can be checked (PSW020)"
    assert {(each.severity, each.detail) for (each,) in found.values()} == {(Severity.UNKNOWN, message)}
    assert len(found) == 5


def test_without_the_registration_what_depends_on_it_is_unknown(api: FakeApiServer, client: Client) -> None:
    api.remove(f"{CONFIGURATIONS}/psw")
    gone = "there is no MutatingWebhookConfiguration psw"
    assert only(client, "PSW010").detail == gone
    for code in ("PSW011", "PSW012", "PSW013", "PSW014"):
        assert (only(client, code).severity, only(client, code).detail) == (Severity.UNKNOWN, f"{gone} (PSW010)")
    for code in ("PSW015", "PSW022", "PSW023"):
        assert (only(client, code).severity, only(client, code).detail) == (Severity.UNKNOWN, UNREGISTERED)
    assert only(client, "PSW021").severity is Severity.OK


def test_a_registration_without_our_webhooks_is_there(api: FakeApiServer, client: Client) -> None:
    api.put(f"{CONFIGURATIONS}/psw", {"webhooks": []})
    details = [each.detail for each in looked(client, "PSW010")["PSW010"]]
    assert details == [
        f"MutatingWebhookConfiguration psw has no webhook {kind}.pullsecrets.webhook"
        for kind in ("pods", "serviceaccounts")
    ]
    assert only(client, "PSW015").detail == UNREGISTERED


def test_a_registration_that_must_not_be_read_is_not_said_to_be_gone(api: FakeApiServer, client: Client) -> None:
    plural = "mutatingwebhookconfigurations"
    labels = {INSTANCE: "psw", "app.kubernetes.io/name": CHART}
    api.put(f"{HOME}/configmaps/psw", {"metadata": {"labels": labels}, "data": {"config.yaml": DOCUMENT}})
    refuse(api, "list", plural)
    refuse(api, "get", plural, "psw")
    for code in ("PSW010", "PSW011", "PSW015", "PSW022"):
        assert only(client, code).severity is Severity.UNKNOWN
        assert f"get {plural}" in only(client, code).lacks


def test_a_secret_in_the_place_of_the_state_tells_nothing_of_holds(api: FakeApiServer, client: Client) -> None:
    api.put(f"{HOME}/secrets/psw-state", {"type": "Opaque"})
    assert looked(client, "PSW044")["PSW044"][0].severity is Severity.FAULT
    for code in ("PSW035", "PSW037"):
        assert only(client, code).severity is Severity.UNKNOWN
        assert only(client, code).detail == "Secret pull-secrets/psw-state has no state of sync (PSW044)"


@pytest.mark.parametrize("present", [True, False])
@pytest.mark.parametrize(
    ("copies", "total", "words"),
    [(1, 1, "1 of 1 copy"), (5, 6, "5 of 6 copies"), (1500, 2000, "1,500 of 2,000 copies")],
)
def test_a_hold_of_an_earlier_configuration_cannot_be_confirmed(
    api: FakeApiServer, client: Client, present: bool, copies: int, total: int, words: str
) -> None:
    name = digest(find_release(Reader(client), ReleaseQuery()).configuration) if present else "earlier"
    put_state(api, data={HELD_KEY: b64encode(encode_held(name, copies, total)).decode()})
    found = only(client, "PSW035")
    assert found.severity is Severity.FAULT
    assert bool(found.command) is present
    expected = f"the configuration would remove {words}, so the removal is held: correct it, or confirm the"
    if not present:
        expected = f"sync holds the removals of an earlier configuration, {words}, and has not stored what it"
    assert found.detail.startswith(expected)


def put_copy(api: FakeApiServer, content: str, namespace: str = "team") -> None:
    uid = (api.read(f"/api/v1/namespaces/{namespace}") or {})["metadata"]["uid"]
    body = {
        "metadata": {"labels": copy_labels("psw", "pull-secrets", uid)},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": b64encode(content.encode()).decode()},
    }
    api.put(f"/api/v1/namespaces/{namespace}/secrets/registry", body, manager=FIELD_MANAGER, operation="Apply")


def test_a_copy_that_is_not_right_is_told_with_what_it_must_be(api: FakeApiServer, client: Client) -> None:
    put_copy(api, "{}")
    wrong = "the copy team/registry is not as it must be now"
    assert only(client, "PSW051").detail == f"{wrong}; it must be made from harbor"
    put_copy(api, CONTENT)
    put_release(api, "psw", "pull-secrets", document=f"{DOCUMENT}    copies: {{labels: {{team: a}}}}\n")
    assert "its labels or annotations differ" in only(client, "PSW051").detail
    refuse(api, "get", "secrets", "harbor")
    assert [each.detail for each in looked(client, "PSW051")["PSW051"]] == [f"you lack the right to {UNREAD}", wrong]


def test_a_copy_without_its_last_good_content_is_told_with_the_cause(api: FakeApiServer, client: Client) -> None:
    content = LastGood(CONTENT.encode(), (SourceVersion("harbor", "u", "1"),), NOW)
    put_state(api, data={"registry": b64encode(encode(content)).decode()})
    put_copy(api, '{"auths": {"r.io": {"username": "robot", "password": "another"}}}')
    api.remove(f"{HOME}/secrets/harbor")
    detail = only(client, "PSW051").detail
    assert detail.startswith("the copy team/registry is not as it must be now; it ")
    assert "the last good copy from" in detail


def test_a_token_without_its_account_is_needed_by_a_copy_that_is_not_there(api: FakeApiServer, client: Client) -> None:
    put_release(api, "psw", "pull-secrets", document=WITH_TOKENS)
    assert only(client, "PSW056").detail == (
        "the copy team/registry needs a token of a ServiceAccount of its namespace, which does not exist"
    )
    refuse(api, "list", "serviceaccounts")
    assert {each.severity for each in looked(client, "PSW056")["PSW056"]} == {Severity.UNKNOWN}


def test_clocks_are_compared_once_and_not_without_an_answer(api: FakeApiServer, client: Client) -> None:
    path = "/api/v1/namespaces/team"
    api.inject(Answer(403), "create", plural="pods", times=None)
    fault = api.inject(Answer(403), "create", plural="serviceaccounts", times=None)
    message = "the clock of the API server was not compared, because no"
    assert (only(client, "PSW063").severity, only(client, "PSW063").detail) == (
        Severity.UNKNOWN,
        f"{message} dry run succeeded (PSW070, PSW071)",
    )
    fault.lifted.set()
    old = b'{"metadata": {"name": "pullsecrets-check", "creationTimestamp": "2020-01-01T00:00:00Z"}}'
    for plural in ("pods", "serviceaccounts"):
        api.inject(Answer(201, old), "create", plural=plural, times=None)
    assert "behind this one" in only(client, "PSW063").detail
    api.put(path, {"metadata": {"labels": dict.fromkeys(OPTED_IN)}})
    assert (only(client, "PSW063").severity, only(client, "PSW063").detail) == (
        Severity.NOTE,
        f"{message} namespace is selected for a dry run",
    )


def test_one_deployment_that_is_not_there_is_a_finding_and_none_is_a_note(api: FakeApiServer, client: Client) -> None:
    place = "/apis/apps/v1/namespaces/pull-secrets/deployments"
    absent = "Deployments psw-sync and psw-webhook do not exist, so no"
    assert only(client, "PSW061") == note("PSW061", f"{absent} replicas were counted")
    assert only(client, "PSW062") == note("PSW062", f"{absent} images were compared")
    body = {"spec": {"replicas": 1}, "status": {"readyReplicas": 1}}
    api.put(f"{place}/psw-webhook", body)
    api.put("/apis/coordination.k8s.io/v1/namespaces/pull-secrets/leases/psw-sync", {"spec": {}})
    absent = "Deployment psw-sync does not exist, so no"
    assert only(client, "PSW061") == finding("PSW061", f"{absent} replicas were counted")
    assert only(client, "PSW062") == note("PSW062", f"{absent} images were compared")
    api.put(f"{place}/psw-sync", body)
    assert only(client, "PSW061").severity is Severity.OK


def test_a_renewal_of_a_secret_that_is_gone_says_only_that(client: Client) -> None:
    message = "Secret pull-secrets/psw-issued-ecr does not exist: sync issues it, or reports why it cannot. Look at"
    with pytest.raises(UsageError, match=re.escape(message)):
        request_renewal(client, "pull-secrets", "psw-issued-ecr")


def test_who_may_look_at_little_gets_a_short_answer(api: FakeApiServer, client: Client) -> None:
    for plural in ("namespaces", "validatingadmissionpolicies", "events", "serviceaccounts"):
        refuse(api, "list", plural)
    for name in ("harbor", "psw-state", "psw-tls"):
        refuse(api, "get", "secrets", name)
    refuse(api, "get", "leases", "psw-sync")
    file = io.StringIO()
    write_paragraphs(check(Reader(client), ReleaseQuery()).paragraphs(), file)
    _, _, text = file.getvalue().partition("rights that you lack\n")
    assert text.count(UNREAD) == 1
    assert len(text.splitlines()) <= 10


def put_url(api: FakeApiServer, url: str) -> None:
    put_release(api, "psw", "pull-secrets", {"url": url, "caBundle": b64encode(AUTHORITY.certificate_pem).decode()})


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://127.0.0.1:99999/mutate", "https://127.0.0.1:99999/mutate is not reached from here"),
        ("https://127.0.0.1:{port}/mutate", "the TLS handshake with {url} failed: WRONG_VERSION_NUMBER"),
    ],
    ids=["a port that does not exist", "no TLS"],
)
def test_a_url_without_a_webhook_is_described_as_it_is(
    api: FakeApiServer, client: Client, url: str, message: str
) -> None:
    place = url.format(port=api.url.rpartition(":")[2])  # the fake API server has no TLS
    put_url(api, place)
    expected = message.format(url=place)
    assert only(client, "PSW023").detail == expected
    installed = find_release(Reader(client), ReleaseQuery())
    registration = registration_of(Reader(client), installed)
    assert registration is not None
    assert registration.reach == Reachability(answers=None, message=expected)


def test_an_unreadable_ca_bundle_is_no_address_that_is_not_reached(client: Client) -> None:
    config = ClientConfig(url="https://127.0.0.1:1/mutate", ca_bundle=b64encode(b"no PEM").decode())
    message = "https://127.0.0.1:1/mutate was not tried, because the caBundle cannot be read"
    assert reach_of(Reader(client), config) == Reachability(answers=None, message=message)


def test_every_right_of_sync_is_checked_and_the_guard_of_the_tokens(api: FakeApiServer, client: Client) -> None:
    put_release(api, "psw", "pull-secrets", document=WITH_TOKENS)
    looked(client)
    reviews = [json.loads(each.body)["spec"] for each in api.seen("create", plural="subjectaccessreviews")]
    asked = [each["resourceAttributes"] for each in reviews if each["user"].endswith(":psw-sync")]
    config_map = {"verb": "get", "group": "", "resource": "configmaps", "namespace": "pull-secrets", "name": "psw"}
    assert config_map in asked
    token = {"verb": "create", "group": "", "resource": "serviceaccounts/token", "namespace": "", "name": "puller"}
    assert token in asked
    for guard in ("events", "leases", "secrets", "serviceaccounts"):
        api.put(f"{POLICIES}/psw-{guard}", {"spec": {"failurePolicy": "Fail"}})
    gone = {each.detail for each in looked(client, "PSW080")["PSW080"]}
    assert "ValidatingAdmissionPolicy psw-tokens is gone" in gone


def test_before_an_installation_an_api_server_that_does_not_answer_is_named(api: FakeApiServer, client: Client) -> None:
    host = client.host
    api.go_away()
    with pytest.raises(UsageError, match=f"^{re.escape(host)}: GET /version: no answer .*: choose another cluster"):
        check_before(Reader(client), "psw", "pull-secrets", "psw")


DENIED = 'admission webhook "validate.example.com" denied the request: no limits'


@pytest.mark.parametrize(("status", "message"), [(400, DENIED), (403, "exceeded quota: small"), (422, "spec: Invalid")])
def test_before_an_installation_every_refusal_of_a_pod_is_a_finding(
    api: FakeApiServer, client: Client, status: int, message: str
) -> None:
    api.inject(Answer(200, b'{"gitVersion": "v1.33.1"}'), "list")
    api.put("/api/v1/namespaces/pull-secrets", {})
    allowed = Answer(201, b'{"status": {"allowed": true}}')
    api.inject(allowed, "create", plural="selfsubjectaccessreviews", times=None)
    body = {"kind": "Status", "status": "Failure", "code": status, "message": message}
    api.inject(Answer(status, json.dumps(body).encode()), "create", plural="pods")
    (found,) = [
        each for each in check_before(Reader(client), "psw", "pull-secrets", "psw").outcomes if each.code == "PSW093"
    ]
    assert found.severity is Severity.FAULT
    assert message in found.detail


def test_the_address_of_each_webhook_is_checked(api: FakeApiServer, client: Client) -> None:
    assert only(client, "PSW022").severity is Severity.OK
    registered = api.read(f"{CONFIGURATIONS}/psw")
    assert registered is not None
    other = {"service": {"namespace": "elsewhere", "name": "other"}}
    second = {**registered["webhooks"][0], "name": "serviceaccounts.pullsecrets.webhook", "clientConfig": other}
    api.put(f"{CONFIGURATIONS}/psw", {**registered, "webhooks": [registered["webhooks"][0], second]})
    assert only(client, "PSW022").detail.startswith("the API server calls other.elsewhere.svc, ")


class Refusing(Registries):
    def pull(self, image: str, credentials: Mapping[str, Credential]) -> LoginResult:
        assert credentials
        return LoginResult(Login.REFUSED, f"the registry refuses {image}")


@pytest.mark.parametrize(
    ("sources_of_entry", "severity"),
    [("{secretName: harbor}", Severity.FAULT), ("{secretName: harbor}, {secretName: unread}", Severity.UNKNOWN)],
)
def test_a_refused_pull_is_no_fault_while_a_source_is_unknown(
    api: FakeApiServer, client: Client, sources_of_entry: str, severity: Severity
) -> None:
    put_release(api, "psw", "pull-secrets", document=DOCUMENT.replace("{secretName: harbor}", sources_of_entry))
    refuse(api, "get", "secrets", "unread")
    looked_up = check(Reader(client), ReleaseQuery(), (sources.pulls(Refusing(), ["r.io/app:1"]),)).outcomes
    (found,) = [each for each in looked_up if each.code == "PSW057"]
    assert found.severity is severity


@pytest.mark.parametrize(
    ("verb", "plural", "name", "codes"),
    [
        ("get", "leases", "psw-sync", {"PSW060"}),
        ("list", "namespaces", "", {"PSW031", "PSW032", "PSW033", "PSW063", "PSW070", "PSW071"}),
    ],
)
def test_a_missing_right_hides_only_what_needs_it(
    api: FakeApiServer, client: Client, verb: str, plural: str, name: str, codes: set[str]
) -> None:
    refuse(api, verb, plural, name)
    found = {each.code for outcomes in looked(client).values() for each in outcomes if each.lacks}
    of_forecast = {"PSW040", "PSW041", *(f"PSW05{number}" for number in range(7))}
    assert found - of_forecast == codes
