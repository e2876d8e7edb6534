"""The commands of the how-to guides, as written there, for who has installed the chart under its usual names."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certs.authority import issue_authority, issue_leaf
from tests.e2e.proxy import Proxy
from tests.e2e.reader import Reader, Typed, blocks
from tests.e2e.release import RESTRICTED, Release
from tests.e2e.site import COPY, OPT_IN, SOURCE, Local, Site
from tests.e2e.workloads import pod
from tests.integration.site.creates import SteadyCreates, failed_open

NAMESPACE = "pull-secrets"
NAME = "pull-secret-webhook"
TEAM = "team-a"
DAY = timedelta(days=1)


def create_namespace(site: Site, name: str, labels: dict[str, str] | None = None) -> None:
    site.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}})
    site.wait(lambda: site.exists("serviceaccount", "default", "-n", name), f"the ServiceAccount of {name}")


@pytest.fixture(scope="module")
def release(site: Site) -> Iterator[Release]:
    create_namespace(site, NAMESPACE, RESTRICTED)
    release = Release(site, NAME, NAMESPACE)
    release.install()
    yield release
    release.uninstall()
    site.kubectl("delete", "namespace", NAMESPACE)


@pytest.fixture
def team(site: Site, release: Release) -> Iterator[str]:  # noqa: ARG001 (it is about its namespaces)
    """The namespace of the pages, which has not opted in."""
    create_namespace(site, TEAM)
    yield TEAM
    site.kubectl("delete", "namespace", TEAM)


@pytest.fixture
def reader(site: Site, release: Release, tmp_path: Path) -> Reader:  # noqa: ARG001 (it is what a reader has)
    registry = {"REGISTRY": site.registry_host, "REGISTRY_USER": site.user}
    if site.local:
        registry["SSL_CERT_FILE"] = str(site.local.node.cluster.ca_file)
    return Reader(site, tmp_path, registry)


def done(typed: Typed, code: int = 0) -> str:
    """Return what was printed, having seen that it ended as it should."""
    assert typed.code == code, f"{typed.out}{typed.err}"
    return typed.out


def credential(site: Site, namespace: str) -> tuple[str, str]:
    """Return a copy's UID, and its password."""
    copy = site.get("secret", COPY, "-n", namespace)
    (entry,) = json.loads(base64.b64decode(copy["data"][".dockerconfigjson"]))["auths"].values()
    return copy["metadata"]["uid"], base64.b64decode(entry["auth"]).decode().partition(":")[2]


def test_rotate(site: Site, local: Local, release: Release, reader: Reader, team: str) -> None:
    site.kubectl("label", "namespace", team, f"{OPT_IN}=enabled")
    release.wait_settled(team)
    replace, wait, registries = blocks("howto/rotate.md")
    uid, before = credential(site, team)
    with contextlib.ExitStack() as back:
        back.callback(local.registry.set_password, before)
        back.callback(site.set_source, NAMESPACE, before)
        local.registry.set_password("rotated")
        done(reader.types(replace, REGISTRY_PASSWORD="rotated"))  # noqa: S106 (invented)
        done(reader.types(wait))
        assert credential(site, team) == (uid, "rotated")
        done(reader.types(registries))


def test_opt_in_and_out(site: Site, release: Release, reader: Reader, team: str) -> None:
    plan, opt_in, explain, coverage, opt_out, decline, plan_everywhere = blocks("howto/opt-in-and-out.md")
    site.apply(pod("early", site.private_image) | {"metadata": {"name": "early", "namespace": team}})

    planned = done(reader.types(plan), code=1)
    assert [line.split()[1] for line in planned.splitlines() if line.startswith(f"{team} ")] == [
        f"Namespace/{team}",
        f"Secret/{COPY}",
        "ServiceAccount/default",
        "Pod/early",
    ]
    done(reader.types(opt_in))
    release.wait_settled(team)
    done(reader.types(explain))
    assert "Pod/early" in done(reader.types(coverage), code=1)

    done(reader.types(opt_out))
    site.wait(lambda: not site.exists("secret", COPY, "-n", team), "the copy is gone")
    assert site.references(team) == []

    done(reader.types(opt_in))
    release.wait_settled(team)
    release.upgrade(optIn={"mayDecline": True})
    done(reader.types(decline))
    site.wait(lambda: not site.exists("secret", COPY, "-n", team), "what was declined is gone")
    assert site.references(team) == []
    assert "namespace-declines" in done(reader.types(explain), code=1)
    release.upgrade(optIn={})

    (reader.folder / "values.yaml").write_text(json.dumps(release.values | {"optIn": {"scope": "All"}}))
    assert "to create" in done(reader.types(plan_everywhere), code=1)


