"""Names and messages of other people, through every form of every command that can be run without a cluster."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from tests.strangenames import HOSTILE, MARKUP, obeyed
from webhook.cli import main
from webhook.cli.check import write_junit
from webhook.cli.coverage import html_page
from webhook.cli.render import Form, render, render_wide, write_document, write_names
from webhook.inspect.checks.result import RESULTS, CheckResult, Checkup
from webhook.report.coverage import Coverage, ImageExposure
from webhook.report.protocol import RESULT, Line, Report, Severity

CONFIGURATION = """
apiVersion: pullsecrets.webhook/v1alpha1
kind: Configuration
pullSecrets:
  - {name: registry, sources: [{secretName: source}]}
"""


class ThreeCells:
    """A report of one line."""

    columns = ("A", RESULT, "C")

    def __init__(self, text: str) -> None:
        self.text = text

    def lines(self) -> list[Line]:
        return [Line((self.text, self.text, self.text), "bold red")]

    def document(self) -> dict[str, object]:
        return {}

    def summary(self) -> str:
        return ""


class Terminal(io.StringIO):
    """Standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    configuration, manifests = tmp_path / "configuration.yaml", tmp_path / "pod.json"
    configuration.write_text(CONFIGURATION)
    return configuration, manifests


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    with pytest.raises(SystemExit):
        main(list(arguments))
    return capsys.readouterr()


def pod(text: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "team-a", "annotations": {"note": text}},
        "spec": {"containers": [{"name": text, "image": f"registry.example.com/{text}"}]},
    }


@pytest.mark.parametrize("text", [*HOSTILE, *MARKUP])
@pytest.mark.parametrize("form", ["table", "json", "yaml", "manifests"])
def test_a_plan_of_hostile_manifests(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str], form: str, text: str
) -> None:
    configuration, manifests = files
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}}
    manifests.write_text("\n---\n".join(map(json.dumps, (namespace, pod(text)))))
    out, err = run(
        capsys, "plan", "-f", str(manifests), "--config", str(configuration), "--release-namespace=x", "-o", form
    )
    assert obeyed(out) | obeyed(err) == set()
    assert "Traceback" not in err
    if form in {"json", "yaml"}:
        assert out.isascii()


ALL_BUT_HALF = "".join(text for text in HOSTILE if "\ud800" not in text)


@pytest.mark.parametrize("text", [ALL_BUT_HALF, "half\ud800"], ids=ascii)
@pytest.mark.parametrize(
    "arguments",
    [
        ("explain", "pod/{}"),
        ("explain", "{}"),
        ("explain", "reason/{}"),
        ("explain", "{}/web", "-f", "{}"),
        ("plan", "-f", "{}", "--config", "{}"),
        ("plan", "-A", "--kubeconfig", "{}"),
        ("check", "--kubeconfig", "{}"),
        ("check", "--context", "{}", "--kubeconfig=/nowhere"),
        ("check", "--timeout", "{}", "--wait"),
        ("coverage", "-l", "{}", "--kubeconfig=/nowhere"),
        ("export", "mutating-admission-policy", "--config", "{}", "--release", "{}"),
        ("cleanup", "--config", "{}", "--release-namespace", "x"),
        ("cleanup", "--config", "x", "--release-namespace", "x", "--timeout", "{}"),
        ("sync", "--config", "{}", "--namespace", "x"),
        ("sync", "--config", "x", "--namespace", "x", "--tls-secret", "a", "--tls-san", "{}"),
        ("serve", "--config", "{}", "--tls-secret", "a/b/{}"),
        ("serve", "--config", "x", "--bind-address", "{}", "--tls-secret", "a/b"),
        ("completion", "{}"),
        ("{}",),
        ("--{}",),
    ],
    ids=" ".join,
)
def test_what_is_refused_is_named_on_one_line_and_escaped(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], text: str
) -> None:
    out, err = run(capsys, *(argument.format(text) for argument in arguments))
    assert obeyed(out) | obeyed(err) == set()
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_configuration_with_hostile_names_has_one_line_for_each_problem(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str], text: str
) -> None:
    configuration, manifests = files
    document = {"kind": text, "pullSecrets": [{"name": text, "sources": [{text: text}]}], text: 1}
    configuration.write_text(json.dumps(document))
    manifests.write_text("{}")
    _, err = run(capsys, "plan", "-f", str(manifests), "--config", str(configuration), "--release-namespace=x")
    assert obeyed(err) == set()
    assert all(line.startswith(("error: ", "  ")) for line in err.splitlines())


@pytest.mark.parametrize("text", [*HOSTILE, *MARKUP])
@pytest.mark.parametrize("width", ["40", "200"])
def test_a_table_on_a_terminal_and_in_a_pipe(text: str, width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("NO_COLOR", "1")
    for file in (Terminal(), io.StringIO()):
        render(ThreeCells(text), Form.TABLE, file)
        assert obeyed(file.getvalue()) == set()
        if text in MARKUP and not (isinstance(file, Terminal) and len(text) > int(width) // 4):
            assert text in file.getvalue()  # in one piece, where the column is wide enough for that
    assert len(file.getvalue().splitlines()) == 2


@pytest.mark.parametrize("text", [*HOSTILE, *MARKUP])
def test_coverage_of_hostile_images(text: str) -> None:
    report = Coverage((ImageExposure("team-a", f"Pod/{text}", f"a/{text}", Severity.FAULT, text),))
    assert_printed_safely(report)
    assert obeyed(html_page(report)) == set()
    file = io.StringIO()
    render_wide(report, file)
    write_names(report.titles(), file)
    assert len(file.getvalue().splitlines()) == 3
    assert obeyed(file.getvalue()) == set()


def assert_printed_safely(report: Report) -> None:
    for form in Form:
        if form is Form.YAML and "\ud800" in json.dumps(report.document(), ensure_ascii=False):
            continue  # YAML refuses it, in a sentence: see webhook/files
        file = io.StringIO()
        render(report, form, file)
        assert obeyed(file.getvalue()) == set()


@pytest.mark.parametrize("text", [*HOSTILE, *MARKUP])
@pytest.mark.parametrize("severity", list(RESULTS))
def test_a_report_with_hostile_details(text: str, severity: Severity) -> None:
    report, file = Checkup((CheckResult("PSW001", severity, text),)), io.StringIO()
    assert_printed_safely(report)
    write_junit(report, file)
    assert obeyed(file.getvalue()) == set()
    assert ET.fromstring(file.getvalue()) is not None  # noqa: S314 - ours


@pytest.mark.parametrize("text", [each for each in [*HOSTILE, *MARKUP] if "\ud800" not in each])
@pytest.mark.parametrize("form", list(Form)[1:])
def test_documents_are_ascii_and_say_the_same(text: str, form: Form) -> None:
    file = io.StringIO()
    write_document({text: [text]}, form, file)
    assert file.getvalue().isascii()
    assert obeyed(file.getvalue()) == set()
    assert yaml.safe_load(file.getvalue()) == {text: [text]}
