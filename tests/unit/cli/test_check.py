"""``pullsecrets check`` for people: findings first, each with what to do, and no broken word at 80 columns."""

from __future__ import annotations

import io
import re
import subprocess

import pytest

from webhook.cli import main
from webhook.cli.paragraphs import write_paragraphs
from webhook.inspect.checks.codes import AFTER, CODES, GROUPS, group_of, link
from webhook.inspect.checks.result import CheckResult, Checkup, finding, note, unknown
from webhook.report.protocol import Severity

COMMAND = "kubectl -n pull-secrets create secret docker-registry harbor --docker-server=REGISTRY --docker-username=USER"
FOREIGN = "registry-credentials was not made by this release, and has the name of a copy"
FOUND = (
    note("PSW032", "no namespace is selected for vendor"),
    finding("PSW040", 'source Secret "harbor" does not exist in namespace pull-secrets (source-absent)', COMMAND),
    finding(
        "PSW052", "the Secret team-a/registry-credentials was not made by this release, and has the name of a copy"
    ),
    finding(
        "PSW052", "the Secret team-b/registry-credentials was not made by this release, and has the name of a copy"
    ),
    unknown("PSW070", "a Pod cannot be created in namespace team-a"),
)
OTHERS = [CheckResult(code, Severity.OK, "") for code in AFTER if code not in {each.code for each in FOUND}]
CHECKUP = Checkup(tuple(sorted([*FOUND, *OTHERS], key=lambda each: each.code)))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(file: io.StringIO, *, verbose: bool = False) -> str:
    write_paragraphs(CHECKUP.paragraphs(verbose=verbose), file)
    return file.getvalue()


def test_findings_come_first_and_the_rest_is_one_line() -> None:
    lines = written(io.StringIO()).splitlines()
    assert [line for line in lines if line and not line.startswith(" ")][:4] == [
        "sources",
        "copies and references",
        "injection",
        "configuration",
    ]
    assert lines[-1].startswith("ok: rights 3, webhooks 6, ")
    assert lines[-1].endswith("(-v lists them)")
    assert [re.findall(r"PSW\d+", line) for line in lines if re.match(r"  \S", line)] == [
        [code] for code in ("PSW040", "PSW052", "PSW070", "PSW032")
    ]


def test_each_finding_has_what_to_do_and_a_link_once_for_its_code() -> None:
    text = written(io.StringIO())
    for code in ("PSW040", "PSW052"):
        assert text.count(f"to do: {CODES[code].advice}".replace("`", "")) == 1
        assert text.count(f"see: {link(code)}\n") == 1
    assert f"         {COMMAND}\n" in text


def test_all_checks_are_listed_on_request() -> None:
    text = written(io.StringIO(), verbose=True)
    assert [code for code in AFTER if code not in text] == []
    assert "(-v lists them)" not in text


@pytest.mark.parametrize("columns", [60, 80])
def test_no_word_is_broken_on_a_terminal_and_a_command_can_be_pasted(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    text = re.sub(r"\x1b\[[0-9;]*m", "", written(Terminal()))
    words = written(io.StringIO()).split()
    assert [word for word in text.split() if word != "\\"] == words
    longest = max(map(len, words)) + 12
    assert max(map(len, text.splitlines())) <= max(columns, longest)
    (pasted,) = re.findall(r"^ +(kubectl -n pull-secrets create(?:.*\\\n)*.*)$", text, re.MULTILINE)
    shell = subprocess.run(["sh", "-c", f"printf '%s\\n' {pasted}"], capture_output=True, text=True, check=True)
    assert shell.stdout.split() == COMMAND.split()


def test_every_code_has_a_group() -> None:
    assert {group_of(code) for code in CODES} == set(GROUPS.values())


def test_a_code_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for target in ("PSW052", "psw052"):
        with pytest.raises(SystemExit) as ended:
            main(["explain", target])
        assert not ended.value.code
        assert capsys.readouterr().out == (
            "PSW052: no foreign Secret in a copy's place\n"
            "A Secret that this release did not make has the name of a copy. It is never changed.\n"
            "what to do: Rename it, which keeps its content, or rename the pull secret. If a controller owns it, "
            "change its name there.\n"
            "see: docs/check.md#psw052-no-foreign-secret-in-a-copys-place\n"
        )
    with pytest.raises(SystemExit) as ended:
        main(["explain", "PSW999"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: there is no check PSW999; docs/check.md lists all\n"


def test_missing_rights_are_one_block_and_not_a_line_for_each_check() -> None:
    rights = ("list namespaces", "get secrets/harbor in namespace pull-secrets")
    outcomes = [unknown(code, "not seen", right) for right in rights for code in ("PSW040", "PSW041")]
    file = io.StringIO()
    write_paragraphs(Checkup(tuple(outcomes)).paragraphs(), file)
    assert "2 checks were skipped (-v lists them), because you lack the right to:\n" in file.getvalue()
    assert [file.getvalue().count(right) for right in rights] == [1, 1]
    assert "PSW040" not in file.getvalue()


LACKS = finding("PSW070", "a new Pod in namespace team-a lacks registry")
LACKS_TOO = finding("PSW071", "a new ServiceAccount in namespace team-a lacks registry")


def printed(*outcomes: CheckResult, verbose: bool = False) -> str:
    file = io.StringIO()
    write_paragraphs(Checkup(outcomes).paragraphs(verbose=verbose), file)
    return file.getvalue()


@pytest.mark.parametrize("cause", ["PSW015", "PSW020", "PSW061"])
def test_a_trial_that_fails_because_of_another_finding_names_that_one_and_repeats_nothing(cause: str) -> None:
    outcomes = (finding(cause, "this is broken"), LACKS, LACKS_TOO)
    text = printed(*outcomes)
    assert [text.count(code) for code in ("FAIL PSW070", "FAIL PSW071", "team-a lacks")] == [1, 1, 0]
    assert text.count(f"to do: Correct {cause} first, and check again; -v shows the details.\n") == 1
    assert Checkup(outcomes).summary() == "3 findings, 0 ok"
    assert printed(*outcomes, verbose=True).count("team-a lacks") == 2


def test_a_trial_that_fails_alone_is_shown_with_its_advice() -> None:
    text = printed(finding("PSW040", "source is absent"), LACKS)
    assert "team-a lacks registry" in text
    assert CODES["PSW070"].advice in text
