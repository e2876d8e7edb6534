from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from webhook.rules.configuration import Configuration, NameFilter, OptIn, PodPolicy, PullSecret, Reason
from webhook.rules.gates import MIRROR_ANNOTATION, Decision, decide
from webhook.rules.labels import Operator, Requirement, Selector
from webhook.rules.objects import Namespace, References, Subject, read_references

OPTED_IN = {"pullsecrets.webhook/inject": "enabled"}
PLAIN = PullSecret("registry", ("source",))
FOR_TEAM_A = replace(PLAIN, namespace_selector=Selector((Requirement("team", Operator.IN, ("a",)),)))


def pod(**changes: object) -> Subject:
    subject = Subject("Pod", "web", "team-a", labels={}, annotations={}, references=References())
    return msgspec.structs.replace(subject, **changes)


def service_account(**changes: object) -> Subject:
    return pod(**{"kind": "ServiceAccount", "name": "builder", **changes})


def reason(subject: Subject, *pull_secrets: PullSecret, labels: dict[str, str] | None = None) -> Reason:
    namespace = None if labels is None else Namespace(subject.namespace, labels)
    return decide(subject, Configuration(pull_secrets), namespace).reason


def test_a_pod_without_references_gets_each_pull_secret_in_the_order_of_the_configuration() -> None:
    configuration = Configuration((PLAIN, replace(PLAIN, name="other")))
    assert decide(pod(), configuration) == Decision(
        Reason.INJECTED,
        ("registry", "other"),
        (("registry", Reason.INJECTED), ("other", Reason.INJECTED)),
    )


def test_an_object_that_references_everything_stays_as_it_is() -> None:
    subject = pod(references=References(present=True, names=("foreign", "registry")))
    assert decide(subject, Configuration((PLAIN,))) == Decision(
        Reason.ALREADY_PRESENT, (), (("registry", Reason.ALREADY_PRESENT),)
    )


def test_the_reason_of_an_object_is_that_of_the_pull_secret_that_came_closest() -> None:
    never = replace(PLAIN, name="never", pods=PodPolicy.NEVER)
    assert reason(pod(), PLAIN, never) is Reason.INJECTED
    assert reason(pod(references=References(present=True, names=("registry",))), never, PLAIN) is Reason.ALREADY_PRESENT
    assert reason(pod(), never) is Reason.PODS_NEVER


def test_pods_never_does_not_stop_a_service_account() -> None:
    assert reason(service_account(), replace(PLAIN, pods=PodPolicy.NEVER)) is Reason.INJECTED


@pytest.mark.parametrize("subject", [pod(), service_account()])
def test_an_excluded_namespace_is_left_alone(subject: Subject) -> None:
    assert reason(msgspec.structs.replace(subject, namespace="kube-system"), PLAIN) is Reason.NAMESPACE_EXCLUDED


@pytest.mark.parametrize("subject", [pod(), service_account()])
def test_an_object_labelled_disabled_is_left_alone(subject: Subject) -> None:
    labels = {"pullsecrets.webhook/inject": "disabled"}
    assert reason(msgspec.structs.replace(subject, labels=labels), PLAIN) is Reason.OBJECT_DISABLED


def test_a_mirror_pod_is_left_alone_whatever_the_value_of_its_annotation() -> None:
    assert reason(pod(annotations={MIRROR_ANNOTATION: ""}), PLAIN) is Reason.MIRROR_POD


def test_without_pull_secrets_there_is_nothing_to_do() -> None:
    assert reason(pod()) is Reason.NOTHING_CONFIGURED


def test_a_namespace_that_is_known_not_to_have_opted_in_is_left_alone() -> None:
    assert reason(pod(), PLAIN, labels={"pullsecrets.webhook/inject": "no"}) is Reason.NAMESPACE_NOT_OPTED_IN
    assert reason(pod(), PLAIN, labels=OPTED_IN) is Reason.INJECTED


