"""The commands of docs/troubleshooting.md find the causes that it names, each in its situation on a real API server.

``WRITE_PAGE=1`` writes the outputs, without gates that pass, into the page, in place of those that it has.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.cluster.cluster import Cluster
from tests.integration.conftest import FIRST_PASSWORD
from tests.integration.site.commands import of_release
from tests.integration.site.playground import COPY, Playground, eventually, pod, service_account
from tests.unit.documented import DOCS

PAGE = DOCS / "troubleshooting.md"
BLOCK = re.compile(r"^```console\n\$ pullsecrets (?P<command>[^\n]+)\n(?P<output>.*?)^```$", re.MULTILINE | re.DOTALL)
REASON = re.compile(r"^The reason is `([a-z-]+)`", re.MULTILINE)


class Symptom(NamedTuple):
    """A section of the page: its heading, the block of its command, and the reason that it names."""

    heading: str
    block: re.Match[str]
    reason: str


def symptoms() -> list[Symptom]:
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    found = [(text.splitlines()[0], BLOCK.search(text), REASON.search(text)) for text in sections]
    return [Symptom(heading, block, reason[1]) for heading, block, reason in found if block and reason]


def namespace_of(symptom: Symptom) -> str:
    command = shlex.split(symptom.block["command"])
    return command[command.index("-n") + 1] if "-n" in command else command[1].partition("/")[2]


def _older(site: Playground, namespace: str) -> None:
    site.create(namespace, "pods", pod("web"))
    site.opt(namespace, "enabled")
    site.await_selected(namespace, FIRST_PASSWORD)


def _not_labelled(site: Playground, namespace: str) -> None:
    site.create(namespace, "pods", pod("web"))


def _mistyped(site: Playground, namespace: str) -> None:
    site.opt(namespace, "true")


def _foreign(site: Playground, namespace: str) -> None:
    site.apply(namespace, "Secret", COPY, {"stringData": {"theirs": "value"}})
    site.opt(namespace, "enabled")


def _other_registry(site: Playground, namespace: str) -> None:
    site.opt(namespace, "enabled")
    site.await_selected(namespace, FIRST_PASSWORD)
    site.await_reference_of_pods(namespace)
    site.create(namespace, "pods", pod("web", image="quay.io/team/app:1"))


def _disabled(site: Playground, namespace: str) -> None:
    site.opt(namespace, "enabled")
    site.await_selected(namespace, FIRST_PASSWORD)
    account = service_account("builder")
    account["metadata"]["labels"] = {site.label: "disabled"}
    site.create(namespace, "serviceaccounts", account)


def _quota(site: Playground, namespace: str) -> None:
    site.forbid_secrets(namespace, "small")
    site.opt(namespace, "enabled")
    eventually(lambda: "CopyDenied" in dict(site.events(namespace)))


def _opted_in(site: Playground, namespace: str) -> None:
    site.opt(namespace, "enabled")


def _pod_labelled(site: Playground, namespace: str) -> None:
    labelled = pod("web")
    labelled["metadata"]["labels"] = {site.label: "enabled"}
    site.create(namespace, "pods", labelled)


WITHOUT_SOURCE = "checkout"
LABEL = "pullsecrets.webhook/inject"
SITUATIONS: dict[str, Callable[[Playground, str], None]] = {
    "shop": _older,
    "billing": _not_labelled,
    "orders": _mistyped,
    "catalog": _pod_labelled,
    WITHOUT_SOURCE: _opted_in,
    "payments": _foreign,
    "media": _other_registry,
    "build": _disabled,
    "sandbox": _quota,
    "legacy": _opted_in,
}


@pytest.fixture(scope="module")
def site(cluster: Cluster) -> Iterator[Playground]:
    """An installation with a source, and the namespaces that the page names."""
    with Playground.make(cluster, excludedNamespaces=["legacy"]) as made:
        made.set_source(FIRST_PASSWORD)
        made.start()
        for namespace in SITUATIONS:
            cluster.create_namespace(namespace)
        yield made
        for namespace in SITUATIONS:
            cluster.api.call("DELETE", f"/api/v1/namespaces/{namespace}")


@pytest.fixture(scope="module")
def without_source(cluster: Cluster) -> Iterator[Playground]:
    with Playground.make(cluster) as made:
        made.start()
        yield made


@pytest.mark.parametrize("symptom", symptoms(), ids=lambda symptom: symptom.heading)
def test_the_command_finds_the_cause_that_the_page_names(
    site: Playground, without_source: Playground, symptom: Symptom
) -> None:
    namespace = namespace_of(symptom)
    if namespace == WITHOUT_SOURCE:
        site = without_source
    SITUATIONS[namespace](site, namespace)
    command = shlex.split(symptom.block["command"])
    ran = eventually(lambda: of_release(site, *command), lambda ran: symptom.reason in ran.out + ran.err)
    assert ran.code == 1, ran.err
    if os.environ.get("WRITE_PAGE"):
        shown = [line for line in f"{ran.out}{ran.err}".splitlines(keepends=True) if " PASS  " not in line]
        printed = "".join(shown).replace(site.installation.namespace, "pull-secrets")
        printed = printed.replace(site.installation.fullname, "pull-secret-webhook").replace(site.label, LABEL)
        page = PAGE.read_text()
        block = f"```console\n$ pullsecrets {symptom.block['command']}\n{printed}```"
        PAGE.write_text(page.replace(symptom.block[0], block))


def test_the_page_has_ten_symptoms() -> None:
    assert len(re.findall(r"^## \d", PAGE.read_text(), re.MULTILINE)) == 10
