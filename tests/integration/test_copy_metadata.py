"""Configured labels and annotations of copies on a real API server, with the guard in force."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.integration.faults.denier import denying_policy
from tests.integration.hostile.impostor import Impostor
from tests.integration.policies.guarding import await_guard, refused, stored
from tests.integration.site.commands import of_release
from tests.integration.site.playground import COPY, SOURCE, Playground, eventually
from webhook.rules.copy_metadata import KEYS_ANNOTATION
from webhook.rules.versions import SOURCES_ANNOTATION

LABELS = {"team": "platform", "velero.io/exclude-from-backup": "true"}
ANNOTATIONS = {"example.com/contact": "platform@example.com"}


def pull_secrets(labels: Mapping[str, str], annotations: Mapping[str, str]) -> list[dict[str, Any]]:
    copies = {"labels": dict(labels), "annotations": dict(annotations)}
    return [{"name": COPY, "sources": [SOURCE], "copies": copies}]


@pytest.fixture
def site(playground: Callable[..., Playground]) -> Playground:
    made = playground(pullSecrets=pull_secrets(LABELS, ANNOTATIONS))
    made.set_source("first")
    made.start()
    return made


def metadata(site: Playground, namespace: str) -> dict[str, Any]:
    found: dict[str, Any] = (site.get(namespace, "secrets", COPY) or {"metadata": {}})["metadata"]
    return found


def configured(found: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the labels and annotations of a copy that are not our own."""
    labels = {
        key: value
        for key, value in found.get("labels", {}).items()
        if not key.startswith("pullsecrets.webhook/") and key != "app.kubernetes.io/managed-by"
    }
    own = (KEYS_ANNOTATION, SOURCES_ANNOTATION)
    return labels, {key: value for key, value in found.get("annotations", {}).items() if key not in own}


def await_metadata(site: Playground, namespace: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    """Wait until a copy has exactly these labels and annotations, and return its UID."""
    found = eventually(
        lambda: metadata(site, namespace), lambda seen: configured(seen) == (dict(labels), dict(annotations))
    )
    uid: str = found["uid"]
    return uid


def test_a_copy_has_them_from_its_creation_and_what_others_put_on_it_stays(site: Playground) -> None:
    name = site.installation.release
    namespace = site.namespace(selected=False, labels={"demands": name})
    allowed = "object == null || 'team' in object.metadata.?labels.orValue({})"
    with denying_policy(site.cluster.api, name, {"demands": name}, allowed=allowed):
        probe = {"metadata": {"name": "probe"}}
        path = f"/api/v1/namespaces/{namespace}/secrets?dryRun=All"
        eventually(lambda: site.cluster.api.request("POST", path, probe).status, lambda status: status == 422)
        site.opt(namespace, "enabled")
        uid = await_metadata(site, namespace, LABELS, ANNOTATIONS)
    theirs = {"labels": {"theirs": "1"}, "annotations": {"example.com/theirs": "1"}}
    site.patch(namespace, "secrets", COPY, {"metadata": theirs})
    edited = {"labels": {"team": "other", "velero.io/exclude-from-backup": None}, "annotations": {KEYS_ANNOTATION: ""}}
    site.patch(namespace, "secrets", COPY, {"metadata": edited})
    expected = {**LABELS, "theirs": "1"}, {**ANNOTATIONS, "example.com/theirs": "1"}
    assert await_metadata(site, namespace, *expected) == uid
    site.set_source("second")
    site.await_selected(namespace, "second")
    assert await_metadata(site, namespace, *expected) == uid


def test_a_changed_configuration_reaches_all_copies_in_place(site: Playground) -> None:
    by_us, by_both = (site.namespace(selected=True) for _ in range(2))
    before = {namespace: await_metadata(site, namespace, LABELS, ANNOTATIONS) for namespace in (by_us, by_both)}
    site.set_source("second")  # so that two of our field managers own the labels: that of the creation, and this one
    for namespace in before:
        site.await_selected(namespace, "second")
    theirs = {"name": COPY, "namespace": by_both, "labels": {"team": "platform"}}
    site.apply(by_both, "Secret", COPY, {"metadata": theirs})  # they own the label, too
    site.installation.set_configuration(pullSecrets=pull_secrets({"tier": "gold"}, {"example.com/contact": "you"}))
    changed = {"tier": "gold"}, {"example.com/contact": "you"}
    assert await_metadata(site, by_us, *changed) == before[by_us]
    assert await_metadata(site, by_both, {**changed[0], "team": "platform"}, changed[1]) == before[by_both]
    site.installation.set_configuration(pullSecrets=pull_secrets({}, {}))
    assert await_metadata(site, by_us, {}, {}) == before[by_us]
    eventually(lambda: KEYS_ANNOTATION not in metadata(site, by_us)["annotations"])
    assert site.password_in_copy(by_us) == "second"


def test_plan_and_explain_tell_of_a_copy_that_lacks_them(site: Playground) -> None:
    namespace = site.namespace(selected=True)
    await_metadata(site, namespace, LABELS, ANNOTATIONS)
    site.installation.processes["sync"].kill()
    site.patch(namespace, "secrets", COPY, {"metadata": {"labels": {"team": "other"}}})
    planned = of_release(site, "plan", "-n", namespace, "-o", "json")
    assert "its labels or annotations differ from the configured ones" in planned.out
    explained = of_release(site, "explain", f"ns/{namespace}")
    assert "the copy has its content; its labels or annotations differ" in " ".join(explained.out.split())


def test_the_guard_allows_the_configured_values_and_no_others(site: Playground) -> None:
    tenant = site.namespace(selected=True)
    await_metadata(site, tenant, LABELS, ANNOTATIONS)
    await_guard(site)
    thief = Impostor.of(site, "sync")
    ours = thief.copy_labels(tenant)
    stored(thief.apply_secret(tenant, metadata={"labels": {**ours, **LABELS}, "annotations": ANNOTATIONS}))
    for wrong in ({"team": "other"}, {"elsewhere": "platform"}):
        refused(thief.apply_secret(tenant, metadata={"labels": {**ours, **wrong}}), "no other labels and annotations")
    contact = {"labels": ours, "annotations": {"example.com/contact": "other"}}
    refused(thief.apply_secret(tenant, metadata=contact), "no other labels and annotations")
