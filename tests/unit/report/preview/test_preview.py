from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from webhook.files.configuration import parse
from webhook.report.preview.manifest import Manifest
from webhook.report.preview.preview import Preview, preview
from webhook.rules.configuration import OptIn, PullSecret, Scope
from webhook.rules.copy_metadata import CopyMetadata

CONFIGURATION = parse(
    """
    apiVersion: pullsecrets.webhook/v1alpha1
    kind: Configuration
    pullSecrets:
    - name: registry-credentials
      sources: [{secretName: harbor}, {secretName: ghcr}]
    - name: vendor-credentials
      sources: [{secretName: vendor}]
      namespaceSelector: {matchLabels: {department: payments}}
      serviceAccounts: {exclude: ["ci-*"]}
      pods: WhenImageMatches
      registries: [vendor.example]
    retired: [old-credentials]
    """,
    "test",
).excluding("pull-secrets")

NOW = datetime(2026, 11, 28, 10, tzinfo=UTC)
ENABLED = {"pullsecrets.webhook/inject": "enabled"}
OUR_LABELS = {
    "app.kubernetes.io/managed-by": "pull-secret-webhook",
    "pullsecrets.webhook/release": "psw",
    "pullsecrets.webhook/release-namespace": "pull-secrets",
}
IMAGE_LIST = [{"image": "vendor.example/app:1"}]


def manifest(kind: str, name: str, namespace: str = "team-a", api_version: str = "v1", **body: Any) -> Manifest:  # noqa: ANN401 - any JSON
    metadata = {"name": name, "namespace": namespace} | body.pop("metadata", {})
    document = {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}
    return Manifest(api_version, kind, namespace, name, document, "a.yaml, document 1")


def namespace_of(name: str = "team-a", labels: dict[str, Any] | None = None, **metadata: str) -> Manifest:
    labels = ENABLED if labels is None else labels
    return manifest("Namespace", name, name, metadata={"labels": labels, **metadata})


def secret(name: str, namespace: str = "pull-secrets", **body: Any) -> Manifest:  # noqa: ANN401 - any JSON
    config = {"auths": {f"{name}.example": {"username": "u", "password": "marker-hunter2"}}}
    data = {".dockerconfigjson": b64encode(json.dumps(config).encode()).decode()}
    return manifest("Secret", name, namespace, **{"type": "kubernetes.io/dockerconfigjson", "data": data} | body)


def checked(*manifests: Manifest, release_namespace: str = "pull-secrets") -> Preview:
    return preview(manifests, CONFIGURATION, release_namespace, NOW)


def last_row(*manifests: Manifest) -> tuple[str, str]:
    row = checked(*manifests).rows[-1]
    return row.effect, row.reason


def rows(result: Preview) -> list[tuple[str, str, str, str]]:
    return [(row.namespace, row.title, row.effect, row.reason) for row in result.rows]


def test_an_opted_in_namespace_gets_a_copy_and_what_is_in_it_a_reference() -> None:
    result = checked(
        namespace_of(), manifest("ServiceAccount", "api"), manifest("Pod", "migrate", spec={"containers": []})
    )

    assert rows(result) == [
        ("team-a", "Namespace/team-a", "none", "namespace-selected"),
        ("team-a", "Secret/registry-credentials", "create", "source-not-seen"),
        ("team-a", "ServiceAccount/api", "references", "injected"),
        ("team-a", "Pod/migrate", "references", "injected"),
    ]
    assert [row.added for row in result.rows] == [(), (), ("registry-credentials",), ("registry-credentials",)]
    assert result.rows[3].gates == (
        ("registry-credentials", "injected"),
        ("vendor-credentials", "namespace-not-selected"),
    )
    assert result.has_changes


def test_the_patched_objects_are_what_the_api_server_would_store() -> None:
    account = manifest("ServiceAccount", "api", imagePullSecrets=[{"name": "own"}], secrets=[])
    pod = manifest("Pod", "migrate", spec={"containers": [], "new": {"field": 1}})

    bodies = [each.body for each in checked(namespace_of(), account, pod).patched]

    assert bodies == [
        namespace_of().body,
        {**account.body, "imagePullSecrets": [{"name": "own"}, {"name": "registry-credentials"}]},
        {
            **pod.body,
            "spec": {"containers": [], "new": {"field": 1}, "imagePullSecrets": [{"name": "registry-credentials"}]},
        },
    ]


