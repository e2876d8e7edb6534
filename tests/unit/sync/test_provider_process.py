from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.providers.folder import NAME, plugin_folder, processes
from tests.unit.polling import until
from webhook.errors import CredentialsNotIssued
from webhook.rules.provider_protocol import decode_answer, encode_request
from webhook.rules.renewing import IssueReason
from webhook.sync.provider_process import HOME, Run, RunLimits, environment, redacted, run

IMAGE = "registry.example.com/team"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJwdWxsZXIifQ.c2lnbmF0dXJlMTIzNDU"  # noqa: S105 - invented


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return plugin_folder(tmp_path / "plugins")


def request(folder: Path, behaviour: str, env: Mapping[str, str] | None = None, command: str = NAME) -> Run:
    return Run(folder / command, (behaviour,), dict(env or {}), encode_request(IMAGE, TOKEN), (TOKEN,))


def failure(folder: Path, behaviour: str, limits: RunLimits | None = None, command: str = NAME) -> CredentialsNotIssued:
    with pytest.raises(CredentialsNotIssued) as caught:
        run(request(folder, behaviour, command=command), limits)
    return caught.value


def test_the_answer_of_a_provider_is_its_standard_output(folder: Path) -> None:
    answer = decode_answer(run(request(folder, "answer")))

    assert answer.lifetime == 60
    assert list(answer.auth or {}) == ["registry.example.com"]


def test_a_provider_gets_nothing_but_what_it_is_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULLSECRETS_SECRET", "of the controller")
    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        shown: dict[str, Any] = json.loads(run(request(folder, "show", {"AWS_REGION": "eu-west-1"})))
    finally:
        os.close(read)
        os.close(write)

    assert shown["environment"].keys() - {"LC_CTYPE"} == {"AWS_REGION"}
    assert shown["folder"] == "/"
    assert len(shown["descriptors"]) == 4, "three pipes, and the folder that was listed"
    assert shown["group"] != os.getpgrp()
    assert TOKEN not in json.dumps([shown["arguments"], shown["environment"]])
    assert shown["request"]["serviceAccountToken"] == TOKEN


def test_a_provider_that_hangs_is_ended_at_the_deadline(folder: Path) -> None:
    error = failure(folder, "hang", RunLimits(seconds=0.3))

    assert error.reason == IssueReason.PROVIDER_TIMEOUT
    assert "did not end within 0.3 s" in str(error)


def test_a_provider_that_is_slow_has_time_until_the_deadline(folder: Path) -> None:
    content = run(request(folder, "slow", {"FAKE_SECONDS": "0.5"}), RunLimits(seconds=30))

    assert decode_answer(content).auth


def test_a_failure_shows_the_exit_code_and_hides_the_token(folder: Path) -> None:
    error = failure(folder, "fail")

    assert error.reason == IssueReason.PROVIDER_FAILED
    assert "exit code 1: cannot sign in with (hidden): 403" in str(error)
    assert TOKEN[:10] not in str(error)


@pytest.mark.parametrize("behaviour", ["flood", "flood-errors"])
def test_a_provider_that_writes_too_much_is_ended(folder: Path, behaviour: str) -> None:
    error = failure(folder, behaviour, RunLimits(seconds=30, output=100_000))

    assert error.reason == IssueReason.PROVIDER_OUTPUT_TOO_LARGE
    assert len(str(error)) < 600


def test_a_grandchild_that_keeps_the_pipe_open_neither_delays_the_answer_nor_survives(folder: Path) -> None:
    before = time.monotonic()
    content = run(request(folder, "grandchild"), RunLimits(seconds=300))

    assert decode_answer(content).auth
    assert time.monotonic() - before < 300, "it sleeps for 600 s"
    until(lambda: not processes(folder / NAME))


