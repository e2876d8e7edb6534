"""The last good contents outlive a restart and a change of leader, on a real API server."""

from __future__ import annotations

import json
import signal
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.api import Answer
from tests.integration.hostile.impostor import MERGE, Impostor
from tests.integration.policies.guarding import is_refused, refused, stored
from tests.integration.site.playground import COPY, SOURCE, Playground, eventually
from tests.integration.test_cleanup import cleanup
from webhook.report.explain.commands import rename_command

Maker = Callable[..., Playground]

OTHER = "other-credentials"


@pytest.fixture
def site(playground: Maker) -> Playground:
    """A release with a good source."""
    site = playground()
    site.set_source("good")
    return site


def state(site: Playground) -> dict[str, Any] | None:
    return site.get(site.installation.namespace, "secrets", site.installation.state_secret)


def kept(site: Playground) -> dict[str, Any]:
    """Return what is stored, by key."""
    secret = state(site)
    data = {} if secret is None else secret.get("data") or {}
    return {key: readable(b64decode(value)) for key, value in data.items() if not key.startswith("_")}


def readable(value: bytes) -> Any:  # noqa: ANN401 (any JSON)
    try:
        return json.loads(value)
    except ValueError:
        return None


def await_kept(site: Playground, password: str, name: str = COPY) -> dict[str, Any]:
    found = eventually(lambda: kept(site), lambda seen: password in json.dumps(seen.get(name)))
    entry: dict[str, Any] = found[name]
    return entry


def await_stored(site: Playground, password: str) -> dict[str, Any]:
    """Wait for the good content and for the configuration, which is stored when it is in force; return the Secret."""
    await_kept(site, password)
    found = eventually(lambda: state(site), lambda seen: seen is not None and "_configuration" in seen["data"])
    assert found is not None
    return found


def break_source(site: Playground) -> None:
    """Delete the source, and wait until it is reported."""
    site.delete(site.installation.namespace, "secrets", SOURCE)
    eventually(lambda: dict(site.events(site.installation.namespace)), lambda seen: "SourceMissing" in seen)


def events(site: Playground) -> dict[str, str]:
    return dict(site.events(site.installation.namespace))


def put_state(site: Playground, data: dict[str, str]) -> None:
    """Write into the stored state as a person would who may."""
    site.patch(site.installation.namespace, "secrets", site.installation.state_secret, {"data": data})


