"""The table of gates, compared with an independent statement of the rules, and what its readers rely on."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from webhook.report.reasons import CATALOG
from webhook.rules.configuration import Configuration, NameFilter, OptIn, PodPolicy, PullSecret, Reason, Scope
from webhook.rules.gates import (
    BY_REASON,
    GATES,
    MIRROR_ANNOTATION,
    Case,
    Decision,
    decide,
    decide_namespace,
    passed,
    selected_pull_secrets,
)
from webhook.rules.labels import EVERYTHING, Operator, Requirement, Selector
from webhook.rules.objects import Namespace, Subject, declined_names
from webhook.rules.references import References
from webhook.rules.subject import service_account_subject

T = TypeVar("T")

LABEL, VALUE = "pullsecrets.webhook/inject", "enabled"
NAMESPACES = ["team-a", "team-b", "kube-system"]
ACCOUNTS = ["", "default", "builder"]
PATTERNS = st.lists(st.sampled_from(["*", "team-*", "team-a", "default", "b*"]), max_size=2).map(tuple)


FIELDS = (
    *("pull secrets", "namespaceSelector", "include", "exclude", "pods", "limits", "mayDecline"),
    *(
        "scope",
        "excluded",
        "namespace",
        "namespace labels",
        "terminating",
        "declined",
        "labels",
        "annotations",
        "references",
    ),
)
"""Of each example one field has any value and most others let a gate pass, so that the removal of one gate shows."""

SELECTORS = st.sampled_from(
    [
        Selector((Requirement("tier", Operator.IN, ("gold",)),)),
        Selector((Requirement("tier", Operator.DOES_NOT_EXIST, ()),)),
    ]
)
LABELS = st.fixed_dictionaries(
    {}, optional={LABEL: st.sampled_from([VALUE, "disabled", ""]), "tier": st.sampled_from(["gold", "tin"])}
)
IMAGES = st.lists(st.sampled_from(["nginx", "ghcr.io/team/app:1", "ghcr.io/other/app"]), min_size=1).map(tuple)


@st.composite
def cases(draw: st.DrawFn, field: str) -> tuple[Configuration, Namespace, Subject]:
    """Draw a configuration, a namespace, and a Pod or ServiceAccount in it, of which this field has any value."""

    def mostly(name: str, usual: T, others: st.SearchStrategy[T]) -> T:
        return draw(others) if name == field or draw(st.integers(0, 19)) == 19 else usual

    def pull_secret(name: str) -> PullSecret:
        return PullSecret(
            name,
            ("source",),
            namespace_selector=mostly("namespaceSelector", EVERYTHING, SELECTORS),
            service_accounts=NameFilter(mostly("include", ("*",), PATTERNS), mostly("exclude", (), PATTERNS)),
            pods=mostly("pods", PodPolicy.ALWAYS, st.sampled_from(PodPolicy)),
            registries=draw(st.sampled_from([("ghcr.io/team",), ("docker.io",)])),
            limits=mostly("limits", (), st.lists(PATTERNS, min_size=1, max_size=2).map(tuple)),
        )

    names = mostly("pull secrets", ["a"], st.lists(st.sampled_from("abc"), max_size=2, unique=True))
    may_decline = field == "declined" or mostly("mayDecline", False, st.booleans())
    configuration = Configuration(
        tuple(map(pull_secret, names)),
        OptIn(may_decline=may_decline, scope=mostly("scope", Scope.LABELLED, st.sampled_from(Scope))),
        excluded_patterns=mostly("excluded", (), PATTERNS),
    )
    name = mostly("namespace", "team-a", st.sampled_from(NAMESPACES))
    namespace = Namespace(
        name,
        mostly("namespace labels", {LABEL: VALUE}, LABELS),
        terminating=mostly("terminating", False, st.just(True)),
        declined=mostly("declined", frozenset(), st.frozensets(st.sampled_from("abc"))),
    )
    subject = Subject(
        draw(st.sampled_from(["Pod", "ServiceAccount"])),
        draw(st.sampled_from(ACCOUNTS)),
        name,
        labels=mostly("labels", {}, LABELS | st.just({LABEL: "disabled"})),
        annotations=mostly("annotations", {}, st.just({MIRROR_ANNOTATION: ""})),
        references=References(
            present=True, names=mostly("references", (), st.lists(st.sampled_from("abcx")).map(tuple))
        ),
        service_account=draw(st.sampled_from(ACCOUNTS)),
        images=draw(IMAGES),
    )
    return configuration, namespace, subject


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def gets(subject: Subject, configuration: Configuration, namespace: Namespace | None, entry: PullSecret) -> bool:
    """Return whether an object is given one reference: DESIGN's rules as one condition, without an order of gates."""
    labels = {} if namespace is None else namespace.labels
    of_pod = subject.kind == "Pod"
    account = (subject.service_account or "default") if of_pod else subject.name
    included = matches(account, entry.service_accounts.include) and not matches(account, entry.service_accounts.exclude)
    depends = entry.namespace_selector is not EVERYTHING or configuration.opt_in.may_decline
    from_registry = {"ghcr.io/team": "ghcr.io/team/app:1", "docker.io": "nginx"}[entry.registries[0]] in subject.images
    return (
        subject.namespace != "kube-system"
        and not matches(subject.namespace, configuration.excluded_patterns)
        and (namespace is None or not namespace.terminating)
        and (namespace is None or configuration.opt_in.scope is Scope.ALL or labels.get(LABEL) == VALUE)
        and (namespace is None or labels.get(LABEL) != "disabled")
        and subject.labels.get(LABEL) != "disabled"
        and not (of_pod and MIRROR_ANNOTATION in subject.annotations)
        and (namespace is not None or of_pod or not depends)
        and (namespace is None or _selects(entry.namespace_selector, labels))
        and all(matches(subject.namespace, patterns) for patterns in entry.limits)
        and not (namespace is not None and configuration.opt_in.may_decline and entry.name in namespace.declined)
        and included
        and not (of_pod and entry.pods is PodPolicy.NEVER)
        and (not of_pod or entry.pods is not PodPolicy.WHEN_IMAGE_MATCHES or from_registry)
        and entry.name not in subject.references.names
    )


