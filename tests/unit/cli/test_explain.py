"""``pullsecrets explain`` as a person sees it; what it does in a cluster is in tests/integration/test_explain.py."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.unit.fake_apiserver.server import FakeApiServer
from webhook.cli import main

ROOT = Path(__file__).parents[3]


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def explain(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(ROOT)

    def run(*arguments: str, stdin: str = "") -> Result:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with pytest.raises(SystemExit) as caught:
            main(["explain", *arguments])
        return Result(int(caught.value.code or 0), *capsys.readouterr())

    return run


EXAMPLES = ("-f", "examples/team-a.yaml", "-f", "examples/unlabelled.yaml", "--config", "examples/configuration.yaml")


def test_the_table_in_the_documentation_is_what_is_printed(explain: Callable[..., Result]) -> None:
    page = (ROOT / "docs" / "explain.md").read_text()
    shown = re.search(r"^\$ pullsecrets explain (pod/.*?)\n(.*?)\$ echo \$\?\n(\d)", page, re.MULTILINE | re.DOTALL)
    assert shown is not None

    result = explain(*shown[1].split())

    assert (result.out + result.err, result.code) == (shown[2], int(shown[3]))


def test_json_has_each_step(explain: Callable[..., Result]) -> None:
    result = explain("ns/team-b", *EXAMPLES, "-o", "json")
    document = json.loads(result.out)
    assert (document["object"], document["stoppedBy"]) == ("Namespace/team-b", "namespace-not-opted-in")
    assert document["steps"][-1] == {
        "pullSecret": None,
        "gate": "opt-in label",
        "result": "skip",
        "reason": "namespace-not-opted-in",
        "why": 'namespace "team-b" does not have the label pullsecrets.webhook/inject=enabled',
        "advice": "label it: kubectl label namespace team-b pullsecrets.webhook/inject=enabled",
        "next": "kubectl label namespace team-b pullsecrets.webhook/inject=enabled",
    }


@pytest.mark.parametrize("target", [("deployment/api",), ("deploy", "api"), ("deployments.apps", "api")])
def test_a_workload_is_explained_by_its_pods(explain: Callable[..., Result], target: tuple[str, ...]) -> None:
    result = explain(*target, "-n", "team-a", *EXAMPLES)
    assert (result.code, result.out, result.err) == (
        0,
        (
            "PASS: Deployment/api in namespace team-a: everything is in place; vendor-credentials and team-registry do "
            "not apply, and -v shows why\n"
        ),
        "",
    )


def test_an_unknown_context_is_answered_with_those_that_there_are(
    explain: Callable[..., Result], tmp_path: Path
) -> None:
    names = ["production", "staging", *(f"lab-{number}" for number in range(20))]
    contexts = [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in names]
    file = tmp_path / "config"
    file.write_text(json.dumps({"contexts": contexts, "clusters": [], "users": [], "current-context": "staging"}))
    result = explain("pod/web", "--kubeconfig", str(file), "--context", "prodution")
    assert result.code == 2
    assert result.err.startswith(
        f"error: kubeconfig {file} has no context prodution; choose with --context: production, staging, lab-0, "
    )
    assert result.err.endswith("and 12 more\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("web",), "web is not an object: write pod/NAME, deploy/NAME, sa/NAME, ns/NAME or reason/ID"),
        (("pod/a/b",), "pod/a/b is not an object: write pod/NAME, deploy/NAME, sa/NAME, ns/NAME or reason/ID"),
        (("pod/",), "pod/ is not an object: write pod/NAME, deploy/NAME, sa/NAME, ns/NAME or reason/ID"),
        (("reason/image-not-match",), "there is no reason id image-not-match; did you mean image-not-matched?"),
        (("reason/zzz",), "there is no reason id zzz; docs/reasons.md lists all"),
        (("pod/x", *EXAMPLES), "the files do not contain Pod x in namespace default: check -f and -n"),
        (("ns/x", *EXAMPLES), "the files do not contain Namespace x: check -f and -n"),
        (
            ("pod/x", "-f", "-"),
            (
                "there is no object in standard input: name manifests with -f, or pipe them: "
                "helm template CHART | pullsecrets plan -f -"
            ),
        ),
        (
            ("pod/x", "-f", str(ROOT / "examples" / "team-a.yaml"), "--kubeconfig", "absent"),
            (
                "without --config the configuration is read from the cluster, but kubeconfig absent cannot be read: "
                "it does not exist; give a readable file with --kubeconfig"
            ),
        ),
        (
            ("pod/x", "--kubeconfig", "absent"),
            "kubeconfig absent cannot be read: it does not exist; give a readable file with --kubeconfig",
        ),
    ],
)
def test_what_a_person_gets_wrong_is_one_sentence(
    explain: Callable[..., Result], arguments: tuple[str, ...], message: str
) -> None:
    assert explain(*arguments) == Result(2, "", f"error: {message}\n")


def test_a_cluster_without_a_release_and_one_that_is_silent_are_told_apart(
    explain: Callable[..., Result], kubeconfig: Path, api: FakeApiServer
) -> None:
    asked = ("pod/web", "-n", "team-a", "--kubeconfig", str(kubeconfig))
    assert (
        "no release of pull-secret-webhook was found in this cluster: check --context, install the chart"
        in explain(*asked).err
    )
    api.go_away()
    result = explain(*asked)
    assert result.code == 2
    assert re.fullmatch(r"error: http://127\.0\.0\.1:\d+: GET .*: no answer from the API server .*\n", result.err)
    api.come_back()


def _namespace(value: str) -> str:
    labels = f"{{pullsecrets.webhook/inject: {value}}}"
    return f"kind: Namespace\napiVersion: v1\nmetadata: {{name: team-z, labels: {labels}}}\n---\n"


def _pod(spec: str) -> str:
    return f"kind: Pod\napiVersion: v1\nmetadata: {{name: web, namespace: team-z}}\nspec: {spec}\n"


def _pod_of(registry: str) -> str:
    return _pod(f"{{containers: [{{name: a, image: {registry}/a:1}}]}}")


_OURS, _OTHERS = _pod_of("registry.example.com"), _pod_of("other.example")
_OUTCOMES = {
    "passed": ("pod/web", _namespace("enabled") + _OURS),
    "stopped by the namespace": ("pod/web", _namespace("other") + _OURS),
    "namespace unknown": ("pod/web", _OURS),
    "image not matched": ("pod/web", _namespace("enabled") + _OTHERS),
    "unreadable": ("pod/web", _pod("5")),
    "another kind": ("configmap/web", "kind: ConfigMap\napiVersion: v1\nmetadata: {name: web, namespace: team-z}\n"),
    "a namespace that is not selected": ("ns/team-z", _namespace("other")),
    "a namespace that is selected": ("ns/team-z", _namespace("enabled")),
}


@pytest.mark.parametrize("outcome", _OUTCOMES)
def test_every_form_holds_every_outcome(explain: Callable[..., Result], outcome: str) -> None:
    target, manifests = _OUTCOMES[outcome]
    arguments = (target, "-n", "team-z", "-f", "-", "--config", "examples/configuration.yaml")
    results = {form: explain(*arguments, "-o", form, stdin=manifests) for form in ("table", "json", "yaml")}

    assert len({result.code for result in results.values()}) == 1
    assert results["table"].code in (0, 1)
    assert yaml.safe_load(results["yaml"].out) == json.loads(results["json"].out)
    assert len({result.err for result in results.values()}) == 1
