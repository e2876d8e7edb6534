"""``pullsecrets test``: expectations that hold, that do not, and that are written wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from webhook.cli import main

ROOT = Path(__file__).parents[3]
HEAD = "apiVersion: pullsecrets.webhook/v1alpha1\nkind: Expectations\n"


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run ``pullsecrets test`` with these expectations on the example manifests."""
    monkeypatch.chdir(ROOT)

    def test(expectations: str, *flags: str) -> Result:
        (tmp_path / "expectations.yaml").write_text(expectations)
        files = ("-f", "examples/team-a.yaml", "-f", "examples/unlabelled.yaml")
        config = () if "--values" in flags else ("--config", "examples/configuration.yaml")
        with pytest.raises(SystemExit) as ended:
            main(["test", *files, *config, "-e", str(tmp_path / "expectations.yaml"), *flags])
        return Result(int(ended.value.code or 0), *capsys.readouterr())

    return test


def one(text: str) -> str:
    return f"{HEAD}expectations:\n  - {{{text}}}\n"


@pytest.mark.parametrize(
    "expectation",
    [
        "object: ns/team-a, reason: namespace-selected",
        "object: Secret/registry-credentials, namespace: team-a, copy: created",
        "object: secret/vendor-credentials, namespace: team-a, copy: absent",
        "object: deploy/api, namespace: team-a, injected: [registry-credentials], removed: []",
        "object: Pod/migrate, namespace: team-a, reasons: {vendor-credentials: namespace-not-selected}",
        "object: po/migrate, namespace: team-b, injected: [], reason: namespace-not-opted-in",
        "object: sa/api, namespace: team-a, reason: injected",
    ],
)
def test_an_expectation_that_holds_passes(run: Callable[..., Result], expectation: str) -> None:
    result = run(one(expectation))
    assert (result.code, " FAIL " in result.out) == (0, False)
    assert result.err.endswith(" passed, 0 failed\n")


@pytest.mark.parametrize(
    ("expectation", "found"),
    [
        ("object: Pod/migrate, namespace: team-a, injected: []", "registry-credentials: "),
        ("object: Pod/migrate, namespace: team-b, injected: [registry-credentials]", "no names: namespace "),
        ("object: Pod/absent, namespace: team-a, reason: injected", "absent: there is no such object"),
        ("object: Secret/vendor-credentials, namespace: team-a, copy: created", "absent: there is no such copy"),
        ("object: Secret/registry-credentials, namespace: team-a, copy: absent", "created: made from"),
        ("object: Pod/migrate, namespace: team-a, reasons: {other: injected}", "absent: "),
        ("object: ns/team-b, reason: namespace-selected", "namespace-not-opted-in: namespace "),
    ],
)
def test_one_that_does_not_hold_fails_with_what_was_found(
    run: Callable[..., Result], expectation: str, found: str
) -> None:
    result = run(one(expectation))
    assert result.code == 1
    (line,) = result.out.splitlines()[1:]
    assert " FAIL " in line
    assert f"  {found}" in line
    assert result.err == "0 expectations passed, 1 failed\n"