def _selects(selector: Selector, labels: object) -> bool:
    assert isinstance(labels, dict)
    for requirement in selector.requirements:
        if (labels.get("tier") == "gold") if requirement.operator is Operator.IN else ("tier" not in labels):
            continue
        return False
    return True


@pytest.mark.parametrize("field", FIELDS)
@settings(max_examples=80)
@given(st.data(), st.booleans())
def test_the_gates_are_the_rules(field: str, data: st.DataObject, known: bool) -> None:
    configuration, namespace, subject = data.draw(cases(field))
    decision = decide(subject, configuration, seen := namespace if known else None)
    expected = [entry.name for entry in configuration.pull_secrets if gets(subject, configuration, seen, entry)]
    assert list(decision.added) == expected
    assert (decision.reason is Reason.INJECTED) == bool(expected)
    if decision.gates:
        reasons = [reason for _, reason in decision.gates]
        assert decision.reason is (Reason.INJECTED if expected else max(reasons, key=list(Reason).index))


@given(st.sampled_from(FIELDS).flatmap(cases))
def test_a_namespace_has_the_pull_secrets_that_one_of_its_service_accounts_may_get(
    case: tuple[Configuration, Namespace, Subject],
) -> None:
    configuration, namespace, _ = case
    anyone = tuple(
        PullSecret(entry.name, entry.sources, entry.namespace_selector, limits=entry.limits)
        for entry in configuration.pull_secrets
    )
    account = Subject("ServiceAccount", "default", namespace.name, labels={}, annotations={}, references=References())
    decision = decide_namespace(namespace, configuration)
    assert decision.added == decide(account, replace(configuration, pull_secrets=anyone), namespace).added
    assert tuple(entry.name for entry in selected_pull_secrets(configuration, namespace)) == decision.added


def test_the_table_is_in_the_order_of_the_reasons() -> None:
    order = [gate.reason for gate in GATES]
    assert order == sorted(order, key=list(Reason).index)
    assert len(BY_REASON) == len(GATES)


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: str(gate.reason))
def test_each_gate_is_in_the_catalogue_and_has_its_sentences(gate: object) -> None:
    found = next(each for each in GATES if each is gate)
    case = Case(Configuration((PullSecret("a", ("source",)),)), "team-a", None, _account())
    case.entry = case.configuration.pull_secrets[0]
    assert (CATALOG[found.reason].meaning, CATALOG[found.reason].advice) == (found.meaning, found.advice)
    for text in (found.passed(case), found.stopped(case, ("a", "b"))):
        assert text
        assert not text.endswith(".")


def test_the_gates_before_a_reason_were_passed() -> None:
    assert list(passed(GATES, Reason.NAMESPACE_EXCLUDED)) == []
    assert list(passed(GATES, Reason.INJECTED)) == list(GATES)


def _account() -> Subject:
    return Subject("ServiceAccount", "builder", "team-a", labels={}, annotations={}, references=References())


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
    subject = service_account_subject({"imagePullSecrets": value}, "team-a")
    assert (None if subject is None else subject.references) == expected


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


LABEL = "pullsecrets.webhook/inject"
GOLD = Selector((Requirement("tier", Operator.IN, ("gold",)),))
EVERYWHERE = PullSecret("everywhere", ("harbor",))
GOLD_ONLY = PullSecret("gold-only", ("ghcr",), GOLD)
CONFIGURATION = Configuration((EVERYWHERE, GOLD_ONLY)).excluding("pull-secret-webhook")


