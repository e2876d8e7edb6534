from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from webhook.report.explain.explanation import (
    ExplainInput,
    explain_manifest,
    explain_namespace,
    explain_subject,
    explain_workload,
)
from webhook.report.explain.registration import Hook, Reachability, Registration
from webhook.report.explain.step import RESULTS, Explanation
from webhook.report.preview.cluster_view import ClusterView
from webhook.report.preview.copies import hashes_for
from webhook.report.preview.manifest import Manifest
from webhook.report.preview.secrets import Expected, Sources
from webhook.report.protocol import Severity
from webhook.report.reasons import CATALOG
from webhook.rules.configuration import Configuration, NameFilter, OptIn, PodPolicy, PullSecret, Reason
from webhook.rules.gates import decide
from webhook.rules.labels import Operator, Requirement, Selector
from webhook.rules.objects import Copy, Namespace, NamespaceState, ServiceAccount, Subject
from webhook.rules.ownership import Mark
from webhook.rules.plan import plan_namespace
from webhook.rules.references import References
from webhook.rules.state_document import LastGood
from webhook.rules.versions import SourceVersion

NOW = datetime(2026, 11, 28, 10, tzinfo=UTC)
LABEL = "pullsecrets.webhook/inject"
ENABLED = {LABEL: "enabled"}
PAYMENTS = Selector((Requirement("department", Operator.IN, ("payments",)),))
ONE = PullSecret("registry", ("harbor",))
VENDOR = PullSecret(
    "vendor",
    ("vendor",),
    namespace_selector=PAYMENTS,
    service_accounts=NameFilter(exclude=("ci-*",)),
    pods=PodPolicy.WHEN_IMAGE_MATCHES,
    registries=("vendor.example",),
)
CONFIGURATION = Configuration((ONE, VENDOR)).excluding("pull-secrets")
HOOKS = tuple(
    Hook(f"{plural}.pullsecrets.webhook", frozenset({(plural, "CREATE")})) for plural in ("pods", "serviceaccounts")
)
WELL = Registration("psw", HOOKS, Reachability(answers=True, message="it answers"))


def pod(*names: str, **changes: Any) -> Subject:  # noqa: ANN401 - any field
    fields: dict[str, Any] = {"labels": {}, "annotations": {}, "images": ("registry.example/app:1",), **changes}
    return Subject("Pod", "web", "team-a", references=References(bool(names), names), **fields)


def account(*names: str) -> Subject:
    return Subject("ServiceAccount", "default", "team-a", labels={}, annotations={}, references=References(True, names))


def copy(name: str = "registry", *, ours: bool = True, content: str = "sha256:1") -> Copy:
    return Copy("team-a", name, "u", "1", Mark() if ours else None, content)


def inputs(
    *copies: Copy,
    labels: dict[str, str] | None = None,
    accounts: Sequence[ServiceAccount] = (),
    configuration: Configuration = CONFIGURATION,
    registration: Registration | None = WELL,
    expected: dict[str, Expected] | None = None,
    **more: Any,  # noqa: ANN401 - of ExplainInput
) -> ExplainInput:
    """Return team-a as it is in a cluster where sources are as the copies are, unless it is said otherwise."""
    wanted = {entry.name: Expected("sha256:1") for entry in configuration.pull_secrets} | (expected or {})
    namespace = Namespace("team-a", ENABLED if labels is None else labels, **more.pop("namespace", {}))
    state = NamespaceState(namespace, {each.name: each for each in copies}, accounts)
    plan = plan_namespace(state, configuration, hashes_for(wanted, state))
    cluster = ClusterView(configuration, "pull-secrets", {"team-a": state}, {"team-a": plan}, wanted, Sources(), {})
    return ExplainInput(cluster, NOW, exists=True, registration=registration, **more)


def verdicts(explanation: Explanation) -> list[tuple[str, str, str, str]]:
    return [(step.pull_secret, step.gate, RESULTS[step.severity], step.reason) for step in explanation.steps]


def stopped(explanation: Explanation) -> tuple[str, str] | None:
    return None if explanation.stop is None else (explanation.stop.gate, explanation.stop.reason)