@pytest.mark.parametrize(
    ("api_version", "kind", "levels"),
    [
        ("apps/v1", "Deployment", ()),
        ("apps/v1", "StatefulSet", ()),
        ("apps/v1", "DaemonSet", ()),
        ("apps/v1", "ReplicaSet", ()),
        ("v1", "ReplicationController", ()),
        ("batch/v1", "Job", ()),
        ("batch/v1", "CronJob", ("jobTemplate",)),
        ("serving.knative.dev/v1", "Service", ()),
        ("serving.knative.dev/v1", "Configuration", ()),
        ("argoproj.io/v1alpha1", "Rollout", ()),
    ],
)
def test_the_pods_of_a_workload_are_decided_and_the_workload_stays_as_it_is(
    api_version: str, kind: str, levels: tuple[str, ...]
) -> None:
    spec: dict[str, Any] = {"template": {"spec": {"containers": []}}}
    for level in levels:
        spec = {level: {"spec": spec}}
    workload = manifest(kind, "api", api_version=api_version, spec=spec)

    result = checked(namespace_of(), workload)

    assert (result.rows[-1].title, result.rows[-1].added) == (f"{kind}/api", ("registry-credentials",))
    assert result.rows[-1].message == "its Pods: registry-credentials is due here and not yet referenced"
    assert result.patched[-1] == workload


def test_templates_that_stand_elsewhere_are_found() -> None:
    pods: dict[str, Any] = {"spec": {"containers": []}}
    template = Manifest(
        "v1", "PodTemplate", "team-a", "a", {"metadata": {"name": "a"}, "template": pods}, "a.yaml", generated=False
    )
    revision = manifest("Revision", "a", api_version="serving.knative.dev/v1", spec=pods["spec"])

    result = checked(namespace_of(), template, revision)

    assert [row.added for row in result.rows[-2:]] == [("registry-credentials",)] * 2


def test_a_kind_that_is_not_known_but_has_a_pod_template_is_named() -> None:
    spec: dict[str, Any] = {"template": {"spec": {"containers": []}}}

    result = checked(namespace_of(), manifest("CloneSet", "a", api_version="apps.kruise.io/v1alpha1", spec=spec))

    assert (result.rows[-1].title, result.rows[-1].added) == ("CloneSet/a", ("registry-credentials",))
    assert result.rows[-1].message == (
        "kind CloneSet of apps.kruise.io is unknown; for Pods from its spec.template: "
        "registry-credentials is due here and not yet referenced"
    )


def test_a_kind_with_the_api_version_of_the_core_group_is_named_with_it() -> None:
    wrong = manifest("Deployment", "web", spec={"template": {"spec": {"containers": []}}})
    assert checked(namespace_of(), wrong).rows[-1].message.startswith("kind Deployment of v1 is unknown; ")


def test_a_rollout_that_refers_to_a_deployment_is_left_to_it() -> None:
    rollout = manifest("Rollout", "a", api_version="argoproj.io/v1alpha1", spec={"workloadRef": {"name": "a"}})

    assert checked(rollout).rows == ()


def test_a_kind_of_another_group_is_not_looked_at() -> None:
    result = checked(
        manifest("Job", "a", api_version="batch.volcano.sh/v1alpha1", spec={"template": {"spec": {}}}),
        manifest("Service", "a", api_version="serving.knative.dev/v1"),
        manifest("Pod", "a", api_version="example.com/v1", spec={}),
        secret("unrelated", "team-a"),
    )

    assert (result.rows, result.ignored, result.has_changes) == ((), 4, False)