def test_a_team_brings_its_own_credential(site: Site, release: Release, reader: Reader, team: str) -> None:
    plan, create, explain = blocks("howto/own-credential.md")
    before = release.values["pullSecrets"]
    owned = [*before, {"name": "team-registry", "tenantOwned": True}]
    site.kubectl("label", "namespace", team, f"{OPT_IN}=enabled")
    release.wait_settled(team)
    (reader.folder / "values.yaml").write_text(json.dumps(release.values | {"pullSecrets": owned}))
    assert "team-registry" in done(reader.types(plan), code=1)

    with contextlib.ExitStack() as back:
        back.callback(release.upgrade, pullSecrets=before)
        release.upgrade(pullSecrets=owned)
        site.wait(lambda: site.references(team) == [COPY, "team-registry"], f"both references on default of {team}")
        assert "tenant-secret-absent" in done(reader.types(explain))
        done(reader.types(create))
        assert "everything is in place" in done(reader.types(explain))


def test_several_registries(site: Site, release: Release, reader: Reader, team: str) -> None:
    site.kubectl("label", "namespace", team, f"{OPT_IN}=enabled")
    release.wait_settled(team)
    *_, retiring = blocks("howto/several-registries.md", "yaml")
    (reader.folder / "values.yaml").write_text(retiring)
    (plan,) = blocks("howto/several-registries.md")
    summary = done(reader.types(plan), code=1)
    for name, effect in (("platform-credentials", "create"), (COPY, "delete")):
        assert re.search(rf"^{name}\n  copies: \d+ to {effect}$", summary, re.MULTILINE), summary


def references_that_lead_somewhere(site: Site, namespace: str) -> list[str]:
    """Return the references that a Pod has which is created now, of those whose Secret is there."""
    manifest = json.dumps(pod("now", site.private_image))
    answer = site.kubectl("create", "--dry-run=server", "-n", namespace, "--output=json", "-f", "-", stdin=manifest)
    created: dict[str, Any] = json.loads(answer)
    names = [entry["name"] for entry in created["spec"].get("imagePullSecrets", [])]
    return [name for name in names if site.exists("secret", name, "-n", namespace)]


def test_migrate_what_was_made_by_hand(site: Site, release: Release, reader: Reader, team: str) -> None:
    site.set_source(team, site.password, "regcred")
    site.kubectl("patch", "serviceaccount", "default", "-n", team, '-p={"imagePullSecrets": [{"name": "regcred"}]}')
    plan, opt_in, check, patch, delete, roles = blocks("howto/migrate.md")

    assert f"Secret/{COPY}" in done(reader.types(plan), code=1)
    done(reader.types(opt_in))
    assert references_that_lead_somewhere(site, team)
    release.wait_settled(team)
    assert references_that_lead_somewhere(site, team) == ["regcred", COPY]
    done(reader.types(check))
    done(reader.types(patch))
    assert references_that_lead_somewhere(site, team) == [COPY]
    done(reader.types(delete))
    assert references_that_lead_somewhere(site, team) == [COPY]
    assert f"{NAME}-sync" in done(reader.types(roles))


def served_by(site: Site) -> str:
    return str(site.get("secret", f"{NAME}-tls", "-n", NAMESPACE)["data"]["tls.crt"])


def test_a_certificate_of_ones_own_and_back_again(site: Site, release: Release, reader: Reader, team: str) -> None:
    site.kubectl("label", "namespace", team, f"{OPT_IN}=enabled")
    release.wait_settled(team)
    now = datetime.now(UTC)
    authority = issue_authority(now, DAY)
    leaf = issue_leaf(authority, [f"{NAME}-webhook.{NAMESPACE}.svc"], now, DAY)
    (reader.folder / "ca.crt").write_bytes(authority.certificate_pem)
    (reader.folder / "tls.crt").write_bytes(leaf.certificate_pem)
    (reader.folder / "tls.key").write_bytes(leaf.private_key_pem)
    _, *steps, back = blocks("howto/cert-manager.md")

    with Proxy(site) as server:
        opened = failed_open(server)
        with SteadyCreates(server, team, per_second=20) as creates:
            for step in steps:
                done(reader.types(step))
        assert creates.failures == []
        assert failed_open(server) == opened
    mine = base64.b64encode(leaf.certificate_pem).decode()
    assert served_by(site) == mine
    done(reader.types(back))
    assert served_by(site) != mine


def test_cleanup_before_argo_cd_deletes_the_rest(site: Site, release: Release, reader: Reader, team: str) -> None:
    site.kubectl("label", "namespace", team, f"{OPT_IN}=enabled")
    release.wait_settled(team)
    (cleanup,) = blocks("howto/gitops.md")
    done(reader.types(cleanup))
    assert site.references(team) == []
    assert not site.exists("secret", COPY, "-n", team)
    assert site.exists("secret", SOURCE, "-n", NAMESPACE)