def test_a_pod_that_has_what_it_should_passes_every_gate_in_order() -> None:
    found = explain_subject(inputs(copy(), registries={"registry": {"registry.example"}}), pod("registry"))

    assert verdicts(found) == [
        ("", "webhook registered", "PASS", ""),
        ("", "webhook reachable", "PASS", ""),
        ("", "kind and operation", "PASS", ""),
        ("", "namespace excluded", "PASS", ""),
        ("", "namespace terminating", "PASS", ""),
        ("", "opt-in label", "PASS", ""),
        ("", "object label", "PASS", ""),
        ("", "mirror Pod", "PASS", ""),
        ("", "configuration", "PASS", ""),
        ("", "webhook asked", "PASS", ""),
        ("registry", "namespaceSelector", "PASS", ""),
        ("registry", "pods", "PASS", ""),
        ("registry", "serviceAccounts", "PASS", ""),
        ("registry", "image", "PASS", ""),
        ("registry", "reference", "PASS", "already-present"),
        ("registry", "copy", "PASS", "copy-current"),
        ("vendor", "namespaceSelector", "SKIP", "namespace-not-selected"),
        ("", "images", "PASS", ""),
    ]
    assert found.stop is None


@pytest.mark.parametrize(
    ("where", "subject", "expected"),
    [
        (inputs(labels={}), pod(), ("opt-in label", "namespace-not-opted-in")),
        (inputs(namespace={"terminating": True}), pod(), ("namespace terminating", "namespace-terminating")),
        (inputs(), pod(labels={LABEL: "disabled"}), ("object label", "object-disabled")),
        (inputs(), pod(annotations={"kubernetes.io/config.mirror": "x"}), ("mirror Pod", "mirror-pod")),
        (inputs(configuration=Configuration(())), pod(), ("configuration", "nothing-configured")),
        (inputs(copy()), pod(), ("reference", "pod-without-reference")),
        (inputs(copy()), account(), ("reference", "reference-due")),
        (inputs(), pod("registry"), ("copy", "copy-due")),
        (inputs(copy(content="sha256:0")), pod("registry"), ("copy", "copy-due")),
        (inputs(copy(ours=False)), pod("registry"), ("copy", "copy-conflict")),
        (
            inputs(expected={"registry": Expected(problem='source Secret "harbor" does not exist')}),
            pod("registry"),
            ("copy", "source-unavailable"),
        ),
        (
            inputs(copy(), registries={"registry": {"other.example"}}),
            pod("registry"),
            ("images", "registry-not-covered"),
        ),
        (
            inputs(configuration=Configuration((VENDOR,)), labels={**ENABLED, "department": "payments"}),
            pod(service_account="ci-build"),
            ("serviceAccounts", "service-account-not-included"),
        ),
        (
            inputs(configuration=Configuration((VENDOR,)), labels={**ENABLED, "department": "payments"}),
            pod(),
            ("image", "image-not-matched"),
        ),
        (
            inputs(configuration=Configuration((PullSecret("registry", ("harbor",), pods=PodPolicy.NEVER),))),
            pod(),
            ("pods", "pods-never"),
        ),
        (
            inputs(copy(), registration=Registration("psw", (), Reachability(answers=None, message=""))),
            pod("registry"),
            ("webhook registered", "webhook-not-registered"),
        ),
        (
            inputs(copy(), registration=Registration("psw", HOOKS, Reachability(answers=False, message="nobody"))),
            pod("registry"),
            ("webhook reachable", "webhook-unreachable"),
        ),
        (
            inputs(
                copy(),
                registration=Registration(
                    "psw",
                    (Hook("pods", frozenset({("pods", "CREATE")}), namespace_selector=PAYMENTS),),
                    Reachability(answers=True, message=""),
                ),
            ),
            pod("registry"),
            ("webhook asked", "webhook-not-asked"),
        ),
        (
            inputs(
                copy(),
                registration=Registration(
                    "psw",
                    (Hook("pods", frozenset({("pods", "CREATE")}), has_ca_bundle=False),),
                    Reachability(answers=True, message=""),
                ),
            ),
            pod("registry"),
            ("webhook reachable", "webhook-unreachable"),
        ),
    ],
)
def test_what_is_in_the_way_is_named_with_its_reason_and_a_way_out(
    where: ExplainInput, subject: Subject, expected: tuple[str, str]
) -> None:
    found = explain_subject(where, subject)
    assert stopped(found) == expected
    assert found.stop is not None
    assert found.stop.advice


