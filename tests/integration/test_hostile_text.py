"""Text that a terminal obeys, written by a tenant where the API server accepts it: every command prints it escaped."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certs.authority import issue_authority, issue_leaf
from tests.cluster.processes import COMMAND, clean_environment
from tests.integration.policies.judge import ADMISSION
from tests.integration.site.commands import of_release
from tests.integration.site.playground import SOURCE, Playground, dockerconfigjson, eventually, pod
from tests.integration.test_cleanup import cleanup
from tests.unit.registries.registry import PASSWORD, Behaviour, Registry

Maker = Callable[..., Playground]

HOSTILE = "\x1b[31mred\x1b]0;title\x07 \r\n\x85\x9b2J\u202eright\u2066left\u200b\ufeff" + "x" * 3000
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
COMMANDS = {
    "explain": ("explain", "{target}", "-n", "{team}", "-o"),
    "check": ("check", "-o"),
    "plan": ("plan", "-A", "-o"),
    "coverage": ("coverage", "-n", "{team}", "-o"),
    "usage": ("usage", "-n", "{team}", "-o"),
    "usage of a Secret": ("usage", HOSTILE, "-n", "{team}", "-o"),
    "revoke": ("revoke", SOURCE, "--dry-run", "-n", "{team}", "-o"),
}
FORMS = {
    "explain": ("table", "json", "yaml"),
    "check": ("table", "json", "junit"),
    "plan": ("table", "json", "yaml"),
    "coverage": ("table", "json", "html"),
    "usage": ("table", "json", "html"),
    "usage of a Secret": ("wide", "json", "html"),
    "revoke": ("table", "json", "html"),
}


@pytest.fixture
def attacked(playground: Callable[..., Playground]) -> tuple[Playground, str]:
    """An installation whose source and one tenant hold hostile text; no process runs."""
    ours = playground()
    team = ours.namespace(selected=True)
    ours.create(
        team,
        "pods",
        pod(
            "web",
            image=f"registry.example.com/{HOSTILE}:1",
            imagePullSecrets=[{"name": HOSTILE}, {"name": ".."}, {"name": "../../../pods"}],
        ),
    )
    account = {"metadata": {"name": "api", "annotations": {"note": HOSTILE}}, "imagePullSecrets": [{"name": HOSTILE}]}
    ours.create(team, "serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", **account})
    event = {
        "metadata": {"generateName": "hostile-"},
        "involvedObject": {"kind": "Namespace", "name": team, "namespace": team},
        "reason": "CopyDenied",
        "message": HOSTILE[:900],
        "type": "Warning",
        "source": {"component": "pull-secret-webhook"},
    }
    ours.create(team, "events", {"apiVersion": "v1", "kind": "Event", **event})
    text = '{"auths":{"' + HOSTILE.encode("unicode_escape").decode().replace("\\x", "\\u00") + '":{"auth":"dTpw"}}}'
    ours.apply(
        ours.installation.namespace,
        "Secret",
        SOURCE,
        {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": text}},
    )
    return ours, team


def test_no_command_prints_what_a_terminal_obeys(attacked: tuple[Playground, str]) -> None:
    ours, team = attacked
    seen = ""
    for name, command in COMMANDS.items():
        for target in ("pod/web", "sa/api", f"ns/{team}") if name == "explain" else ("",):
            arguments = [each.format(target=target, team=team) for each in command]
            for form in FORMS[name]:
                ran = of_release(ours, *arguments, form)
                where = (name, target, form)
                assert ran.code in (0, 1, 2, 4), (where, ran.err)
                assert "Traceback" not in ran.err, where
                assert UNSAFE.findall(ran.out + ran.err) == [], where
                assert form not in ("json", "yaml") or ran.out.isascii(), where
                seen += ran.out
    # The control: the hostile text did reach the commands.
    assert "\\x1b" in seen
    assert "\\u001b" in seen or "\\e[31m" in seen


MARK = "hostile.example.com/denied"


@contextlib.contextmanager
def denying(ours: Playground) -> Iterator[None]:
    """Have a policy refuse changes of ServiceAccounts in marked namespaces, with a message that a terminal obeys."""
    name = f"{ours.installation.release}-hostile"
    about: dict[str, Any] = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["serviceaccounts"]}
    message = json.dumps(HOSTILE[:900].replace("\r", "").replace("\n", ""))
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"namespaceSelector": {"matchLabels": {MARK: name}}, "resourceRules": [rule]},
        "validations": [{"expression": "false", "messageExpression": message, "reason": "Forbidden"}],
    }
    binding = {"policyName": name, "validationActions": ["Deny"]}
    policies = f"{ADMISSION}/validatingadmissionpolicies"
    bindings = f"{ADMISSION}/validatingadmissionpolicybindings"
    ours.cluster.api.call("POST", policies, {"kind": "ValidatingAdmissionPolicy", **about, "spec": spec})
    ours.cluster.api.call("POST", bindings, {"kind": "ValidatingAdmissionPolicyBinding", **about, "spec": binding})
    try:
        yield
    finally:
        ours.cluster.api.call("DELETE", f"{bindings}/{name}")
        ours.cluster.api.call("DELETE", f"{policies}/{name}")


def test_what_a_policy_says_is_escaped_in_events_logs_and_the_output_of_cleanup(ours: Playground) -> None:
    sync = ours.start_sync("first", "--log-format=text")
    team = ours.namespace(selected=True, labels={MARK: f"{ours.installation.release}-hostile"})
    ours.await_selected(team, "first")
    shown: dict[str, str] = {}

    def note(where: str, *arguments: str) -> None:
        ran = of_release(ours, *arguments)
        shown[where] = ran.out + ran.err

    with denying(ours):
        change = {"metadata": {"annotations": {"x": "y"}}}
        path = f"/api/v1/namespaces/{team}/serviceaccounts/default?dryRun=All"
        merge = "application/merge-patch+json"
        eventually(lambda: ours.cluster.api.request("PATCH", path, change, merge).status == 403)
        ours.opt(team, None)
        shown["event"] = eventually(lambda: dict(ours.events(team)).get("CopyDenied", ""))
        eventually(lambda: "namespace failed" in sync.program.output)
        for form in FORMS["explain"]:
            note(f"explain {form}", "explain", f"ns/{team}", "-o", form)
        for form in FORMS["check"]:
            note(f"check {form}", "check", f"--release-namespace={ours.installation.namespace}", "-o", form)
        for flags in (("--dry-run",), ("--yes", "--timeout=10s", "--log-format=text")):
            ran = cleanup(ours, *flags)
            shown[f"cleanup {flags[0]}"] = ran.stdout + ran.stderr
        shown["log"] = sync.program.output
    assert {where: UNSAFE.findall(text) for where, text in shown.items()} == {where: [] for where in shown}
    assert [where for where, text in shown.items() if "Traceback" in text] == []
    # The control: the commands had something to show, and the message of the policy did reach these.
    assert [team, "ServiceAccount/default"] in [line.split()[:2] for line in shown["cleanup --dry-run"].splitlines()]
    assert "could not be removed" in shown["cleanup --yes"]
    assert [where for where in ("event", "log") if "\\x1b[31mred" not in shown[where]] == []


def test_export_writes_what_a_configuration_says_in_plain_ascii(tmp_path: Path) -> None:
    selector = {"matchLabels": {"team": "x"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["x"]}]}
    places: list[Callable[[dict[str, Any]], object]] = [
        lambda each: each["optIn"].update(label=HOSTILE),
        lambda each: each["optIn"].update(value=HOSTILE),
        lambda each: each["pullSecrets"][0]["namespaceSelector"]["matchLabels"].update({"team": HOSTILE}),
        lambda each: each["pullSecrets"][0]["namespaceSelector"]["matchLabels"].update({HOSTILE: "x"}),
        lambda each: each["pullSecrets"][0]["namespaceSelector"]["matchExpressions"][0].update(values=[HOSTILE]),
        lambda each: each["pullSecrets"][0]["serviceAccounts"].update(exclude=[HOSTILE]),
        lambda each: each["pullSecrets"][0].update(registries=[HOSTILE], pods="WhenImageMatches"),
        lambda each: each.update(excludedNamespaces=[HOSTILE]),
    ]
    for change in places:
        document = {
            "apiVersion": "pullsecrets.webhook/v1alpha1",
            "kind": "Configuration",
            "optIn": {"label": "x/inject", "value": "enabled"},
            "pullSecrets": [
                {
                    "name": "registry",
                    "sources": [{"secretName": "source"}],
                    "namespaceSelector": json.loads(json.dumps(selector)),
                    "serviceAccounts": {},
                }
            ],
        }
        change(document)
        path = tmp_path / "configuration.yaml"
        path.write_text(json.dumps(document))
        ran = exported(path)
        assert UNSAFE.findall(ran.stdout + ran.stderr) == []
        assert "Traceback" not in ran.stderr
        assert ran.returncode in (0, 2)
        assert ran.stdout.isascii()


def exported(path: Path) -> subprocess.CompletedProcess[str]:
    command = [
        str(COMMAND),
        "export",
        "mutating-admission-policy",
        f"--config={path}",
        "--release-namespace=pull-secrets",
    ]
    return subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False, timeout=60)


def test_what_a_registry_answers_is_escaped(attacked: tuple[Playground, str], tmp_path: Path) -> None:
    ours, _ = attacked
    authority = issue_authority(datetime.now(UTC), timedelta(days=1))
    leaf = issue_leaf(authority, ["127.0.0.1"], datetime.now(UTC), timedelta(days=1))
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
    (tmp_path / "tls.pem").write_bytes(leaf.certificate_pem + leaf.private_key_pem)
    registry = Registry(tmp_path / "tls.pem")
    data = {"type": "kubernetes.io/dockerconfigjson", "data": dockerconfigjson(PASSWORD, registry.key)}
    ours.delete(ours.installation.namespace, "secrets", SOURCE)
    ours.apply(ours.installation.namespace, "Secret", SOURCE, data)
    text = HOSTILE.replace("\u202e", "").replace("\u2066", "").replace("\u200b", "").replace("\ufeff", "")
    answers: list[dict[str, Any]] = [
        {"realm": f"https://{registry.key}/token?{text}"},
        {"realm": text},
        {"realm": f"https://{text}/token"},
        {"scheme": "\x1b[31m"},
        {"token": json.dumps({"token": HOSTILE}).encode()},
        {"token": HOSTILE.encode(errors="surrogateescape")},
        {"status": 302, "location": text},
        {"status": 999},
    ]
    try:
        for answer in answers:
            registry.behaviour = Behaviour(**answer)
            for form in FORMS["check"]:
                flags = ("--registries", f"--registry-ca-file={tmp_path / 'ca.crt'}", "-o", form)
                ran = of_release(ours, "check", f"--release-namespace={ours.installation.namespace}", *flags)
                assert registry.behaviour.seen, "the registry was not asked"
                assert ran.code in (0, 1, 2), (answer, ran.err)
                assert "Traceback" not in ran.err, answer
                assert UNSAFE.findall(ran.out + ran.err) == [], (answer, form)
    finally:
        registry.close()
