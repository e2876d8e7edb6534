from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.rules.configuration import Configuration, PullSecret, Reason
from webhook.rules.gates import MIRROR_ANNOTATION, decide
from webhook.rules.objects import Subject
from webhook.rules.patch import POD_PATH, SERVICE_ACCOUNT_PATH, additions
from webhook.rules.references import References
from webhook.rules.subject import pod_subject, service_account_subject

CONFIGURATION = Configuration((PullSecret("registry", ("s",)), PullSecret("other", ("s",))))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
ENTRY = st.fixed_dictionaries(
    {}, optional={"name": st.none() | st.sampled_from(["registry", "other", "foreign", ""]), "more": JSON}
)
REFERENCE_LISTS = st.none() | st.lists(ENTRY, max_size=6)
CONTAINERS = st.lists(st.fixed_dictionaries({}, optional={"image": st.none() | st.text(), "more": JSON}), max_size=3)
METADATA = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(),
        "labels": st.none() | st.dictionaries(st.text(), st.text(), max_size=3),
        "annotations": st.none() | st.dictionaries(st.text(), st.text(), max_size=3),
        "managedFields": JSON,
    },
)
PODS = st.fixed_dictionaries(
    {
        "spec": st.fixed_dictionaries(
            {}, optional={"imagePullSecrets": REFERENCE_LISTS, "containers": CONTAINERS, "tolerations": JSON}
        )
    },
    optional={"metadata": METADATA, "status": JSON},
)
SERVICE_ACCOUNTS = st.fixed_dictionaries(
    {}, optional={"metadata": METADATA, "imagePullSecrets": REFERENCE_LISTS, "secrets": JSON, "spec": JSON}
)


def check_the_patch(document: dict[str, Any], holder: dict[str, Any], path: str, read: Any) -> None:  # noqa: ANN401
    """The patch applies, says an independent judge, loses, moves and repeats nothing; then none is due."""
    subject: Subject = read(document, "team-a")
    names = decide(subject, CONFIGURATION).added
    patched = jsonpatch.apply_patch(document, additions(path, subject.references, names))
    result = (patched["spec"] if path == POD_PATH else patched).get("imagePullSecrets")
    before = holder.get("imagePullSecrets") or []
    assert result[: len(before)] == before
    added = [entry["name"] for entry in result[len(before) :]]
    assert sorted({*added, *(entry.get("name") for entry in before)} & {"registry", "other"}) == ["other", "registry"]
    assert len(added) == len(set(added))
    assert not set(added) & {entry.get("name") for entry in before}
    assert without_references(patched, path) == without_references(document, path)
    again = read(patched, "team-a")
    assert decide(again, CONFIGURATION).reason is Reason.ALREADY_PRESENT
    assert additions(path, again.references, ["registry", "other"]) == []


def without_references(document: dict[str, Any], path: str) -> dict[str, Any]:
    rest = copy.deepcopy(document)
    (rest["spec"] if path == POD_PATH else rest).pop("imagePullSecrets", None)
    return rest


@given(PODS)
def test_the_patch_for_any_pod_applies_once_and_loses_nothing(document: dict[str, Any]) -> None:
    check_the_patch(document, document["spec"], POD_PATH, pod_subject)


@given(SERVICE_ACCOUNTS)
def test_the_patch_for_any_service_account_applies_once_and_loses_nothing(document: dict[str, Any]) -> None:
    check_the_patch(document, document, SERVICE_ACCOUNT_PATH, service_account_subject)


@given(st.dictionaries(st.sampled_from(["metadata", "spec", "imagePullSecrets", "kind", "x"]), JSON))
def test_reading_any_json_object_ends_in_a_subject_or_in_none(document: dict[str, Any]) -> None:
    for subject in (pod_subject(document, "ns"), service_account_subject(document, "ns")):
        assert subject is None or subject.namespace == "ns"


def test_everything_that_a_decision_reads_of_a_pod_is_read() -> None:
    document = {
        "metadata": {
            "name": "web",
            "namespace": "not-this-one",
            "generateName": "we",
            "labels": {"app": "web"},
            "annotations": {MIRROR_ANNOTATION: "x", "other": "y"},
        },
        "spec": {
            "serviceAccountName": "builder",
            "imagePullSecrets": [{"name": "a"}],
            "containers": [{"image": "c"}, {"name": "no image"}, None],
            "initContainers": [{"image": "i"}],
            "ephemeralContainers": [{"image": "e"}],
            "volumes": [{"emptyDir": {}}, {"image": {"reference": "v"}}, {"image": None}, None],
        },
    }
    assert pod_subject(document, "team-a") == Subject(
        kind="Pod",
        name="web",
        namespace="team-a",
        labels={"app": "web"},
        annotations={MIRROR_ANNOTATION: "x"},
        references=References(present=True, names=("a",)),
        service_account="builder",
        images=("c", "i", "e", "v"),
        generate_name="we",
    )


@pytest.mark.parametrize(
    ("spec", "account"),
    [
        ({"serviceAccount": "old"}, "old"),
        ({"serviceAccount": "old", "serviceAccountName": ""}, "old"),
        ({"serviceAccount": "old", "serviceAccountName": "new"}, "new"),
    ],
)
def test_the_deprecated_name_of_the_service_account_counts_if_it_is_alone(spec: dict[str, str], account: str) -> None:
    subject = pod_subject({"spec": spec}, "ns")
    assert subject is not None
    assert subject.service_account == account


def test_null_means_absent() -> None:
    document: dict[str, Any] = {"metadata": None, "spec": dict.fromkeys(["containers", "volumes", "imagePullSecrets"])}
    subject = pod_subject(document, "ns")
    assert subject is not None
    assert (subject.name, subject.generate_name) == ("", "")
    assert (subject.references, subject.images) == (References(), ())


@pytest.mark.parametrize("spec", [None, "text", [], {"imagePullSecrets": "a"}, {"containers": {}}])
def test_a_pod_with_no_place_for_references_is_unreadable(spec: object) -> None:
    assert pod_subject({"spec": spec}, "ns") is None


def test_a_spec_is_nothing_to_a_service_account() -> None:
    assert service_account_subject({"spec": "text"}, "ns") is not None
    assert service_account_subject({"imagePullSecrets": "text"}, "ns") is None