def test_what_cannot_be_told_is_neither_pass_nor_stop() -> None:
    unreached = Registration("psw", HOOKS, Reachability(answers=None, message="not reached from here"))
    found = explain_subject(inputs(copy(), registration=unreached), pod("registry"))
    assert ("", "webhook reachable", "?", "webhook-not-seen") in verdicts(found)
    assert found.stop is None


def test_one_image_without_a_credential_may_be_public() -> None:
    where = inputs(copy(), registries={"registry": {"registry.example"}})
    found = explain_subject(where, pod("registry", images=("registry.example/app", "nginx")))
    assert verdicts(found)[-1] == ("", "images", "?", "registry-not-covered")
    assert found.steps[-1].message == "registry has no credential for nginx; it has registry.example"
    assert found.stop is None


def test_a_namespace_is_explained_with_its_copies_and_service_accounts() -> None:
    lacking = ServiceAccount("team-a", "builder", "1", {}, References())
    found = explain_namespace(inputs(copy(), accounts=[lacking]), "team-a")
    assert [row for row in verdicts(found) if row[0]] == [
        ("registry", "namespaceSelector", "PASS", ""),
        ("registry", "copy", "PASS", "copy-current"),
        ("registry", "ServiceAccounts", "STOP", "reference-due"),
        ("vendor", "namespaceSelector", "SKIP", "namespace-not-selected"),
    ]
    assert stopped(found) == ("ServiceAccounts", "reference-due")


@pytest.mark.parametrize(
    ("title", "pods", "expected"),
    [
        ("Deployment/web", [], ["no Pod runs"]),
        ("Deployment/web", [pod("registry")], ["1 Pod has each reference"]),
        ("Deployment/web", [pod("registry"), replace(pod(), name="old")], ["1 Pod lacks the reference to registry"]),
        ("Deployment/web", None, ["you lack the right to list them"]),
        ("CronJob/web", [], []),
    ],
)
def test_the_running_pods_of_a_workload_are_told_if_it_selects_them(
    title: str, pods: list[Subject] | None, expected: list[str]
) -> None:
    found = explain_workload(inputs(copy()), pod("registry"), title, pods)
    assert [step.message for step in found.steps if step.gate == "running Pods"] == expected


def test_a_source_for_other_namespaces_and_what_the_namespace_declines_are_gates_of_their_own() -> None:
    limited = replace(ONE, limits=(("team-b",),))
    unwanted = PullSecret("unwanted", ("harbor",), limits=(("team-*",),))
    where = inputs(
        configuration=Configuration((limited, unwanted), OptIn(may_decline=True)),
        namespace={"declined": frozenset({"unwanted"})},
    )
    of_pull_secrets = [
        ("registry", "namespaceSelector", "PASS", ""),
        ("registry", "source's namespaces", "SKIP", "source-not-for-namespace"),
        ("unwanted", "namespaceSelector", "PASS", ""),
        ("unwanted", "source's namespaces", "PASS", ""),
        ("unwanted", "declined", "SKIP", "namespace-declines"),
    ]
    for found in (explain_namespace(where, "team-a"), explain_subject(where, pod())):
        assert [row for row in verdicts(found) if row[0]] == of_pull_secrets


def test_a_service_account_that_may_not_be_given_what_its_pods_get_is_named() -> None:
    enforcing = ServiceAccount("team-a", "builder", "1", {LABEL: "disabled"}, References(), enforces=True)
    found = explain_namespace(inputs(copy(), accounts=[enforcing]), "team-a")
    assert ("registry", "ServiceAccounts", "STOP", "reference-required") in verdicts(found)