@pytest.mark.parametrize(
    ("namespace", "expected"),
    [
        (namespace_of(labels={}), ("none", "namespace-not-opted-in")),
        (namespace_of(deletionTimestamp="2026-01-01T00:00:00Z"), ("none", "namespace-terminating")),
        (namespace_of("team-b"), ("undecided", "namespace-unknown")),
        (namespace_of(labels={"pullsecrets.webhook/inject": True}), ("undecided", "namespace-unknown")),
    ],
)
def test_what_is_in_a_namespace_shares_its_fate(namespace: Manifest, expected: tuple[str, str]) -> None:
    for subject in (manifest("ServiceAccount", "api"), manifest("Pod", "migrate", spec={})):
        assert last_row(namespace, subject) == expected
        assert '"team-a"' in checked(namespace, subject).rows[-1].message


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (manifest("Pod", "a", spec={"imagePullSecrets": [{"name": "registry-credentials"}]}), "none already-present"),
        (
            manifest("Pod", "a", metadata={"labels": {"pullsecrets.webhook/inject": "disabled"}}, spec={}),
            "none object-disabled",
        ),
        (
            manifest("Pod", "a", metadata={"annotations": {"kubernetes.io/config.mirror": "x"}}, spec={}),
            "none mirror-pod",
        ),
        (manifest("Pod", "a", spec={"containers": 3}), "problem object-unreadable"),
        (manifest("Deployment", "a", api_version="apps/v1", spec={"template": []}), "problem object-unreadable"),
        (manifest("ServiceAccount", "a", "kube-system"), "none namespace-excluded"),
        (manifest("ServiceAccount", "a", "pull-secrets"), "none namespace-excluded"),
    ],
)
def test_an_object_that_is_left_alone_has_the_reason(subject: Manifest, expected: str) -> None:
    assert " ".join(last_row(namespace_of(), subject)) == expected


ONLY_VENDOR = parse(
    """
    apiVersion: pullsecrets.webhook/v1alpha1
    kind: Configuration
    pullSecrets:
    - {name: vendor, sources: [{secretName: v}], serviceAccounts: {exclude: ["ci-*"]}, pods: WhenImageMatches,
       registries: [vendor.example], namespaceSelector: {matchLabels: {department: payments}}}
    - {name: quiet, sources: [{secretName: v}], serviceAccounts: {exclude: ["*i-*"]}, pods: Never}
    """,
    "test",
)
PAYMENTS = namespace_of(labels={**ENABLED, "department": "payments"})


@pytest.mark.parametrize(
    ("namespace", "subject", "reason", "names"),
    [
        (PAYMENTS, manifest("Pod", "a", spec={"containers": [{"image": "nginx"}]}), "image-not-matched", "vendor"),
        (
            PAYMENTS,
            manifest("Pod", "a", spec={"serviceAccountName": "ci-a", "containers": IMAGE_LIST}),
            "service-account-not-included",
            "vendor",
        ),
        (namespace_of(), manifest("Pod", "a", spec={}), "pods-never", "quiet"),
        (PAYMENTS, manifest("ServiceAccount", "ci-a"), "service-account-not-included", "vendor and quiet"),
        (PAYMENTS, manifest("ServiceAccount", "a"), "injected", "vendor and quiet"),
    ],
)
def test_a_pull_secret_that_does_not_apply_is_named_with_the_reason(
    namespace: Manifest, subject: Manifest, reason: str, names: str
) -> None:
    row = preview([namespace, subject], ONLY_VENDOR, "", NOW).rows[-1]

    assert (row.effect, row.reason) == ("references" if reason == "injected" else "none", reason)
    assert names in row.message


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        (manifest("Pod", "a", spec={"containers": IMAGE_LIST}), "namespace-unknown"),
        (manifest("Pod", "a", spec={"containers": [{"image": "nginx"}]}), "image-not-matched"),
        (manifest("ServiceAccount", "a"), "namespace-unknown"),
        (manifest("ServiceAccount", "a", imagePullSecrets=[{"name": "quiet"}]), "namespace-unknown"),
        (
            manifest("ServiceAccount", "a", metadata={"labels": {"pullsecrets.webhook/inject": "disabled"}}),
            "object-disabled",
        ),
        (manifest("ServiceAccount", "a", "kube-system"), "namespace-excluded"),
    ],
)
def test_without_its_namespace_an_object_is_undecided_only_if_a_label_could_matter(
    subject: Manifest, reason: str
) -> None:
    assert preview([subject], ONLY_VENDOR, "", NOW).rows[-1].reason == reason


def test_a_namespace_that_no_selector_matches_says_so() -> None:
    vendor_only = replace(CONFIGURATION, pull_secrets=CONFIGURATION.pull_secrets[1:])

    result = preview([namespace_of(), manifest("ServiceAccount", "api")], vendor_only, "", NOW)

    assert [row.reason for row in result.rows] == ["namespace-not-selected"] * 2
    assert all("vendor-credentials" in row.message for row in result.rows)


