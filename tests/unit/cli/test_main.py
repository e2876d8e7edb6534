from __future__ import annotations

import pytest

from webhook import __version__, cli
from webhook.errors import CertificateInvalid


def run(*arguments: str) -> object:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return ended.value.code


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for spelled in ("--version", "version"):
        assert run(spelled) == 0
        assert capsys.readouterr().out == f"pullsecrets {__version__}\n"


def test_help_of_a_command_is_that_of_its_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", "--help") == 0
    by_flag = capsys.readouterr().out
    assert run("help", "explain") == 0
    assert capsys.readouterr().out == by_flag


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",)])
def test_without_arguments_the_commands_are_listed(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 0
    printed = capsys.readouterr().out
    assert all(f"  {command} " in printed for command in ("plan", "serve", "sync"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("frob",), "No such command 'frob'"),
        (("help", "frob"), "there is no command frob; list them: pullsecrets help"),
        (("check", "-n", "x"), "this command is about a release: name it with --release-namespace"),
        (("serve", "-n", "x"), "No such option: -n; see pullsecrets serve --help"),
        (("cleanup", "--namespace=x"), "this command is about a release: name it with --release-namespace"),
        (("check", "--pre", "--wait"), "--pre checks a cluster without an installation: leave out --wait"),
        (("check", "--pre", "--image=x.io/app"), "--pre checks a cluster without an installation: leave out --wait"),
        (("check", "--registry-ca-file=ca.crt"), "--registry-ca-file is for --registries and --image: give one"),
        (("serve",), "Missing option '--config'"),
        (("serve", "--config=x", "--tls-secret=a"), "--tls-secret a is not of the form NAMESPACE/NAME"),
        (("serve", "--config=x"), "the serving certificate is missing"),
        (("serve", "--config=x", "--tls-cert-file=c"), "belong together"),
        (("serve", "--config=x", "--tls-cert-file=c", "--tls-secret=a/b"), "exclude each other"),
    ],
)
def test_what_a_person_gets_wrong_is_one_sentence_and_exit_2(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_an_error_of_ours_is_a_sentence_and_a_bug_has_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error, code, printed in (
        (CertificateInvalid("the certificate has expired"), 2, "error: the certificate has expired\n"),
        (RuntimeError("bug"), 3, "Traceback"),
    ):

        def fail(*_arguments: object, error: Exception = error, **_options: object) -> None:
            raise error

        monkeypatch.setattr(cli, "app", fail)
        assert run("serve") == code
        assert capsys.readouterr().err.startswith(printed)
