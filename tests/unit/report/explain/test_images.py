from __future__ import annotations

import json
from base64 import b64encode
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.report.explain.test_explanation import (
    CONFIGURATION,
    NOW,
    TEAM,
    account,
    copy,
    inputs,
    manifest,
    pod,
)
from webhook.report.explain.explanation import explain_manifest, explain_namespace, explain_subject
from webhook.report.explain.step import Explanation, Step
from webhook.report.preview.manifest import Manifest
from webhook.report.preview.preview import Preview, overview, preview
from webhook.report.preview.secrets import Sources
from webhook.rules.configuration import Configuration, PullSecret
from webhook.rules.credential import Credential
from webhook.rules.dockerconfig import Credentials
from webhook.rules.expiry import EXPIRES_ANNOTATION, Expiries, Expiry, ExpiryOrigin

SECONDS, DAYS = timedelta(seconds=1), timedelta(days=1)
REGISTRY, OTHER = "registry.example", "other.example"


def expiries(**left: timedelta) -> dict[str, Expiries]:
    """Return the expiries of the pull secret \"registry\", by the first word of the registry."""
    found = {f"{name}.example": Expiry(NOW + time, ExpiryOrigin.PASSWORD) for name, time in left.items()}
    return {"registry": Expiries(found)}


def explained(subject: Any = None, registries: tuple[str, ...] = (REGISTRY,), **left: timedelta) -> Explanation:  # noqa: ANN401
    where = inputs(copy(), registries={"registry": set(registries)}, expiries=expiries(**left))
    return explain_subject(where, pod("registry") if subject is None else subject)


def expiry_step(found: Explanation) -> Step | None:
    return next((step for step in found.steps if step.gate == "expiry"), None)


@pytest.mark.parametrize(
    ("left", "result", "reason", "text"),
    [
        (90 * DAYS, "PASS", "", "expires in 90 days (2027-02-26 10:00 UTC)"),
        (14 * DAYS, "NOTE", "credential-expires-soon", "expires in 14 days (2026-12-12 10:00 UTC)"),
        (3 * DAYS, "NOTE", "credential-expires-very-soon", "expires in 3 days (2026-12-01 10:00 UTC)"),
        (-7200 * SECONDS, "STOP", "credential-expired", "expired 2 hours ago (2026-11-28 08:00 UTC)"),
    ],
)
def test_a_pod_is_told_about_the_credential_for_its_image(left: timedelta, result: str, reason: str, text: str) -> None:
    found = explained(registry=left)
    step = expiry_step(found)
    assert step is not None
    assert (step.result, step.reason, step.message) == (result, reason, f"the credential for {REGISTRY} {text}")
    if reason:
        assert (found.verdict.reason, found.verdict.message) == (reason, step.message)


def test_the_pull_secret_is_named_although_its_name_is_a_part_of_the_registry() -> None:
    headline = explained(registry=DAYS).headline()
    assert headline.startswith(
        "NOTE credential-expires-very-soon: Pod/web in namespace team-a: registry: the credential"
    )


def test_without_a_known_expiry_there_is_no_step() -> None:
    assert expiry_step(explained()) is None
    assert expiry_step(explained(other=-DAYS)) is None


def test_an_image_can_be_pulled_until_the_last_credential_for_it_expires() -> None:
    both = (REGISTRY, f"{REGISTRY}/app")
    where = {"registry": set(both)}
    known = {
        both[0]: Expiry(NOW - DAYS, ExpiryOrigin.PASSWORD),
        both[1]: Expiry(NOW + 90 * DAYS, ExpiryOrigin.PASSWORD),
    }
    found = explain_subject(inputs(copy(), registries=where, expiries={"registry": Expiries(known)}), pod("registry"))
    assert found.stop is None
    only_first = {"registry": Expiries({both[0]: known[both[0]]})}
    assert explain_subject(inputs(copy(), registries=where, expiries=only_first), pod("registry")).stop is None


def test_a_pod_fails_with_its_first_image() -> None:
    images = (f"{REGISTRY}/app:1", f"{OTHER}/app:1")
    found = explained(pod("registry", images=images), (REGISTRY, OTHER), registry=90 * DAYS, other=-DAYS)
    assert found.stop is not None
    assert OTHER in found.stop.message


def test_an_expired_credential_of_a_registry_that_a_pod_does_not_use_does_not_stop_it() -> None:
    found = explained(None, (REGISTRY, OTHER), registry=90 * DAYS, other=-DAYS)
    assert found.stop is None