def test_what_a_namespace_declines_or_may_not_have_is_told() -> None:
    narrow = parse(
        """
        apiVersion: pullsecrets.webhook/v1alpha1
        kind: Configuration
        optIn: {mayDecline: true}
        pullSecrets:
        - name: registry-credentials
          sources: [{secretName: harbor}]
        - name: vendor-credentials
          sources: [{secretName: vendor, namespaces: [team-b]}]
        - name: common
          sources: [{secretName: vendor}]
        """,
        "test",
    )
    declining = manifest(
        "Namespace",
        "team-a",
        "team-a",
        metadata={"labels": ENABLED, "annotations": {"pullsecrets.webhook/decline": "registry-credentials"}},
    )
    old = secret("registry-credentials", "team-a", metadata={"labels": OUR_LABELS})

    rows = preview([declining, old, manifest("ServiceAccount", "api")], narrow, "pull-secrets", NOW).rows

    assert [(row.title, row.effect, row.reason) for row in rows] == [
        ("Namespace/team-a", "none", "namespace-selected"),
        ("Secret/common", "create", "source-not-seen"),
        ("Secret/registry-credentials", "delete", "copy-not-wanted"),
        ("ServiceAccount/api", "references", "injected"),
    ]
    assert rows[0].message == "selected; gets common; declines registry-credentials"
    assert "the namespace declines it" in rows[2].message
    assert rows[-1].gates == (
        ("registry-credentials", "namespace-declines"),
        ("vendor-credentials", "source-not-for-namespace"),
        ("common", "injected"),
    )


def test_a_namespace_that_gets_nothing_says_why() -> None:
    narrow = replace(CONFIGURATION, pull_secrets=(replace(CONFIGURATION.pull_secrets[0], limits=(("team-b",),)),))
    rows = preview([namespace_of(), manifest("ServiceAccount", "api")], narrow, "", NOW).rows
    assert [row.reason for row in rows] == ["source-not-for-namespace"] * 2
    deaf = replace(CONFIGURATION, opt_in=OptIn(may_decline=True), pull_secrets=CONFIGURATION.pull_secrets[:1])
    declining = namespace_of(annotations={"pullsecrets.webhook/decline": "registry-credentials"})  # type: ignore[arg-type]
    rows = preview([declining, manifest("ServiceAccount", "api")], deaf, "", NOW).rows
    assert [row.reason for row in rows] == ["namespace-declines"] * 2


def test_a_copy_that_would_be_too_large_is_a_problem() -> None:
    large = {"auths": {f"{number}.example": {"username": "u", "password": "p" * 1000} for number in range(500)}}

    source = secret("harbor", data=None, stringData={".dockerconfigjson": json.dumps(large)})

    assert last_row(source, secret("ghcr"), namespace_of()) == ("problem", "source-unavailable")


def test_of_a_namespace_that_is_there_twice_the_last_one_counts() -> None:
    result = checked(namespace_of(labels={}), namespace_of(), manifest("ServiceAccount", "api"))

    assert [reason for *_, reason in rows(result)] == [
        "namespace-not-opted-in",
        "namespace-selected",
        "source-not-seen",
        "injected",
    ]


def test_valid_sources_are_reported_and_make_the_copy_due() -> None:
    result = checked(secret("harbor"), secret("ghcr"), namespace_of())

    assert [(row.title, row.effect, row.reason, row.message) for row in result.rows] == [
        ("Secret/harbor", "none", "source-valid", "it has credentials that can be copied, for harbor.example"),
        ("Secret/ghcr", "none", "source-valid", "it has credentials that can be copied, for ghcr.example"),
        ("Namespace/team-a", "none", "namespace-selected", "selected; gets registry-credentials"),
        ("Secret/registry-credentials", "create", "copy-due", "made from harbor and ghcr"),
    ]


def test_a_source_in_stringdata_is_read_as_the_api_server_would_store_it() -> None:
    text = {".dockerconfigjson": '{"auths":{"a.example":{"username":"u","password":"p"}}}'}

    assert last_row(secret("harbor", data={".dockerconfigjson": "!"}, stringData=text))[1] == "source-valid"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"type": "Opaque"}, "source-type-unsupported"),
        ({"type": None}, "source-type-unsupported"),
        ({"data": None}, "source-key-absent"),
        ({"data": {".dockerconfigjson": "not base64, marker-hunter2"}}, "source-base64-invalid"),
        ({"stringData": {".dockerconfigjson": '{"marker-hunter2":'}}, "source-json-invalid"),
        ({"stringData": {".dockerconfigjson": "{}"}}, "source-auths-invalid"),
        ({"metadata": {"labels": OUR_LABELS}}, "source-is-a-copy"),
        ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, "source-terminating"),
        ({"stringData": {".dockerconfigjson": {"auths": {"a": "marker-hunter2"}}}}, "object-unreadable"),
    ],
)
def test_a_source_that_must_not_be_copied_is_a_problem_of_its_own_and_of_the_copy(
    body: dict[str, Any], reason: str
) -> None:
    result = checked(secret("harbor", **body), secret("ghcr"), namespace_of())

    assert (result.rows[0].effect, result.rows[0].reason) == ("problem", reason)
    assert (result.rows[-1].effect, result.rows[-1].reason) == ("problem", "source-unavailable")
    assert result.rows[-1].message == f"its sources cannot be copied now: {result.rows[0].message}"
    assert "hunter2" not in repr(result)