def test_the_first_process_of_a_container_keeps_no_dead_grandchildren(folder: Path) -> None:
    # Orphans become its children: here by PR_SET_CHILD_SUBREAPER, which is 36 (linux/prctl.h).
    program = (
        "import ctypes, pathlib, sys; from webhook.sync.provider_process import Run, run;"
        "ctypes.CDLL(None).prctl(36, 1);"
        "run(Run(pathlib.Path(sys.argv[1]), ('grandchild',), {}, sys.argv[2].encode()));"
        "print(pathlib.Path('/proc/thread-self/children').read_text())"
    )
    arguments = [sys.executable, "-c", program, str(folder / NAME), encode_request(IMAGE).decode()]

    done = subprocess.run(arguments, stdout=subprocess.PIPE, check=True)

    assert done.stdout.split() == []


def test_a_provider_that_is_not_there_is_named(folder: Path) -> None:
    error = failure(folder, "answer", command="ecr-credential-provider")

    assert error.reason == IssueReason.PROVIDER_ABSENT
    assert f"ecr-credential-provider cannot be started from {folder}" in str(error)


def test_a_file_that_is_not_executable_is_a_provider_that_cannot_be_started(folder: Path) -> None:
    (folder / "notes").write_text("x")

    assert failure(folder, "answer", command="notes").reason == IssueReason.PROVIDER_ABSENT


def descriptors() -> list[Path]:
    return sorted(Path("/proc/self/fd").iterdir())


def test_no_descriptor_and_no_process_is_left_behind(folder: Path) -> None:
    run(request(folder, "answer"))
    before = descriptors()

    for behaviour in ("answer", "fail", "hang"):
        try:
            run(request(folder, behaviour), RunLimits(seconds=0.3))
        except CredentialsNotIssued:
            continue

    # Threads of other tests may still close theirs; what is left behind stays.
    until(lambda: set(descriptors()) <= set(before))
    until(lambda: not processes(folder / NAME))


def test_the_environment_has_the_configured_variables_and_those_that_are_inherited() -> None:
    own = {"AWS_ROLE_ARN": "arn:aws:iam::1:role/pull", "PATH": "/bin", "AWS_REGION": "us-east-1"}

    found = environment([("AWS_REGION", "eu-west-1")], ["AWS_ROLE_ARN", "AWS_REGION", "ABSENT"], own)

    assert found == {
        "HOME": HOME,
        "TMPDIR": HOME,
        "AWS_ROLE_ARN": "arn:aws:iam::1:role/pull",
        "AWS_REGION": "eu-west-1",
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("open /var/run/secrets/eks.amazonaws.com/serviceaccount/token: no such file", None),
        ("no host 123456789012.dkr.ecr.eu-west-1.amazonaws.com", None),
        ("bad key wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1", "bad key (hidden)"),
        (f"sent {TOKEN}!", "sent (hidden).(hidden).(hidden)!"),
        ('{"password": "hunter22"}', '{"(hidden)'),
        ("deadbeef00deadbeef00deadbeef", "(hidden)"),
        ("line\none\x1b[31m", "line one\\x1b[31m"),
    ],
)
def test_errors_are_shown_without_what_may_be_a_credential(text: str, shown: str | None) -> None:
    assert redacted(text.encode(), ()) == (text if shown is None else shown)


def test_a_token_that_is_cut_by_the_end_of_the_shown_text_stays_hidden() -> None:
    secret = "correct horse battery staple" * 20

    assert "horse" not in redacted(f"{secret} is wrong".encode(), (secret,))


def test_core_dumps_are_denied_to_the_process_and_its_children() -> None:
    program = (
        "import subprocess, sys; from webhook.sync.provider_process import deny_core_dumps; deny_core_dumps();"
        "look = 'import resource; print(max(resource.getrlimit(resource.RLIMIT_CORE)))';"
        "print(subprocess.run([sys.executable, '-c', look], stdout=subprocess.PIPE, check=True).stdout.decode())"
    )

    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)

    assert int(done.stdout) in (0, 1)