def test_service_accounts_and_namespaces_are_told_about_the_first_credential() -> None:
    where = inputs(copy(), expiries=expiries(registry=90 * DAYS, other=-DAYS))
    for found in (explain_subject(where, account("registry")), explain_namespace(where, "team-a")):
        assert found.stop is not None
        assert (found.stop.reason, found.stop.pull_secret) == ("credential-expired", "registry")
        assert OTHER in found.stop.message


def test_a_missing_copy_is_told_first() -> None:
    found = explain_subject(inputs(expiries=expiries(registry=-DAYS)), account("registry"))
    assert found.stop is not None
    assert found.stop.reason == "copy-due"


MISTYPED = "registyr.example"


@pytest.mark.parametrize(
    ("in_copy", "expected"),
    [
        (MISTYPED, f"it has {MISTYPED}; did you mean {MISTYPED}? If not, source harbor has the typing error"),
        ("old.com", "it has old.com"),
    ],
)
def test_a_source_has_a_typing_error_only_if_the_copy_has_it_too(in_copy: str, expected: str) -> None:
    where = inputs(copy(), registries={"registry": {in_copy}})
    read = {"harbor": Credentials({MISTYPED: Credential("u", "p")})}
    where = replace(where, cluster=replace(where.cluster, sources=Sources(read)))
    step = explain_subject(where, pod("registry")).steps[-1]
    assert step.message == f"registry has no credential for {REGISTRY}/app:1; {expected}"


def test_the_registries_of_several_pull_secrets_are_plural() -> None:
    both = Configuration((PullSecret("a", ("x",)), PullSecret("b", ("x",))))
    registries = {"a": {"a.io"}, "b": {"b.io"}}
    found = explain_subject(inputs(copy("a"), copy("b"), configuration=both, registries=registries), pod("a", "b"))
    assert found.steps[-1].message == f"a and b have no credential for {REGISTRY}/app:1; they have a.io and b.io"


# From files


def source(expires: str) -> Manifest:
    config = {"auths": {REGISTRY: {"username": "u", "password": "p"}}}
    data = {".dockerconfigjson": b64encode(json.dumps(config).encode()).decode()}
    metadata = {"annotations": {EXPIRES_ANNOTATION: expires}}
    kind = "kubernetes.io/dockerconfigjson"
    return manifest("Secret", "harbor", "pull-secrets", type=kind, data=data, metadata=metadata)


WEB = manifest("Pod", "web", spec={"containers": [{"image": f"{REGISTRY}/app"}]})


def planned(expires: str) -> Preview:
    return preview([source(expires)], CONFIGURATION, "pull-secrets", NOW)


def test_the_source_of_an_expired_credential_is_named_in_the_next_command() -> None:
    manifests = [TEAM, WEB, source("2026-11-28T08:00:00Z")]
    found = explain_manifest(manifests, CONFIGURATION, "pull-secrets", "Pod", "web", "team-a", NOW)
    assert found is not None
    assert found.verdict.reason == "credential-expired"
    assert f"create secret docker-registry harbor --docker-server={REGISTRY}" in found.verdict.command


def test_plan_has_a_problem_with_an_expired_credential() -> None:
    result = planned("2026-11-28T08:00:00Z")
    (row,) = result.rows
    assert (row.effect, row.reason) == ("problem", "credential-expired")
    assert row.message.endswith(f"the credential for {REGISTRY} expired 2 hours ago (2026-11-28 08:00 UTC)")
    assert result.has_problems


@pytest.mark.parametrize(
    ("expires", "reason"),
    [
        ("2026-12-01T10:00:00Z", "credential-expires-very-soon"),
        ("2026-12-10T10:00:00Z", "credential-expires-soon"),
        ("tomorrow", "credential-expiry-unreadable"),
    ],
)
def test_plan_has_a_note_about_a_credential_that_expires_soon(expires: str, reason: str) -> None:
    result = planned(expires)
    (row,) = result.rows
    assert (row.effect, row.reason) == ("none", reason)
    assert not result.has_problems
    (note,) = (each for each in overview(result) if each.mark == "note:")
    assert reason in note.text


def test_plan_does_not_mention_a_credential_with_time_left() -> None:
    (row,) = planned("2027-12-10T10:00:00Z").rows
    assert row.reason == "source-valid"