def test_the_namespace_of_the_release_is_excluded() -> None:
    where = inputs(configuration=CONFIGURATION.excluding("team-a"))
    assert stopped(explain_namespace(where, "team-a")) == ("namespace excluded", "namespace-excluded")


# From files


def manifest(kind: str, name: str, namespace: str = "team-a", **body: Any) -> Manifest:  # noqa: ANN401 - any JSON
    metadata = {"name": name, **body.pop("metadata", {})}
    return Manifest("v1", kind, namespace, name, {"metadata": metadata, **body}, "a.yaml")


def source() -> Manifest:
    config = {"auths": {"registry.example": {"username": "u", "password": "p"}}}
    data = {".dockerconfigjson": b64encode(json.dumps(config).encode()).decode()}
    return manifest("Secret", "harbor", "pull-secrets", type="kubernetes.io/dockerconfigjson", data=data)


TEAM = manifest("Namespace", "team-a", metadata={"labels": ENABLED})
WEB = manifest("Pod", "web", spec={"containers": [{"image": "registry.example/app"}]})


def from_files(target: str, *manifests: Manifest) -> Explanation | None:
    kind, _, name = target.partition("/")
    return explain_manifest(manifests, CONFIGURATION, "pull-secrets", kind, name, "team-a", NOW)


def test_an_object_of_a_file_is_explained_as_if_it_were_created_now() -> None:
    found = from_files("Pod/web", TEAM, WEB, source())
    assert found is not None
    assert verdicts(found)[-4:] == [
        ("registry", "reference", "PASS", "injected"),
        ("registry", "copy", "PASS", "copy-due"),
        ("vendor", "namespaceSelector", "SKIP", "namespace-not-selected"),
        ("", "images", "PASS", ""),
    ]


def test_without_its_namespace_nothing_is_said_about_labels() -> None:
    found = from_files("Pod/web", WEB)
    assert found is not None
    assert [row[1:] for row in verdicts(found)] == [
        ("kind and operation", "PASS", ""),
        ("namespace excluded", "PASS", ""),
        ("object label", "PASS", ""),
        ("mirror Pod", "PASS", ""),
        ("configuration", "PASS", ""),
        ("namespace", "?", "namespace-unknown"),
    ]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("Service/web", ("kind", "resource-ignored")),
        ("Pod/broken", ("readable", "object-unreadable")),
        ("Namespace/broken", ("readable", "object-unreadable")),
    ],
)
def test_what_nothing_is_done_about_is_said_too(target: str, expected: tuple[str, str]) -> None:
    broken = manifest("Namespace", "broken", "broken", metadata={"labels": {LABEL: True}})
    found = from_files(target, TEAM, manifest("Service", "web"), manifest("Pod", "broken", spec=3), broken)
    assert found is not None
    assert stopped(found) == expected


def test_a_service_account_of_a_file_that_enforces_and_opts_out_is_found() -> None:
    enforcing = manifest(
        "ServiceAccount",
        "builder",
        metadata={
            "labels": {LABEL: "disabled"},
            "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"},
        },
    )
    found = from_files("Namespace/team-a", TEAM, enforcing, source())
    assert found is not None
    assert ("registry", "ServiceAccounts", "STOP", "reference-required") in verdicts(found)


def test_what_is_not_there_is_none() -> None:
    assert from_files("Pod/other", TEAM, WEB) is None


# Not a second implementation

LABELS = st.sampled_from([{}, {LABEL: "disabled"}])


def _subject(fields: Any) -> Subject:  # noqa: ANN401 - any field
    return Subject(**fields)


SUBJECTS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["Pod", "ServiceAccount"]),
        "name": st.sampled_from(["default", "ci-build"]),
        "namespace": st.sampled_from(["team-a", "kube-system"]),
        "labels": LABELS,
        "annotations": st.sampled_from([{}, {"kubernetes.io/config.mirror": "x"}]),
        "references": st.sampled_from([References(), References(True, ("registry",)), References(True, ("vendor",))]),
        "service_account": st.sampled_from(["", "ci-build"]),
        "images": st.sampled_from([(), ("vendor.example/app",), ("nginx",)]),
    }
).map(_subject)
NAMESPACE_LABELS = st.sampled_from([{}, ENABLED, {**ENABLED, "department": "payments"}])
PULL_SECRETS = st.lists(
    st.sampled_from([ONE, VENDOR, PullSecret("never", ("x",), pods=PodPolicy.NEVER)]),
    unique_by=lambda entry: entry.name,
)


