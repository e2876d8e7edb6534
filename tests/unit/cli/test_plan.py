"""``pullsecrets plan`` as a person sees it: exact output, exit codes, and never a credential."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from webhook.cli import main

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
MARKER = "marker-hunter2"

SOURCE = f"""\
apiVersion: v1
kind: Secret
metadata: {{name: harbor, namespace: pull-secrets}}
type: kubernetes.io/dockerconfigjson
stringData: {{.dockerconfigjson: '{{"auths":{{"h.example":{{"username":"u","password":"{MARKER}"}}}}}}'}}
"""
ACCOUNT = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: api, namespace: team-a}\n"
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: team-a, labels: {pullsecrets.webhook/inject: enabled}}\n"
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: team-a}\ndata: {n: 'no', e: '1e3'}\n"


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def plan(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run ``pullsecrets plan`` with the example configuration, in the folder of the project."""
    monkeypatch.chdir(ROOT)

    def run(*arguments: str, stdin: str = "") -> Result:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with pytest.raises(SystemExit) as caught:
            main(["plan", "--config", "examples/configuration.yaml", *arguments])
        return Result(int(caught.value.code or 0), *capsys.readouterr())

    return run


def test_the_table_in_the_documentation_is_what_is_printed(plan: Callable[..., Result]) -> None:
    page = (ROOT / "docs" / "plan.md").read_text()
    documented = re.search(r"^\$ pullsecrets plan (-f .*?)\n(.*?)\$ echo \$\?\n(\d)", page, re.MULTILINE | re.DOTALL)
    assert documented is not None
    arguments = documented[1].replace(" --config examples/configuration.yaml", "").split()

    result = plan(*arguments)

    assert result.out + result.err == documented[2]
    assert result.code == int(documented[3])


def test_nothing_to_do_is_exit_code_0(plan: Callable[..., Result]) -> None:
    assert plan("-f", "-", stdin=(EXAMPLES / "unlabelled.yaml").read_text()) == Result(
        0,
        "NAMESPACE  OBJECT              RESULT  REASON                  WHY\n"
        + "".join(
            f"team-b     {title}  =       namespace-not-opted-in  "
            'namespace "team-b" does not have the label pullsecrets.webhook/inject=enabled\n'
            for title in ("Namespace/team-b  ", "ServiceAccount/api", "Pod/migrate       ")
        ),
        "0 of 3 objects would change\n",
    )


def test_json_has_each_row_with_the_reason_of_each_pull_secret(plan: Callable[..., Result]) -> None:
    result = plan("-f", "-", "-o", "json", stdin=f"{NAMESPACE}---\n{ACCOUNT}")

    document = json.loads(result.out)
    assert document["rows"][2] == {
        "namespace": "team-a",
        "object": "ServiceAccount/api",
        "effect": "references",
        "added": ["registry-credentials"],
        "removed": [],
        "reason": "injected",
        "why": "registry-credentials is due here and not yet referenced",
        "pullSecrets": [
            {"name": "registry-credentials", "reason": "injected"},
            {"name": "vendor-credentials", "reason": "namespace-not-selected"},
            {"name": "team-registry", "reason": "namespace-not-selected"},
        ],
        "origin": "standard input, document 2",
        "owner": None,
    }
    assert document["rows"][1]["origin"] is None
    assert document["summary"] == {
        "objects": 2,
        "copies": 1,
        "changes": 2,
        "undecided": 0,
        "podsToRecreate": 0,
        "podsToEvict": 0,
        "problems": 0,
        "notLookedAt": 0,
    }


def test_yaml_says_the_same_as_json(plan: Callable[..., Result]) -> None:
    stdin = f"{NAMESPACE}---\n{ACCOUNT}"

    assert yaml.safe_load(plan("-f", "-", "-o", "yaml", stdin=stdin).out) == json.loads(
        plan("-f", "-", "-o", "json", stdin=stdin).out
    )


