"""The table of gates, compared with an independent statement of the rules, and what its readers rely on."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.report.reasons import CATALOG
from webhook.rules.configuration import Configuration, NameFilter, OptIn, PodPolicy, PullSecret, Reason
from webhook.rules.gates import (
    BY_REASON,
    GATES,
    MIRROR_ANNOTATION,
    Case,
    decide,
    decide_namespace,
    passed,
    selected_pull_secrets,
)
from webhook.rules.labels import EVERYTHING, Operator, Requirement, Selector
from webhook.rules.objects import Namespace, References, Subject

LABEL, VALUE = "pullsecrets.webhook/inject", "enabled"
NAMESPACES = ["team-a", "team-b", "kube-system"]
ACCOUNTS = ["", "default", "builder"]
PATTERNS = st.lists(st.sampled_from(["*", "team-*", "team-a", "default", "b*"]), max_size=2).map(tuple)
SELECTORS = st.sampled_from(
    [
        EVERYTHING,
        Selector((Requirement("tier", Operator.IN, ("gold",)),)),
        Selector((Requirement("tier", Operator.DOES_NOT_EXIST, ()),)),
    ]
)


@st.composite
def pull_secrets(draw: st.DrawFn) -> tuple[PullSecret, ...]:
    """Draw up to three pull secrets with different names."""
    names = draw(st.lists(st.sampled_from(["a", "b", "c"]), unique=True))
    return tuple(
        PullSecret(
            name,
            ("source",),
            namespace_selector=draw(SELECTORS),
            service_accounts=NameFilter(draw(PATTERNS), draw(PATTERNS)),
            pods=draw(st.sampled_from(PodPolicy)),
            registries=draw(st.sampled_from([("ghcr.io/team",), ("docker.io",)])),
            limits=draw(st.lists(PATTERNS, max_size=2).map(tuple)),
        )
        for name in names
    )


CONFIGURATIONS = st.builds(Configuration, pull_secrets(), st.builds(OptIn, may_decline=st.booleans()))
LABELS = st.fixed_dictionaries(
    {}, optional={LABEL: st.sampled_from([VALUE, "disabled", ""]), "tier": st.sampled_from(["gold", "tin"])}
)
KNOWN = st.builds(
    Namespace,
    st.just("set by the test"),
    LABELS,
    terminating=st.booleans(),
    declined=st.frozensets(st.sampled_from("abc")),
)


@st.composite
def subjects(draw: st.DrawFn) -> Subject:
    """Draw a Pod or a ServiceAccount."""
    return Subject(
        draw(st.sampled_from(["Pod", "ServiceAccount"])),
        draw(st.sampled_from(ACCOUNTS)),
        draw(st.sampled_from(NAMESPACES)),
        labels=draw(LABELS),
        annotations=draw(st.sampled_from([{}, {MIRROR_ANNOTATION: ""}])),
        references=References(present=True, names=draw(st.lists(st.sampled_from("abcx")).map(tuple))),
        service_account=draw(st.sampled_from(ACCOUNTS)),
        images=draw(st.lists(st.sampled_from(["nginx", "ghcr.io/team/app:1", "ghcr.io/other/app"])).map(tuple)),
    )


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
        and (namespace is None or (labels.get(LABEL) == VALUE and not namespace.terminating))
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


@settings(max_examples=1000)
@given(subjects(), CONFIGURATIONS, KNOWN | st.none())
def test_the_gates_are_the_rules(subject: Subject, configuration: Configuration, known: Namespace | None) -> None:
    namespace = None if known is None else Namespace(subject.namespace, known.labels, known.terminating, known.declined)
    decision = decide(subject, configuration, namespace)
    expected = [entry.name for entry in configuration.pull_secrets if gets(subject, configuration, namespace, entry)]
    assert list(decision.added) == expected
    assert (decision.reason is Reason.INJECTED) == bool(expected)
    if decision.gates:
        reasons = [reason for _, reason in decision.gates]
        assert decision.reason is (Reason.INJECTED if expected else max(reasons, key=list(Reason).index))


@given(CONFIGURATIONS, KNOWN, st.sampled_from(NAMESPACES))
def test_a_namespace_has_the_pull_secrets_that_one_of_its_service_accounts_may_get(
    configuration: Configuration, known: Namespace, name: str
) -> None:
    namespace = Namespace(name, known.labels, known.terminating, known.declined)
    anyone = tuple(
        PullSecret(entry.name, entry.sources, entry.namespace_selector, limits=entry.limits)
        for entry in configuration.pull_secrets
    )
    account = Subject("ServiceAccount", "default", name, labels={}, annotations={}, references=References())
    decision = decide_namespace(namespace, configuration)
    assert decision.added == decide(account, Configuration(anyone, configuration.opt_in), namespace).added
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
