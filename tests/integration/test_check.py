"""``pullsecrets check`` on a real API server: nothing is found where all is well, and each fault by its code."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certs.authority import issue_authority, issue_leaf
from tests.cluster import binaries
from tests.cluster.cluster import Cluster
from tests.cluster.processes import PullSecrets
from tests.integration.faults.checks import ALSO, FAULTS, no_copy
from tests.integration.site.commands import of_release, run
from tests.integration.site.patient import Patient
from tests.integration.site.playground import COPY, SOURCE, Playground, dockerconfigjson, eventually
from tests.integration.site.rights import await_right
from tests.unit.registries.registry import PASSWORD, Registry


@pytest.fixture(scope="module")
def alone(control_plane: binaries.Binaries) -> Iterator[Cluster]:  # noqa: ARG001 (built before it is started)
    """A cluster for this installation alone: what is elsewhere in it is looked at too."""
    with Cluster.start() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def installed(alone: Cluster) -> Iterator[Patient]:
    with Playground.make(alone) as playground:
        yield Patient(playground)


@pytest.fixture
def patient(installed: Patient) -> Iterator[Patient]:
    installed.hold_lease()
    yield installed
    installed.heal()


def test_nothing_is_found_on_a_healthy_installation(patient: Patient) -> None:
    eventually(patient.check, lambda found: found == {})  # the API server learns of webhooks by watches


def test_a_running_sync_is_in_order_too(patient: Patient) -> None:
    sync: PullSecrets = patient.installation.start_sync()
    sync.wait_ready()
    ran = of_release(patient.ours, "check", "--wait", "--timeout=30s")
    assert ran.code == 0, ran.out
    assert sync.stop() == 0


@pytest.mark.parametrize(("fault", "codes"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_each_fault_is_found_by_its_code(patient: Patient, fault: Callable[[Patient], None], codes: set[str]) -> None:
    fault(patient)
    expected = codes | ALSO.get(fault.__name__, set())

    def told() -> set[str]:
        ran = of_release(patient.ours, "check", f"--release-namespace={patient.namespace}", "-o", "json")
        assert ran.code in (1, 2), ran.err
        checks = json.loads(ran.out)["checks"]
        return {each["code"] for each in checks if each["result"] == "finding"}

    # Rights and webhooks are known to the API server by watches of its own, a moment later: those of this test, and
    # those that the test before it has put back.
    eventually(told, lambda seen: codes <= seen <= expected)


def test_a_source_whose_name_changes_with_its_content_is_noted(patient: Patient) -> None:
    path = f"/api/v1/namespaces/{patient.namespace}/configmaps/{patient.name}"
    text = patient.api.call("GET", path)["data"]["config.yaml"]
    value = text.replace(f"secretName: {SOURCE}", f"secretName: {SOURCE}-7ct58987ht")
    patient.patch(path, [{"op": "replace", "path": "/data/config.yaml", "value": value}])

    ran = of_release(patient.ours, "check", f"--release-namespace={patient.namespace}", "-o", "json")
    (noted,) = [each for each in json.loads(ran.out)["checks"] if each["code"] == "PSW036"]
    assert noted["result"] == "note"
    assert f"{SOURCE}-7ct58987ht ends with a hash" in noted["detail"]


def test_junit_and_the_table_say_the_same(patient: Patient) -> None:
    # The API server learns a moment later of what the previous test has restored.
    eventually(patient.check, lambda found: found == {})
    no_copy(patient)
    given = (f"--release-namespace={patient.namespace}",)
    suite = ET.fromstring(of_release(patient.ours, "check", "-o", "junit", *given).out)  # noqa: S314 - our own
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert failed == ["PSW050 copies there"]
    assert (suite.get("failures"), suite.get("tests")) == ("1", str(len(suite)))
    ran = of_release(patient.ours, "check", *given)
    assert [line.split()[:2] for line in ran.out.splitlines() if " FAIL " in line] == [["FAIL", "PSW050"]]
    assert f"the copy {patient.team}/{COPY} is not there" in ran.out
    assert f"\n         pullsecrets explain ns/{patient.team}\n" in ran.out
    assert "to do: Check that sync has a leader (PSW060)" in ran.out
    assert "see: docs/check.md#psw050-copies-there" in ran.out
    assert len([line for line in ran.out.splitlines() if "(-v lists them)" in line]) == 1
    assert "PSW001" not in ran.out.replace("(PSW001)", "")
    assert "PSW001 rights of sync" in of_release(patient.ours, "check", "-v", *given).out
    short = of_release(patient.ours, "check", "-o", "short", *given).out.splitlines()
    # The processes run without Deployments.
    notes = [["PSW061", "note"], ["PSW062", "note"]]
    assert [line.split()[:2] for line in short] == [["CODE", "RESULT"], ["PSW050", "FAIL"], *notes]
    assert ran.err.startswith("1 finding, ")


def test_a_cluster_is_checked_before_an_installation(patient: Patient, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("certificates: {mode: cert-manager}\n")
    kubeconfig, team = patient.ours.cluster.kubeconfig, patient.team

    def results(*flags: str, user: Path = kubeconfig) -> dict[str, list[str]]:
        ran = run(user, "check", "--pre", "-o", "json", *flags)
        found: dict[str, list[str]] = {}
        for each in json.loads(ran.out)["checks"]:
            found.setdefault(each["result"], []).append(each["code"])
        assert ran.code == (1 if "finding" in found else 0), ran.err
        return found

    fresh = ("--release=fresh", f"--release-namespace={team}")
    assert results(*fresh) == {"ok": ["PSW090", "PSW091", "PSW092", "PSW093", "PSW094"]}
    assert results("--release=fresh", "--release-namespace=absent")["note"] == ["PSW093"]
    assert results(*fresh, f"--values={values}")["finding"] == ["PSW092"]
    assert results(f"--release={patient.name}", f"--release-namespace={team}")["finding"][0] == "PSW094"
    nobody = patient.ours.cluster.kubeconfig_with_client_certificate("installs-nothing")
    ran = run(nobody, "check", "--pre", "-o", "short", *fresh)
    assert ran.code == 1
    assert "you lack the right to create mutatingwebhookconfigurations" in ran.out
    assert f"you lack the right to create deployments in namespace {team}" in ran.out


def test_who_may_look_at_little_is_told_what_could_not_be_checked(patient: Patient) -> None:
    nobody = patient.ours.cluster.kubeconfig_with_client_certificate("passer-by")
    ran = run(nobody, "check", f"--release-namespace={patient.namespace}", f"--release={patient.installation.release}")
    assert ran.code == 2
    assert "checks were skipped (-v lists them), because you lack the right to:" in ran.out
    rights = (
        "create subjectaccessreviews.authorization.k8s.io",
        "list namespaces",
        f"in namespace {patient.namespace}",
    )
    assert [right for right in rights if right not in ran.out] == []
    assert len(ran.out.splitlines()) <= 12
    assert "PSW001 rights of sync" in run(nobody, "check", "-v", f"--release={patient.installation.release}").out
    assert "0 findings" in ran.err
    assert "could not be checked" in ran.err


def test_what_may_not_be_looked_at_keeps_no_other_check_from_looking(patient: Patient) -> None:
    rules = [
        {
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["mutatingwebhookconfigurations"],
            "verbs": ["list"],
        },
        {"apiGroups": [""], "resources": ["namespaces", "configmaps"], "verbs": ["get", "list"]},
    ]
    role = {"kind": "ClusterRole", "metadata": {"name": "looker-on"}, "rules": rules}
    group = "rbac.authorization.k8s.io"
    binding = {
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "looker-on"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "looker-on"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "looker-on"}],
    }
    items = [{"apiVersion": f"{group}/v1", **each} for each in (role, binding)]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    patient.ours.cluster.kubectl("apply", "-f", "-", input=listed)
    kubeconfig = patient.ours.cluster.kubeconfig_with_client_certificate("looker-on")
    await_right(patient.ours.cluster, "looker-on", "list", "namespaces")
    ran = run(kubeconfig, "check", f"--release={patient.installation.release}", "-o", "json")

    results = {each["code"]: each["result"] for each in json.loads(ran.out)["checks"]}
    assert ran.code == 2
    assert {code for code, result in results.items() if result == "ok"} >= {"PSW010", "PSW011", "PSW012", "PSW031"}
    assert {code for code, result in results.items() if result == "unknown"} >= {"PSW001", "PSW020", "PSW050", "PSW070"}
    assert "finding" not in results.values()


def test_a_credential_that_its_registry_refuses_is_found_when_it_is_asked_for(patient: Patient, tmp_path: Path) -> None:
    authority = issue_authority(datetime.now(UTC), timedelta(days=1))
    leaf = issue_leaf(authority, ["127.0.0.1"], datetime.now(UTC), timedelta(days=1))
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
    (tmp_path / "tls.pem").write_bytes(leaf.certificate_pem + leaf.private_key_pem)
    registry = Registry(tmp_path / "tls.pem")
    patient.afterwards(registry.close)
    path = f"/api/v1/namespaces/{patient.namespace}/secrets/{SOURCE}"

    def logins(password: str) -> list[tuple[str, str | None]]:
        data = dockerconfigjson(password, registry.key)
        patient.api.json_patch(path, [{"op": "replace", "path": "/data", "value": data}])
        flags = ("--registries", f"--registry-ca-file={tmp_path / 'ca.crt'}", "-o", "json")
        ran = of_release(patient.ours, "check", f"--release-namespace={patient.namespace}", *flags)
        checks = json.loads(ran.out)["checks"]
        return [(each["result"], each["detail"]) for each in checks if each["code"] == "PSW042"]

    def pulls(*images: str) -> list[str]:
        flags = [f"--image={registry.key}/{image}" for image in images]
        flags += [f"--registry-ca-file={tmp_path / 'ca.crt'}", "-o", "json"]
        ran = of_release(patient.ours, "check", f"--release-namespace={patient.namespace}", *flags)
        return [each["result"] for each in json.loads(ran.out)["checks"] if each["code"] == "PSW057"]

    patient.put_back(path)
    assert logins(PASSWORD) == [("ok", None)]
    ((result, detail),) = logins("old")
    assert (result, detail) == (
        "finding",
        f"the credential of source {SOURCE} for {registry.key}: {registry.key} refuses it (401 from {registry.key})",
    )
    assert logins(PASSWORD) == [("ok", None)]
    registry.behaviour.denied = frozenset({"team/base"})
    assert pulls("team/app:1", "team/base:1") == ["finding"]
    assert pulls("team/app:1") == ["ok"]
    assert pulls("team/app:2") == ["unknown"]
    registry.behaviour.denied = frozenset()
    flags = ("--image=ghcr.io/elsewhere/app:1", f"--registry-ca-file={tmp_path / 'ca.crt'}", "-o", "json")
    ran = of_release(patient.ours, "check", f"--release-namespace={patient.namespace}", *flags)
    (uncovered,) = [each for each in json.loads(ran.out)["checks"] if each["code"] == "PSW057"]
    assert uncovered["result"] == "finding"
    assert uncovered["detail"] == "no pull secret has a credential for ghcr.io/elsewhere/app:1"
    registry.behaviour.status = 503
    assert logins(PASSWORD)[0][0] == "unknown"
    ran = of_release(patient.ours, "check", "--registries", "--registry-ca-file=absent")
    assert ran.err == (
        "error: --registry-ca-file absent does not contain a readable certificate (No such file or directory): "
        "give another file\n"
    )