def test_manifests_are_printed_as_they_would_be_stored_but_for_secrets(plan: Callable[..., Result]) -> None:
    result = plan("-f", "-", "-o", "manifests", stdin=f"{SOURCE}---\n{NAMESPACE}---\n{ACCOUNT}---\n{CONFIG_MAP}")

    assert result == Result(
        1,
        """\
apiVersion: v1
kind: Namespace
metadata:
  name: team-a
  labels:
    pullsecrets.webhook/inject: enabled
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: api
  namespace: team-a
imagePullSecrets:
- name: registry-credentials
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: a
  namespace: team-a
data:
  "n": "no"
  e: "1e3"
""",
        "# 1 Secret left out, because credentials are not printed\n"
        "1 of 2 objects would change, 1 copy would be written, 2 of other kinds skipped\n",
    )


def test_the_printed_manifests_change_nothing_more(plan: Callable[..., Result]) -> None:
    stored = plan("-f", "examples/team-a.yaml", "-o", "manifests").out

    rows = json.loads(plan("-f", "-", "-o", "json", stdin=stored).out)["rows"]

    assert [row["reason"] for row in rows if row["object"] in ("ServiceAccount/api", "Pod/migrate")] == [
        "already-present",
        "already-present",
    ]


@pytest.mark.parametrize("output", ["table", "json", "yaml", "manifests"])
def test_no_output_holds_a_credential(plan: Callable[..., Result], output: str) -> None:
    broken = SOURCE.replace("harbor", "ghcr").replace('"username":"u",', "")

    result = plan(
        "-f", "-", "--release-namespace", "pull-secrets", "-o", output, stdin=f"{SOURCE}---\n{broken}---\n{NAMESPACE}"
    )

    assert "1 of other kinds" not in result.err
    assert MARKER not in result.out + result.err


def test_sources_are_checked_in_the_release_namespace(plan: Callable[..., Result]) -> None:
    result = plan("-f", "-", "--release-namespace", "pull-secrets", stdin=f"{SOURCE}---\n{NAMESPACE}")

    assert [re.split(" {2,}", line) for line in result.out.splitlines()[1:]] == [
        ["pull-secrets", "Secret/harbor", "=", "source-valid", "it has credentials that can be copied, for h.example"],
        ["team-a", "Namespace/team-a", "=", "namespace-selected", "selected; gets registry-credentials"],
        [
            *("team-a", "Secret/registry-credentials", "+ copy"),
            *("source-not-seen", "made from its sources; ghcr was not read"),
        ],
    ]


def test_undecided_objects_and_problems_are_counted(plan: Callable[..., Result]) -> None:
    broken = SOURCE.replace("dockerconfigjson\n", "dockercfg\n")

    result = plan("-f", "-", "--release-namespace", "pull-secrets", stdin=f"{broken}---\n{ACCOUNT}")

    assert result.code == 2
    assert result.err.splitlines()[-1] == "0 of 2 objects would change, 1 undecided, 1 problem"


def test_a_namespace_that_is_not_known_is_named_with_its_own_exit_code(plan: Callable[..., Result]) -> None:
    result = plan("-f", "-", stdin=ACCOUNT)

    assert result.code == 4
    assert result.err.splitlines()[0] == (
        "note: namespace team-a is undecided without its labels: add its Namespace to the files, "
        "or give its labels with --assume-label KEY=VALUE"
    )
    assert result.err.splitlines()[1].startswith("note: labels were not read from a cluster: ")
    assert result.err.splitlines()[-1] == "0 of 1 object would change, 1 undecided"


def test_labels_that_are_assumed_decide_without_a_cluster(plan: Callable[..., Result]) -> None:
    nameless = ACCOUNT.replace(", namespace: team-a", "")

    opted_in = plan("-f", "-", "-n", "team-b", "--assume-label", "pullsecrets.webhook/inject=enabled", stdin=nameless)
    other = plan("-f", "-", "--assume-label", "team=b", stdin=f"{ACCOUNT}---\n{NAMESPACE.replace('team-a', 'team-c')}")

    assert (opted_in.code, opted_in.err) == (1, "1 of 1 object would change\n")
    assert opted_in.out.splitlines()[1].split()[:4] == ["team-b", "ServiceAccount/api", "+", "registry-credentials"]
    assert (other.code, other.err) == (1, "0 of 2 objects would change, 1 copy would be written\n")


def test_without_a_configuration_the_cluster_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ACCOUNT.encode())))
    with pytest.raises(SystemExit) as caught:
        main(["plan", "-f", "-", "--kubeconfig", "no"])

    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        "error: without --config the configuration is read from the cluster, but kubeconfig no cannot be read: "
        "it does not exist; give a readable file with --kubeconfig\n"
    )