def test_registries_in_two_sources_are_reported_on_the_copy() -> None:
    clash: dict[str, Any] = {
        "stringData": {".dockerconfigjson": '{"auths":{"harbor.example":{"username":"u","password":"p"}}}'}
    }

    row = checked(secret("harbor"), secret("ghcr", **clash), namespace_of()).rows[-1]
    assert (row.effect, row.reason) == ("create", "copy-due")
    assert "harbor.example occurs more than once: harbor is used" in row.message


def test_sources_that_are_not_among_the_files_are_named() -> None:
    row = checked(secret("harbor"), namespace_of()).rows[-1]
    assert (row.effect, row.reason) == ("create", "source-not-seen")
    assert "ghcr" in row.message


def test_a_secret_with_the_name_of_a_source_and_a_hash_is_named_unless_the_source_is_there_too() -> None:
    hashed, ghcr = secret("harbor-7ct58987ht"), secret("ghcr")

    row = checked(hashed, ghcr).rows[0]
    assert (row.effect, row.reason) == ("undecided", "source-name-hashed")
    assert 'source Secret "harbor" is not among the files' in row.message
    assert [each.title for each in checked(hashed, ghcr, secret("harbor")).rows] == ["Secret/ghcr", "Secret/harbor"]
    assert checked(secret("harbor-7ct58987ht", "team-a"), ghcr).rows[0].title == "Secret/ghcr"


def test_a_source_whose_own_name_has_a_hash_is_valid_with_a_note_and_its_successor_is_named() -> None:
    entry = PullSecret("registry-credentials", ("harbor-7ct58987ht",))
    configuration = replace(CONFIGURATION, pull_secrets=(entry,))

    row = preview([secret("harbor-7ct58987ht")], configuration, "pull-secrets", NOW).rows[0]
    assert (row.effect, row.reason) == ("none", "source-name-hashed")
    row = preview([secret("harbor-m2kg5bh942")], configuration, "pull-secrets", NOW).rows[0]
    assert (row.effect, row.reason, row.title) == ("undecided", "source-name-hashed", "Secret/harbor-m2kg5bh942")


def test_without_a_release_namespace_no_secret_is_a_source() -> None:
    result = checked(secret("harbor"), secret("ghcr"), namespace_of(), release_namespace="")

    assert [reason for *_, reason in rows(result)] == ["namespace-selected", "source-not-seen"]


MERGED = {
    "auths": {
        f"{name}.example": {
            "auth": b64encode(b"u:marker-hunter2").decode(),
            "password": "marker-hunter2",
            "username": "u",
        }
        for name in ("ghcr", "harbor")
    }
}


def existing(name: str = "registry-credentials", **body: Any) -> Manifest:  # noqa: ANN401 - any JSON
    content = json.dumps(MERGED, sort_keys=True, separators=(",", ":"))
    fields: dict[str, Any] = {
        "data": None,
        "stringData": {".dockerconfigjson": content},
        "metadata": {"labels": OUR_LABELS},
    }
    return secret(name, "team-a", **fields | body)


@pytest.mark.parametrize(
    ("copy", "expected"),
    [
        (existing(), ("none", "copy-current")),
        (existing(stringData={}), ("update", "copy-due")),
        (existing(immutable=True, stringData={}), ("update", "copy-due")),
        (existing(metadata={"labels": {}}), ("problem", "copy-conflict")),
    ],
)
def test_a_copy_that_is_among_the_files_is_compared(copy: Manifest, expected: tuple[str, str]) -> None:
    row = checked(copy, secret("harbor"), secret("ghcr"), namespace_of()).rows[-1]
    assert (row.effect, row.reason) == expected
    assert ("made again" in row.message) == bool(copy.body.get("immutable"))


