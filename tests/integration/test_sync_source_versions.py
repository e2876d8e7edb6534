"""Each copy names the versions of its sources, so that a process that is behind notices it before it writes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.faults.faultlink import Request
from tests.integration.faults.remote import Remote, remote_sync
from tests.integration.site.estate import new_password
from tests.integration.site.playground import COPY, SOURCE, Playground, eventually

ANNOTATION = "pullsecrets.webhook/sources"


@pytest.fixture
def site(playground: Callable[..., Playground]) -> Playground:
    site = playground()
    site.set_source(new_password())
    return site


def follows_the_source(request: Request) -> bool:
    """Return whether a request lists or watches the source. A read by name does neither."""
    return f"metadata.name%3D{SOURCE}&" in f"{request.target}&"


def reads_of_the_source(site: Playground, remote: Remote, since: float) -> list[Request]:
    path = f"/api/v1/namespaces/{site.installation.namespace}/secrets/{SOURCE}"
    return [one for one in remote.proxy.since(since) if not one.writes and one.target.partition("?")[0] == path]


def writes_of_copies(remote: Remote, since: float) -> list[Request]:
    return [request for request in remote.writes(since) if f"/secrets/{COPY}" in request.target]


def metadata(site: Playground, namespace: str, name: str = COPY) -> dict[str, Any]:
    found: dict[str, Any] = (site.get(namespace, "secrets", name) or {})["metadata"]
    return found


def version_of_the_source(site: Playground) -> str:
    source = metadata(site, site.installation.namespace, SOURCE)
    return f"{SOURCE}/{source['uid']}/{source['resourceVersion']}"


def await_event(site: Playground, reason: str) -> None:
    """Wait for an Event in the release namespace."""
    eventually(lambda: any(seen == reason for seen, _ in site.events(site.installation.namespace)))


def annotate(site: Playground, namespace: str, name: str, **annotations: str | None) -> None:
    """Set annotations with the prefix of this project, or remove them."""
    body = {"metadata": {"annotations": {f"pullsecrets.webhook/{key}": value for key, value in annotations.items()}}}
    path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
    site.cluster.api.call("PATCH", path, body, "application/merge-patch+json")


def test_a_process_whose_source_watch_is_silent_does_not_put_the_old_password_back(site: Playground) -> None:
    """Two processes without a Lease. The one that is behind sees only the copy that the other one has written."""
    before, after = new_password(), new_password()
    site.set_source(before)
    with remote_sync(site, "behind", "--no-leader-elect") as behind:
        namespace = site.namespace(selected=True)
        site.await_selected(namespace, before)
        with contextlib.ExitStack() as stack:
            # A watch that begins just now is withheld, and those that have begun are silent.
            stack.enter_context(behind.proxy.withholding(follows_the_source))
            behind.proxy.mute(follows_the_source)
            ahead = stack.enter_context(remote_sync(site, "ahead", "--no-leader-elect"))
            begun = time.monotonic()
            site.set_source(after)
            site.await_selected(namespace, after)
            assert metadata(site, namespace)["annotations"][ANNOTATION] == version_of_the_source(site)

            eventually(lambda: reads_of_the_source(site, behind, begun))
            # The process that was behind knows the new credential now: it alone makes the copy of another namespace.
            ahead.process.kill()
            another = site.namespace(selected=True)
            site.await_selected(another, after)
            assert site.password_in_copy(namespace) == after
            assert all(another in request.target for request in writes_of_copies(behind, begun))
            assert len(reads_of_the_source(site, behind, begun)) == 1


def test_an_edited_or_removed_annotation_costs_at_most_one_read_and_does_not_stop_a_rotation(site: Playground) -> None:
    with remote_sync(site, "sync", "--no-leader-elect") as remote:
        edited, removed, witness = (site.namespace(selected=True) for _ in range(3))
        first, second = new_password(), new_password()
        site.set_source(first)
        for namespace in (edited, removed, witness):
            site.await_selected(namespace, first)
        uid = metadata(site, site.installation.namespace, SOURCE)["uid"]
        annotate(site, edited, COPY, sources=f"{SOURCE}/{uid}/{2**63}")
        annotate(site, removed, COPY, sources=None)
        # Sync has received a later event of the watch of copies, so it has received the annotations too.
        site.delete(witness, "secrets", COPY)
        eventually(lambda: site.get(witness, "secrets", COPY))

        begun = time.monotonic()
        site.set_source(second)

        for namespace in (edited, removed, witness):
            site.await_selected(namespace, second)
            assert metadata(site, namespace)["annotations"][ANNOTATION] == version_of_the_source(site)
        assert len(reads_of_the_source(site, remote, begun)) == 1
        assert len(writes_of_copies(remote, begun)) == 3


def test_a_new_version_of_a_source_with_the_same_content_costs_no_write_and_no_read(site: Playground) -> None:
    """Neither does a copy without the annotation, as earlier releases have written them."""
    with remote_sync(site, "sync", "--no-leader-elect") as remote:
        password = new_password()
        site.set_source(password)
        namespaces = [site.namespace(selected=True) for _ in range(3)]
        for namespace in namespaces:
            site.await_selected(namespace, password)
        annotate(site, namespaces[0], COPY, sources=None)
        before = {namespace: metadata(site, namespace)["resourceVersion"] for namespace in namespaces}

        begun = time.monotonic()
        annotate(site, site.installation.namespace, SOURCE, **{"expires-at": "2099-01-01T00:00:00Z"})
        # Every namespace is looked at when a source is gone, and again when it is back.
        site.delete(site.installation.namespace, "secrets", SOURCE)
        await_event(site, "SourceMissing")
        site.set_source(password)
        await_event(site, "SourceRecovered")
        another = site.namespace(selected=True)
        site.await_selected(another, password)
        assert metadata(site, another)["annotations"][ANNOTATION] == version_of_the_source(site)

        assert {namespace: metadata(site, namespace)["resourceVersion"] for namespace in namespaces} == before
        assert all(another in request.target for request in writes_of_copies(remote, begun))
        assert reads_of_the_source(site, remote, begun) == []