@pytest.mark.parametrize(
    ("expectations", "sentence"),
    [
        (one("object: Pod/migrate, namespace: team-a"), "expectations[0]: expects nothing: give one of injected, "),
        (one("object: Pod/migrate, namespace: team-a, reson: injected"), "unknown field, did you mean reason?"),
        (
            one("object: Pod/migrate, namespace: team-a, reason: injectd"),
            "injectd is not a reason id, did you mean injected?",
        ),
        (one("object: Pod/migrate, injected: []"), "expectations[0].namespace: is required"),
        (
            one("object: migrate, namespace: a, injected: []"),
            "migrate is not an object: write KIND/NAME, such as Pod/web",
        ),
        (one("object: Pod/migrate, namespace: team-a, copy: created"), "is for a copy: write object: Secret/NAME"),
        (one("object: Secret/x, namespace: team-a, copy: made"), "made is not a state"),
        (one("object: Secret/x, namespace: team-a, injected: []"), "is not for a copy: use copy or reason"),
        (one("object: Secret/x, namespace: team-a, coverage: covered"), "is not for a copy: use copy or reason"),
        (one("object: sa/x, namespace: team-a, coverage: covered"), "coverage: is for a workload: write object: Dep"),
        (one("object: Pod/x, namespace: team-a, coverage: coverd"), "coverd is not a result of coverage, did you mean"),
        (one("object: Pod/x, namespace: team-a, injected: registry"), "must be a list"),
        (f"{HEAD}expectations: []\n", "expectations: is required: name at least one object"),
        ("kind: Expectations\nexpectations: [{object: ns/a, reason: injected}]\n", "apiVersion: is required"),
        ("{", "cannot be read"),
        ("", "cannot be read (the document is empty)"),
    ],
)
def test_a_mistake_is_an_error_and_never_a_passed_test(
    run: Callable[..., Result], expectations: str, sentence: str
) -> None:
    result = run(expectations)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert sentence in result.err
    assert "docs/howto/ci.md" in result.err


def test_json_has_each_comparison(run: Callable[..., Result]) -> None:
    result = run(one("object: Pod/migrate, namespace: team-a, injected: [], reason: injected"), "-o", "json")
    assert result.code == 1
    document = json.loads(result.out)
    assert (document["passed"], document["failed"]) == (1, 1)
    assert document["results"][0] == {
        "namespace": "team-a",
        "object": "Pod/migrate",
        "field": "injected",
        "expected": "no names",
        "found": "registry-credentials",
        "result": "failed",
        "why": "registry-credentials is due here and not yet referenced",
    }


def test_the_values_of_the_chart_are_the_configuration(run: Callable[..., Result], tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("webhook: {replicas: 3}\npullSecrets: [{name: mine, sources: [harbor]}]\n")
    expected = one("object: Pod/migrate, namespace: team-a, injected: [mine]")
    assert run(expected, "--values", str(values)).code == 0
    later = tmp_path / "later.yaml"
    later.write_text("optIn: {value: other}\n")
    result = run(expected, "--values", str(values), "--values", str(later))
    assert result.code == 1
    assert "pullsecrets.webhook/inject=other" in result.out


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("webhook: {replicas: 3}\n", "pullSecrets: is required: name at least one pull secret"),
        ("pullSecrets: [{name: a, sources: []}]\n", "pullSecrets[0].sources: is required"),
        ("pullSecrets: [{nam: a, sources: [b]}]\n", "unknown field, did you mean name?"),
        ("- a\n", "are not a mapping: give a values file of the chart with --values"),
    ],
)
def test_values_that_the_chart_refuses_are_errors(
    run: Callable[..., Result], tmp_path: Path, text: str, sentence: str
) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(text)
    result = run(one("object: ns/team-a, reason: injected"), "--values", str(values))
    assert (result.code, result.out) == (2, "")
    assert sentence in result.err


def test_the_guide_shows_the_example_and_what_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    lines = [line.removeprefix("   ") for line in (ROOT / "docs/howto/ci.md").read_text().splitlines()]
    example = (ROOT / "examples/expectations.yaml").read_text().partition("\n")[2].splitlines()
    assert "\n".join(example) in "\n".join(lines)
    (command,) = [line.removeprefix("$ pullsecrets ") for line in lines if line.startswith("$ pullsecrets test ")]
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    printed = capsys.readouterr()
    assert f"{printed.out}{printed.err}$ echo $?\n{ended.value.code or 0}\n" in "\n".join(lines)


def test_an_expected_coverage_needs_a_cluster(run: Callable[..., Result]) -> None:
    result = run(one("object: Deployment/api, namespace: team-a, coverage: covered"))
    assert (result.code, result.out) == (2, "")
    assert "coverage is about the running Pods of a cluster, and -f gives manifests: leave out -f" in result.err
