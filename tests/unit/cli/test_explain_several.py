"""``pullsecrets explain pods``: one line for each object, and every format of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.unit.cli.test_terminal import Terminal, plain
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.inspect.test_release import put_release
from tests.unit.inspect.test_selection import put_namespace
from webhook.cli import main
from webhook.cli.target import kubectl_name


@pytest.fixture
def explain(
    api: FakeApiServer, kubeconfig: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run explain in a cluster with team-a, which has opted in, and team-b, which has not."""
    put_release(api, "psw", "pull-secrets")
    put_namespace(api, "team-a")
    put_namespace(api, "team-b", selected=False)

    def run(*arguments: str, columns: int = 0) -> tuple[int, str, str]:
        output = Terminal() if columns else io.StringIO()
        monkeypatch.setattr("sys.stdout", output)
        monkeypatch.setenv("COLUMNS", str(columns or 80))
        monkeypatch.setenv("TERM", "xterm")
        with pytest.raises(SystemExit) as ended:
            main(["explain", *arguments, "--kubeconfig", str(kubeconfig)])
        return int(ended.value.code or 0), plain(output.getvalue()), capsys.readouterr().err

    return run


def test_each_object_is_one_line_in_a_pipe_with_those_that_need_attention_first(
    explain: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, err = explain("pods", "-A")
    lines = out.splitlines()
    assert [line.partition(": ")[2].partition(":")[0] for line in lines] == [
        "Pod/web in namespace team-a",
        "Pod/web in namespace team-b",
    ]
    assert [line.partition(" ")[0] for line in lines] == ["STOP", "SKIP"]
    assert err.splitlines()[-1] == "1 of 2 Pods needs attention: 1 STOP, 1 SKIP"
    assert code == 1


def test_the_line_is_the_first_one_about_the_object_alone(explain: Callable[..., tuple[int, str, str]]) -> None:
    _, alone, _ = explain("pod/web", "-n", "team-a")
    _, out, _ = explain("pods", "-n", "team-a")
    assert out == f"{alone.splitlines()[0]}\n"


@pytest.mark.parametrize("columns", [40, 80])
def test_it_is_folded_on_a_terminal(explain: Callable[..., tuple[int, str, str]], columns: int) -> None:
    _, out, _ = explain("po", "-A", columns=columns)
    folded = [line for line in out.splitlines() if not line.startswith("Next: ")]
    assert max(map(len, folded)) <= columns
    assert len(folded) > len([line for line in folded if line.startswith(("STOP", "SKIP"))]) == 2


def test_skipped_objects_do_not_need_attention(explain: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = explain("deployments.apps", "-n", "team-b")
    assert (code, out.partition(" ")[0]) == (0, "SKIP")
    assert err.splitlines()[-1] == "0 of 1 Deployment needs attention: 1 SKIP"


def test_v_and_wide_show_every_gate_of_each(explain: Callable[..., tuple[int, str, str]]) -> None:
    for flags in (("-v",), ("-o", "wide")):
        _, out, _ = explain("sa", "-A", *flags)
        assert out.count("opt-in label") == 2
        assert "\n\nSKIP" in out


def test_json_and_yaml_are_lists_of_the_documents(explain: Callable[..., tuple[int, str, str]]) -> None:
    _, alone, _ = explain("pod/web", "-n", "team-a", "-o", "json")
    code, out, _ = explain("pods", "-A", "-o", "json")
    _, as_yaml, _ = explain("pods", "-A", "-o", "yaml")
    documents = json.loads(out)
    assert (code, len(documents), documents[0]) == (1, 2, json.loads(alone))
    assert yaml.safe_load(as_yaml) == documents
    assert json.loads(explain("cronjobs", "-A", "-o", "json")[1]) == []


def test_name_prints_what_needs_attention_as_kubectl_names_it(explain: Callable[..., tuple[int, str, str]]) -> None:
    assert explain("pods", "-A", "-o", "name")[:2] == (1, "pod/web\n")
    assert explain("deploy", "-A", "-o", "name")[:2] == (1, "deployment.apps/web\n")
    assert explain("pods", "-n", "team-b", "-o", "name")[:2] == (0, "")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Pod/web", "pod/web"),
        ("ServiceAccount/default", "serviceaccount/default"),
        ("CronJob/nightly", "cronjob.batch/nightly"),
        ("ReplicationController/old", "replicationcontroller/old"),
    ],
)
def test_a_group_is_part_of_the_name(title: str, name: str) -> None:
    assert kubectl_name(title) == name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("pod/web", "-A"),
            "-A, -l and -o name are about all objects of a kind: write the kind alone, such as pods",
        ),
        (
            ("pods", "web", "-l", "app=web"),
            "-A, -l and -o name are about all objects of a kind: write the kind alone, such as pods",
        ),
        (
            ("service", "-o", "name"),
            "-A, -l and -o name are about all objects of a kind: write the kind alone, such as pods",
        ),
        (("pods", "-A", "-n", "team-a"), "-n selects one namespace, -A selects all: give one of them"),
        (("pods", "-f", "examples"), "-f and --assume-label explain one object: name it, such as pod/NAME"),
        (("service",), "service is not an object: write pod/NAME, deploy/NAME, sa/NAME, ns/NAME or reason/ID"),
    ],
)
def test_flags_that_contradict_are_one_sentence(
    explain: Callable[..., tuple[int, str, str]], arguments: tuple[str, ...], message: str
) -> None:
    assert explain(*arguments) == (2, "", f"error: {message}\n")
