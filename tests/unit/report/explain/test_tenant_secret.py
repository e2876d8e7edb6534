"""The step about a Secret that belongs to its namespace, in each of its states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.report.explain.test_explanation import ENABLED, NOW, account, copy, pod, stopped
from webhook.report.explain.explanation import ExplainInput, explain_namespace, explain_subject
from webhook.report.explain.secret_and_references import TenantSecret, tenant_step
from webhook.report.explain.step import Explanation, Step
from webhook.report.preview.cluster import Forecaster
from webhook.report.preview.cluster_view import ClusterView
from webhook.report.preview.copies import hashes_for
from webhook.report.preview.row import Effect
from webhook.report.preview.secrets import Expected, Sources
from webhook.report.protocol import Severity
from webhook.report.reasons import CATALOG
from webhook.rules.configuration import Configuration, PullSecret
from webhook.rules.keyring import SecretState
from webhook.rules.managed_fields import ListOwnership
from webhook.rules.objects import Copy, Namespace, NamespaceState, ServiceAccount
from webhook.rules.plan import plan_namespace
from webhook.rules.references import References

BOTH = Configuration((PullSecret("registry", ("harbor",)), PullSecret("own", (), tenant_owned=True)))
REGISTRIES = frozenset({"registry.example"})
THERE = TenantSecret(SecretState.READ, REGISTRIES)
EXPECTED = {"registry": Expected("sha256:1")}


def state(*copies: Copy, labels: Mapping[str, str] = ENABLED, references: tuple[str, ...] = ()) -> NamespaceState:
    lists = References(bool(references), references)
    accounts = (ServiceAccount("team-a", "default", "1", {}, lists, ownership=ListOwnership(ours=0)),)
    return NamespaceState(Namespace("team-a", labels), {each.name: each for each in copies}, accounts)


def inputs(secret: TenantSecret | None, configuration: Configuration = BOTH, **more: Any) -> ExplainInput:  # noqa: ANN401
    found = state(copy(), references=("registry", "own"))
    plan = plan_namespace(found, configuration, hashes_for(EXPECTED, found))
    cluster = ClusterView(configuration, "pull-secrets", {"team-a": found}, {"team-a": plan}, EXPECTED, Sources(), {})
    tenants = {} if secret is None else {"own": secret}
    known = {"own": secret.registries} if secret is not None and secret.helps else {}
    registries = {"registry": {"other.example"}, **known}
    return ExplainInput(cluster, NOW, exists=True, registries=registries, tenants=tenants, **more)


def step(explanation: Explanation, gate: str) -> Step:
    (found,) = [each for each in explanation.steps if each.gate == gate and each.pull_secret in ("own", "")]
    return found


@pytest.mark.parametrize(
    ("secret", "severity", "reason", "words", "command"),
    [
        (None, Severity.OK, "", "sync never reads it", ""),
        (THERE, Severity.OK, "", "it exists, with credentials for registry.example", ""),
        (
            TenantSecret(SecretState.READ, REGISTRIES, is_copy=True),
            Severity.OK,
            "",
            "it exists as an older copy, which is not updated",
            "",
        ),
        (
            TenantSecret(SecretState.ABSENT),
            Severity.NOTE,
            "tenant-secret-absent",
            "it does not exist",
            "kubectl -n team-a create secret docker-registry own ",
        ),
        (
            TenantSecret(SecretState.UNREAD),
            Severity.UNKNOWN,
            "tenant-secret-not-seen",
            "you lack the right to get it",
            "kubectl auth can-i get secrets/own -n team-a",
        ),
        (
            TenantSecret(SecretState.MALFORMED, problem="it is broken", command="kubectl fix"),
            Severity.FAULT,
            "tenant-secret-unusable",
            "it is broken",
            "kubectl fix",
        ),
    ],
)
def test_each_state_has_its_sentence_and_its_command(
    secret: TenantSecret | None, severity: Severity, reason: str, words: str, command: str
) -> None:
    found = tenant_step("team-a", "own", secret)
    assert (found.severity, found.reason) == (severity, reason)
    assert found.message.startswith("Secret own belongs to the namespace")
    assert words in found.message
    assert found.command.startswith(command)
    assert not reason or reason in CATALOG
    assert step(explain_namespace(inputs(secret), "team-a"), "Secret") == found


def test_a_pod_needs_the_reference_only_if_the_secret_has_a_credential() -> None:
    lacking = pod("registry")
    assert stopped(explain_subject(inputs(THERE), lacking)) == ("reference", "pod-without-reference")
    absent = explain_subject(inputs(TenantSecret(SecretState.ABSENT)), lacking)
    assert step(absent, "images").severity is Severity.FAULT
    assert [each.severity for each in absent.steps if each.gate == "reference"] == [Severity.OK, Severity.OK]
    # A ServiceAccount gets it from sync in any case.
    found = explain_subject(inputs(TenantSecret(SecretState.ABSENT)), account("registry"))
    assert stopped(found) == ("reference", "reference-due")


def test_images_are_not_said_to_be_without_a_credential_while_a_secret_is_unread() -> None:
    both = pod("registry", "own")
    assert step(explain_subject(inputs(THERE), both), "images").severity is Severity.OK
    for unread in (None, TenantSecret(SecretState.UNREAD)):
        assert step(explain_subject(inputs(unread), both), "images").severity is Severity.UNKNOWN
    assert step(explain_subject(inputs(TenantSecret(SecretState.ABSENT)), both), "images").severity is Severity.FAULT


def test_a_preview_has_no_copy_of_it_and_recreates_no_pod_for_it() -> None:
    forecaster = Forecaster(BOTH, EXPECTED)
    rows = list(forecaster.of_namespace(state(copy(), references=("registry",))))
    assert [(row.title, row.effect, row.added) for row in rows[1:]] == [
        ("Secret/registry", Effect.NONE, ()),
        ("ServiceAccount/default", Effect.REFERENCES, ("own",)),
    ]
    row = forecaster.of_pod(pod("registry"), Namespace("team-a", ENABLED))
    assert (row.effect, row.added, row.message) == (Effect.NONE, (), "own is due here and not yet referenced")

    left = list(forecaster.of_namespace(state(labels={}, references=("own",))))
    assert [(row.removed, row.message) for row in left[1:]] == [(("own",), "own is not due any more")]
    retired = Forecaster(Configuration((BOTH.pull_secrets[1],), retired=("own",)), {})
    (deleted,) = [row for row in retired.of_namespace(state(copy("own"), references=("own",))) if row.is_copy]
    assert (deleted.effect, "references to its name stay" in deleted.message) == (Effect.DELETE, True)