def test_a_namespace_selector_decides_where_labels_are_known() -> None:
    assert reason(pod(), FOR_TEAM_A, labels={**OPTED_IN, "team": "a"}) is Reason.INJECTED
    assert reason(pod(), FOR_TEAM_A, labels={**OPTED_IN, "team": "b"}) is Reason.NAMESPACE_NOT_SELECTED


def test_in_an_unknown_namespace_pods_are_injected_and_service_accounts_left_to_the_backfill() -> None:
    assert reason(pod(), FOR_TEAM_A) is Reason.INJECTED
    assert reason(service_account(), FOR_TEAM_A) is Reason.NAMESPACE_UNKNOWN
    assert reason(service_account(), PLAIN) is Reason.INJECTED


def test_service_account_patterns_apply_to_service_accounts_and_to_the_pods_that_run_as_them() -> None:
    builders = replace(PLAIN, service_accounts=NameFilter(("build*", "default"), ("builder-test",)))
    assert reason(service_account(), builders) is Reason.INJECTED
    assert reason(service_account(name="builder-test"), builders) is Reason.SERVICE_ACCOUNT_NOT_INCLUDED
    assert reason(pod(service_account="builder"), builders) is Reason.INJECTED
    assert reason(pod(service_account="builder-test"), builders) is Reason.SERVICE_ACCOUNT_NOT_INCLUDED


def test_a_pod_that_names_no_service_account_runs_as_default() -> None:
    not_default = replace(PLAIN, service_accounts=NameFilter(exclude=("default",)))
    assert reason(pod(), not_default) is Reason.SERVICE_ACCOUNT_NOT_INCLUDED


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ((), Reason.IMAGE_NOT_MATCHED),
        (("nginx",), Reason.IMAGE_NOT_MATCHED),
        (("ghcr.io/other/app",), Reason.IMAGE_NOT_MATCHED),
        (("not an image",), Reason.IMAGE_NOT_MATCHED),
        (("nginx", "ghcr.io/team/app:1"), Reason.INJECTED),
    ],
)
def test_when_image_matches_one_image_of_a_registry_is_enough(images: tuple[str, ...], expected: Reason) -> None:
    matching = replace(PLAIN, pods=PodPolicy.WHEN_IMAGE_MATCHES, registries=("ghcr.io/team",))
    assert reason(pod(images=images), matching) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, References()),
        ([], References(present=True)),
        ([{"name": "a"}, {"name": "b", "more": 1}], References(present=True, names=("a", "b"))),
        ([{}, {"name": None}, None], References(present=True, names=("", "", ""))),
        ("a", None),
        ({"name": "a"}, None),
        (["a"], None),
        ([{"name": 5}], None),
    ],
)
def test_references_are_read_from_what_the_api_server_would_accept(value: object, expected: References | None) -> None:
    assert read_references(value) == expected


def test_a_source_that_is_not_for_the_namespace_stops_whatever_is_known_of_it() -> None:
    limited = replace(PLAIN, limits=(("team-b", "other-*"),))
    for subject in (pod(), service_account()):
        assert reason(subject, limited) is Reason.SOURCE_NOT_FOR_NAMESPACE
        assert reason(subject, limited, labels=OPTED_IN) is Reason.SOURCE_NOT_FOR_NAMESPACE
        elsewhere = msgspec.structs.replace(subject, namespace="other-1")
        assert reason(elsewhere, limited) is Reason.INJECTED


def test_what_a_namespace_declines_is_not_added_and_the_rest_is() -> None:
    configuration = Configuration((PLAIN, replace(PLAIN, name="other")), OptIn(may_decline=True))
    decision = decide(pod(), configuration, Namespace("team-a", OPTED_IN, declined=frozenset({"registry"})))
    assert (decision.added, dict(decision.gates)["registry"]) == (("other",), Reason.NAMESPACE_DECLINES)
    assert decide(service_account(), configuration).reason is Reason.NAMESPACE_UNKNOWN