def test_objects_that_are_there_twice_are_reported(plan: Callable[..., Result]) -> None:
    result = plan("-f", "-", stdin=f"{ACCOUNT}---\n{ACCOUNT}")

    assert (
        "warning: ServiceAccount/api in namespace team-a occurs twice, the last one is used:"
        " standard input, document 1, and standard input, document 2"
    ) in result.err.splitlines()


def test_manifests_without_a_namespace_are_in_the_default_one(plan: Callable[..., Result]) -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {}\n"

    assert plan("-f", "-", stdin=pod).out.splitlines()[1].startswith("default ")
    assert plan("-f", "-", "--namespace", "team-a", stdin=pod).out.splitlines()[1].startswith("team-a ")


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (
            ["-f", "no.yaml"],
            "",
            "the file no.yaml cannot be read (No such file or directory): name a file, a folder or -",
        ),
        (["-f", "-"], "", "there is no object in standard input: name manifests with -f"),
        (["-f", "-"], "a: 1\n", "standard input, document 1 is not a Kubernetes object: it has no kind"),
        (["-f", "-"], "a: {", "standard input, document 1 is not valid YAML: "),
        (["-f", "-", "-A"], "", "-f reads files; -A, -l, --label and --unlabel need a cluster"),
        (["--assume-label", "a=b"], "", "--assume-label needs manifests: give them with -f"),
        (["-f", "-", "--assume-label", "enabled"], ACCOUNT, "--assume-label enabled is not KEY=VALUE: write"),
        (["-f", "-", "--assume-label", "a=b c"], ACCOUNT, "--assume-label a=b c is not KEY=VALUE: b c is not a valid"),
        (["-f", "-", "--kubeconfig", "no"], ACCOUNT, "kubeconfig no cannot be read: it does not exist"),
        (["-A", "-n", "team-a"], "", "-n selects one namespace, -A and -l select several: give one of them"),
        (["--label", "pod/x"], "", "--label pod/x is not a namespace: write ns/NAME"),
        (["--label", "ns/a", "--unlabel", "ns/a"], "", "--label and --unlabel both name namespace a: give one"),
        (["-A", "-o", "manifests"], "", "-o manifests prints the files of -f: give files, or another --output"),
        (["-A", "--kubeconfig", "no"], "", "kubeconfig no cannot be read: it does not exist"),
        (["-f", "-", "-o", "short"], ACCOUNT, "Invalid value for '--output' / '-o'"),
        (["-f", "-", "--config", "no.yaml"], ACCOUNT, "the configuration file no.yaml cannot be read"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_exit_code_2(
    plan: Callable[..., Result], arguments: list[str], stdin: str, message: str
) -> None:
    code, out, err = plan(*arguments, stdin=stdin)

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {message}")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    many = "---\n".join(ACCOUNT.replace("name: api", f"name: api-{number}") for number in range(2000))
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from webhook.cli import main; main()"),
            *("plan", "-f", "-", "--config", "examples/configuration.yaml", "-o", "json"),
        ],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process:
        process.stdin.write(many)
        process.stdin.close()
        error = process.stderr.read()

    assert process.returncode == 4
    assert error.splitlines()[-1] == "0 of 2,000 objects would change, 2,000 undecided"
    assert "Traceback" not in error


def test_wide_has_more_columns_and_name_only_what_would_change(plan: Callable[..., Result]) -> None:
    files = ("-f", "examples/team-a.yaml", "-f", "examples/unlabelled.yaml")
    header, *rows = plan(*files, "-o", "wide").out.splitlines()
    assert header.split()[-3:] == ["OWNER", "PULL", "SECRETS"]
    (api,) = (row for row in rows if "Deployment/api" in row)
    left = " ".join(f"{name}=namespace-not-selected" for name in ("vendor-credentials", "team-registry"))
    assert api.endswith(f"<none>  registry-credentials=injected {left}")
    names = plan(*files, "-o", "name")
    assert names.out == "secret/registry-credentials\nserviceaccount/api\npod/migrate\ndeployment.apps/api\n"
    assert names.code == 1