def namespace(name: str = "team-a", value: str = "enabled", *, terminating: bool = False, **labels: str) -> Namespace:
    return Namespace(name, {LABEL: value, **labels}, terminating)


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        (namespace(), Reason.INJECTED),
        (namespace("kube-system"), Reason.NAMESPACE_EXCLUDED),
        (namespace("pull-secret-webhook"), Reason.NAMESPACE_EXCLUDED),
        (namespace("kube-system", terminating=True), Reason.NAMESPACE_EXCLUDED),
        (namespace(terminating=True), Reason.NAMESPACE_TERMINATING),
        (namespace(value="disabled"), Reason.NAMESPACE_NOT_OPTED_IN),
        (namespace(value="Enabled"), Reason.NAMESPACE_NOT_OPTED_IN),
        (namespace(value=""), Reason.NAMESPACE_NOT_OPTED_IN),
        (Namespace("team-a"), Reason.NAMESPACE_NOT_OPTED_IN),
    ],
)
def test_a_namespace_takes_part_only_when_nothing_stops_it(subject: Namespace, reason: Reason) -> None:
    assert decide_namespace(subject, CONFIGURATION).reason is reason


def test_the_opt_in_label_is_the_configured_one() -> None:
    configuration = Configuration((EVERYWHERE,), OptIn("example.com/registry", "yes"))

    assert decide_namespace(Namespace("a", {"example.com/registry": "yes"}), configuration).reason is Reason.INJECTED
    assert decide_namespace(namespace(), configuration).reason is Reason.NAMESPACE_NOT_OPTED_IN


def test_each_pull_secret_selects_for_itself_and_the_order_is_kept() -> None:
    assert selected_pull_secrets(CONFIGURATION, namespace()) == (EVERYWHERE,)
    assert selected_pull_secrets(CONFIGURATION, namespace(tier="gold")) == (EVERYWHERE, GOLD_ONLY)
    assert selected_pull_secrets(CONFIGURATION, namespace(value="off", tier="gold")) == ()
    assert selected_pull_secrets(CONFIGURATION, namespace(terminating=True)) == ()


@pytest.mark.parametrize(
    ("configuration", "subject", "reason"),
    [
        (CONFIGURATION, namespace(), Reason.INJECTED),
        (CONFIGURATION, namespace("kube-public"), Reason.NAMESPACE_EXCLUDED),
        (Configuration(()), namespace(), Reason.NOTHING_CONFIGURED),
        (Configuration((GOLD_ONLY,)), namespace(), Reason.NAMESPACE_NOT_SELECTED),
    ],
)
def test_a_namespace_as_a_whole_has_one_reason(
    configuration: Configuration, subject: Namespace, reason: Reason
) -> None:
    assert decide_namespace(subject, configuration).reason is reason


LIMITED = PullSecret("limited", ("harbor", "ghcr"), limits=(("team-*",), ("team-a", "team-b")))


@pytest.mark.parametrize(("name", "expected"), [("team-a", True), ("team-c", False), ("a", False), ("team-", False)])
def test_a_pull_secret_goes_where_each_of_its_sources_may(name: str, expected: bool) -> None:
    configuration = Configuration((LIMITED,))
    assert (selected_pull_secrets(configuration, namespace(name)) == (LIMITED,)) is expected
    reason = Reason.INJECTED if expected else Reason.SOURCE_NOT_FOR_NAMESPACE
    assert decide_namespace(namespace(name), configuration).reason is reason


def test_a_namespace_declines_by_name_where_it_may() -> None:
    declining = replace(namespace(tier="gold"), declined=frozenset({"everywhere", "no-such"}))
    assert selected_pull_secrets(CONFIGURATION, declining) == (EVERYWHERE, GOLD_ONLY)
    allowing = replace(CONFIGURATION, opt_in=OptIn(may_decline=True))
    assert selected_pull_secrets(allowing, declining) == (GOLD_ONLY,)
    assert decide_namespace(declining, allowing).reason is Reason.INJECTED
    only = replace(allowing, pull_secrets=(EVERYWHERE,))
    assert decide_namespace(declining, only).reason is Reason.NAMESPACE_DECLINES


@pytest.mark.parametrize(
    ("annotation", "names"),
    [(None, []), ("", []), ("a", ["a"]), (" a ,b,, c\n", ["a", "b", "c"]), ("a b", ["a b"])],
)
def test_the_annotation_names_pull_secrets_separated_by_commas(annotation: str | None, names: list[str]) -> None:
    annotations = {} if annotation is None else {"pullsecrets.webhook/decline": annotation}
    assert declined_names(annotations) == frozenset(names)