@given(SUBJECTS, NAMESPACE_LABELS, PULL_SECRETS)
def test_the_steps_are_those_of_the_decision(
    subject: Subject, labels: dict[str, str], pull_secrets: list[PullSecret]
) -> None:
    configuration = Configuration(tuple(pull_secrets))
    decision = decide(subject, configuration, Namespace(subject.namespace, labels))
    state = NamespaceState(Namespace(subject.namespace, labels))
    wanted = {entry.name: Expected("sha256:1") for entry in pull_secrets}
    plan = plan_namespace(state, configuration, {})
    states, plans = {subject.namespace: state}, {subject.namespace: plan}
    found = explain_subject(
        ExplainInput(ClusterView(configuration, "x", states, plans, wanted, Sources(), {}), NOW), subject
    )

    of_object = [step for step in found.steps if not step.pull_secret]
    if not decision.gates:
        assert of_object[-1].reason == decision.reason
        assert [step.severity for step in of_object] == [Severity.OK] * (len(of_object) - 1) + [Severity.SKIPPED]
    for name, reason in decision.gates:
        reasons = [step.reason for step in found.steps if step.pull_secret == name and step.gate != "copy"]
        assert reasons[-1] == reason
        assert not any(reasons[:-1])
        referenced = reason in (Reason.ALREADY_PRESENT, Reason.INJECTED)
        assert referenced == any(step.gate == "reference" for step in found.steps if step.pull_secret == name)
    assert all(step.reason in CATALOG for step in found.steps if step.reason)
    assert all(step.command for step in found.steps if step.severity is not Severity.OK)


def test_a_namespace_without_any_reference_does_not_pass_because_nothing_is_planned() -> None:
    missing = {"registry": Expected(None, "the source is missing")}
    lacking = [ServiceAccount("team-a", name, "1", {}, References()) for name in ("default", "builder")]
    found = explain_namespace(inputs(accounts=lacking, expected=missing), "team-a")
    step = next(each for each in found.steps if each.gate == "ServiceAccounts")
    assert (step.severity, step.reason) == (Severity.FAULT, "reference-due")
    assert step.message == "default and builder lack it, and there is no copy to reference"
    assert "within seconds" not in step.advice


def test_a_reference_to_an_outdated_copy_does_not_wait_for_a_copy() -> None:
    last_good = LastGood(b"{}", (SourceVersion("harbor", "u", "1"),), NOW)
    outdated = {"registry": Expected(problem="it is malformed", last_good=last_good, last_good_hash="sha256:2")}
    lacking = [ServiceAccount("team-a", "default", "1", {}, References())]
    where = inputs(copy(), accounts=lacking, expected=outdated)
    steps = [*explain_namespace(where, "team-a").steps, *explain_subject(where, account()).steps]
    assert next(step.reason for step in steps if step.gate == "copy") == "copy-outdated"
    due = [step for step in steps if step.reason == "reference-due"]
    assert [step.gate for step in due] == ["ServiceAccounts", "reference"]
    assert all(step.awaits_sync and "no copy" not in step.message for step in due)


def test_service_accounts_that_were_not_read_are_not_said_to_be_in_order() -> None:
    found = explain_namespace(inputs(copy(), can_list_accounts=False), "team-a")
    step = next(each for each in found.steps if each.gate == "ServiceAccounts")
    assert step.severity is Severity.UNKNOWN


def test_a_namespace_whose_service_accounts_are_all_excluded_says_so() -> None:
    found = explain_namespace(inputs(copy()), "team-a")
    step = next(each for each in found.steps if each.gate == "ServiceAccounts")
    assert (step.severity, step.message) == (Severity.OK, "the namespace has none that is included")