def test_after_a_restart_a_namespace_that_opts_in_gets_the_last_good_copy(site: Playground) -> None:
    sync = site.installation.start_sync()
    first = site.namespace(selected=True)
    site.await_selected(first, "good")
    entry = await_kept(site, "good")
    assert entry["version"] == 1
    assert [source["name"] for source in entry["sources"]] == [SOURCE]
    secret = await_stored(site, "good")
    assert secret["type"] == "Opaque"
    assert secret["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "pull-secret-webhook"}
    break_source(site)
    assert sync.stop() == 0

    site.installation.start_sync(name="restarted")
    later = site.namespace(selected=True)

    site.await_selected(later, "good")
    assert site.get(later, "secrets", COPY)["data"] == site.get(first, "secrets", COPY)["data"]  # type: ignore[index]
    assert state(site) == secret


def test_after_a_change_of_leader_too(site: Playground) -> None:
    leader = site.installation.start_sync()
    site.await_selected(site.namespace(selected=True), "good")
    site.set_source("rotated")
    await_kept(site, "rotated")
    break_source(site)
    # This one never sees a good source.
    site.installation.start_sync(name="standby").wait_ready()
    leader.program.signal(signal.SIGTERM)
    assert leader.program.wait() == 0

    site.await_selected(site.namespace(selected=True), "rotated")


def test_equal_contents_are_not_written_again_at_a_start_or_with_a_new_version(site: Playground) -> None:
    sync = site.installation.start_sync()
    site.await_selected(site.namespace(selected=True), "good")
    before = await_stored(site, "good")
    assert sync.stop() == 0

    site.installation.start_sync(name="restarted")
    site.patch(site.installation.namespace, "secrets", SOURCE, {"metadata": {"labels": {"x": "y"}}})
    site.await_selected(site.namespace(selected=True), "good")
    assert state(site) == before
    site.set_source("new")
    await_kept(site, "new")


def test_a_name_that_is_no_longer_configured_or_is_retired_is_pruned(playground: Maker) -> None:
    entries = [{"name": name, "sources": [{"secretName": SOURCE}]} for name in (COPY, OTHER)]
    site = playground(pullSecrets=entries)
    site.set_source("good")
    site.installation.start_sync()
    await_kept(site, "good", OTHER)
    await_kept(site, "good")

    site.installation.set_configuration(pullSecrets=entries[:1], retired=[OTHER])

    eventually(lambda: kept(site).keys(), lambda seen: seen == {COPY})


@pytest.mark.parametrize("value", ["not json", '{"version":1}', '{"version":9}'])
def test_what_was_tampered_with_is_ignored_reported_and_written_again(site: Playground, value: str) -> None:
    sync = site.installation.start_sync()
    await_kept(site, "good")
    assert sync.stop() == 0
    put_state(site, {COPY: b64encode(value.encode()).decode(), "more": "eA=="})

    site.installation.start_sync(name="restarted")

    await_kept(site, "good")
    assert kept(site).keys() == {COPY}
    told = eventually(lambda: events(site), lambda seen: "StateUnreadable" in seen)
    assert COPY in told["StateUnreadable"]
    site.await_selected(site.namespace(selected=True), "good")


def test_a_secret_of_somebody_else_is_left_alone_and_the_way_out_is_told(site: Playground) -> None:
    where, name = site.installation.namespace, site.installation.state_secret
    site.apply(where, "Secret", name, {"type": "Opaque", "stringData": {"theirs": "x"}})
    before = state(site)

    site.installation.start_sync()
    site.await_selected(site.namespace(selected=True), "good")

    told = eventually(lambda: events(site), lambda seen: "StateNotStored" in seen)
    assert told["StateNotStored"].endswith(rename_command(where, name))
    assert state(site) == before
    site.delete(where, "secrets", name)
    await_kept(site, "good")


def test_contents_that_do_not_fit_are_named_and_the_others_are_kept(playground: Maker) -> None:
    large = [f"large-{number}" for number in range(4)]
    names = (COPY, *large)
    site = playground(pullSecrets=[{"name": name, "sources": [{"secretName": f"s-{name}"}]} for name in names])
    for name in names:
        site.set_source("good" if name == COPY else "x" * 150_000, f"s-{name}")
    site.installation.start_sync()
    site.await_selected(site.namespace(selected=True), "good")

    eventually(lambda: kept(site).keys(), lambda seen: seen == {COPY, "large-0", "large-1"})
    # While one of the sources is not read yet, an Event names the other alone.
    eventually(
        lambda: [message for reason, message in site.events(site.installation.namespace) if reason == "StateNotStored"],
        lambda seen: any("large-2, large-3" in message for message in seen),
    )


# The guard


def write_state(thief: Impostor, body: dict[str, Any], query: str = "") -> Answer:
    installation = thief.playground.installation
    path = f"/api/v1/namespaces/{installation.namespace}/secrets/{installation.state_secret}"
    return thief.api.request("PATCH", f"{path}?fieldManager=thief{query}", body, MERGE)


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"more": "eA=="}},
        {"immutable": True},
        {"metadata": {"labels": {"argocd.argoproj.io/secret-type": "repository"}}},
        {"metadata": {"annotations": {"pullsecrets.webhook/anything": "x"}}},
        {"metadata": {"finalizers": ["example.com/held"]}},
        {"metadata": {"managedFields": [{}]}},
    ],
    ids=str,
)
def test_a_stolen_token_puts_nothing_else_into_the_state(site: Playground, body: dict[str, Any]) -> None:
    site.installation.start_sync()
    await_kept(site, "good")
    thief = Impostor.of(site, "sync")
    eventually(lambda: write_state(thief, body, "&dryRun=All"), is_refused)
    refused(write_state(thief, body), "")
    stored(write_state(thief, {"data": {COPY: "eA=="}}))


def test_a_stolen_token_creates_the_state_of_no_other_type_and_writes_over_nothing_else(site: Playground) -> None:
    where, name = site.installation.namespace, site.installation.state_secret
    thief = Impostor.of(site, "sync")
    eventually(lambda: thief.apply_secret(where, name, query="&dryRun=All"), is_refused)
    labels = {"app.kubernetes.io/managed-by": "pull-secret-webhook"}
    refused(thief.apply_secret(where, name, type="kubernetes.io/basic-auth", data={"username": "eA=="}), "Opaque")
    site.apply(where, "Secret", name, {"type": "Opaque", "stringData": {"theirs": "x"}})
    refused(write_state(thief, {"data": {COPY: "eA=="}, "metadata": {"labels": labels}}), "the state that this release")


def test_an_uninstallation_deletes_it(site: Playground) -> None:
    sync = site.installation.start_sync()
    await_kept(site, "good")
    done = cleanup(site)
    assert done.returncode == 0, done.stderr
    assert state(site) is None
    assert sync.stop() == 0