def test_a_source_with_half_a_character_is_read_as_the_api_server_would_store_it() -> None:
    content = json.dumps({"auths": {"r.io": {"username": "u", "password": "x"}}}).replace("x", "\ud800")
    damaged = secret("harbor", data=None, stringData={".dockerconfigjson": content})
    assert last_row(damaged, namespace_of())[0] == "create"


@pytest.mark.parametrize("metadata", [{"labels": {"x": True}}, {"annotations": {"x": True}}])
def test_a_namespace_with_values_that_are_not_text_is_a_problem_and_its_labels_are_not_known(
    metadata: dict[str, Any],
) -> None:
    result = checked(
        manifest("Namespace", "team-a", metadata=metadata), manifest("Pod", "web", spec={"containers": []})
    )
    assert [row.message for row in result.rows] == [
        "its labels and annotations must be text: quote them",
        'the labels of namespace "team-a" decide and are not known: add it to the files, or correct it there',
    ]


@pytest.mark.parametrize(
    ("team", "expected"), [("payments", ("none", "copy-current")), ("web", ("update", "copy-due"))]
)
def test_the_labels_of_a_copy_that_is_among_the_files_are_compared(team: str, expected: tuple[str, str]) -> None:
    (entry, *_), written = CONFIGURATION.pull_secrets, CopyMetadata((("team", "payments"),), (("note", "x"),))
    configuration = replace(CONFIGURATION, pull_secrets=(replace(entry, copies=written),))
    metadata = {"labels": {**OUR_LABELS, "team": team}, "annotations": written.written_annotations}
    manifests = [existing(metadata=metadata), secret("harbor"), secret("ghcr"), namespace_of()]
    row = preview(manifests, configuration, "pull-secrets", NOW).rows[-1]
    assert (row.effect, row.reason) == expected


def test_a_copy_whose_sources_are_unseen_is_taken_as_it_is() -> None:
    assert last_row(existing(stringData={}), namespace_of()) == ("none", "source-not-seen")


def test_what_is_left_of_a_retired_pull_secret_goes() -> None:
    account = manifest("ServiceAccount", "api", imagePullSecrets=[{"name": "own"}, {"name": "old-credentials"}])

    result = checked(existing("old-credentials"), namespace_of(), account)

    assert rows(result)[2:] == [
        ("team-a", "Secret/old-credentials", "delete", "copy-not-wanted"),
        ("team-a", "ServiceAccount/api", "references", "injected"),
    ]
    assert (result.rows[-1].added, result.rows[-1].removed) == (("registry-credentials",), ("old-credentials",))
    assert result.rows[-1].message.endswith("; the copy of old-credentials will be deleted")
    assert result.patched[-1].body["imagePullSecrets"] == [{"name": "own"}, {"name": "registry-credentials"}]
    assert result.ignored == 0


def test_a_namespace_that_opts_out_loses_its_copies_and_the_references() -> None:
    account = manifest("ServiceAccount", "api", imagePullSecrets=[{"name": "registry-credentials"}])

    result = checked(existing(), namespace_of(labels={}), account)

    assert rows(result) == [
        ("team-a", "Namespace/team-a", "none", "namespace-not-opted-in"),
        ("team-a", "Secret/registry-credentials", "delete", "copy-not-wanted"),
        ("team-a", "ServiceAccount/api", "references", "namespace-not-opted-in"),
    ]
    assert result.patched[-1].body["imagePullSecrets"] == []


def test_applied_to_its_own_result_a_preview_changes_nothing() -> None:
    first = checked(
        namespace_of(), manifest("ServiceAccount", "api"), manifest("Pod", "a", spec={"imagePullSecrets": None})
    )

    second = checked(existing(), *first.patched)

    assert not second.has_changes
    assert second.patched[1:] == first.patched


def test_a_namespace_without_the_label_has_not_opted_in_with_the_scope_all() -> None:
    everywhere = replace(CONFIGURATION, opt_in=OptIn(scope=Scope.ALL))
    row = preview([namespace_of(labels={})], everywhere, "pull-secrets", NOW).rows[0]
    assert row.message == "selected; gets registry-credentials"


def test_an_empty_configuration_changes_nothing() -> None:
    empty = parse("apiVersion: pullsecrets.webhook/v1alpha1\nkind: Configuration\n", "test")

    result = preview([namespace_of(), manifest("Pod", "a", spec={})], empty, "", NOW)

    assert [(row.effect, row.reason) for row in result.rows] == [("none", "nothing-configured")] * 2
