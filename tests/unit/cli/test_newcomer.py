"""Invocations that go wrong: each answer is one sentence that names the object, and what to do next."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from webhook.cli import main

CLUSTER = "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {token: x}}]\n"
FILES = {
    "dead.yaml": f"{CLUSTER}contexts: [{{name: dead, context: {{cluster: c, user: u}}}}]\ncurrent-context: dead\n",
    "half.yaml": f"{CLUSTER}contexts: [{{name: half, context: {{cluster: gone, user: u}}}}]\ncurrent-context: half\n",
    "undecided.yaml": f"{CLUSTER}contexts: [{{name: dead, context: {{cluster: c, user: u}}}}]\n",
    "broken.yaml": "a: [b\n",
    "empty.yaml": "",
}
NEXT = re.compile(
    r"[Ss]ee pullsecrets|Next: kubectl|with --?\w|give --?\w|choose with --|list them: |has an example|look at it: "
    r"|docs/\S+ (lists|des)|write \S+/NAME"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files, in the folder where the commands run; no kubeconfig of the person who runs the tests."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["expain", "pod/x"], "Did you mean 'explain', 'plan'? See pullsecrets --help"),
        (["explain"], "KIND/NAME"),
        (["explain", "web"], "web is not an object: write pod/NAME, deploy/NAME"),
        (["explain", "pod/a/b"], "pod/a/b"),
        (["explain", "pod", "web", "extra"], "extra"),
        (["explain", "reason/unknown"], "there is no reason id unknown"),
        (["explain", "PSW999"], "PSW999"),
        (["plan", "--namespce", "x"], "--namespce"),
        (["plan", "-o"], "'-o' requires an argument"),
        (["plan", "-o", "xml"], "'xml' is not one of"),
        (["plan", "-A"], "absent does not exist or is empty: give a file with --kubeconfig, or set KUBECONFIG"),
        (
            ["plan", "-A", "--kubeconfig", "dead.yaml", "--context", "prod"],
            "no context prod; choose with --context: dead",
        ),
        (["plan", "-A", "--kubeconfig", "half.yaml"], "name gone in half.yaml"),
        (["plan", "-A", "--kubeconfig", "undecided.yaml"], "current-context in undecided.yaml"),
        (
            ["plan", "-A", "--kubeconfig", "empty.yaml"],
            "kubeconfig empty.yaml cannot be used: empty.yaml file is empty",
        ),
        (["plan", "-A", "--kubeconfig", "broken.yaml"], "kubeconfig broken.yaml cannot be read: it is not valid YAML"),
        (["plan", "-A", "--kubeconfig", "."], "is a directory"),
        (["check", "--kubeconfig", "dead.yaml"], "https://127.0.0.1:1"),
        (["check", "-n", "x"], "--release-namespace"),
        (["plan", "-f", "missing.yaml"], "missing.yaml cannot be read (No such file or directory)"),
        (["plan", "-f", "empty.yaml"], "there is no object in empty.yaml"),
        (["plan", "-f", "broken.yaml"], "broken.yaml, document 1 is not valid YAML"),
        (["test", "-f", ".", "-e", "empty.yaml"], "empty.yaml cannot be read (the document is empty)"),
        (["cleanup", "--config", "missing.yaml", "--release-namespace", "x"], "missing.yaml cannot be read"),
        (["renew", "harbor", "--kubeconfig", "missing.yaml"], "missing.yaml cannot be read: it does not exist"),
        (["coverage", "pod/x"], "pod/x"),
        (["completion", "cmd"], "'cmd' is not one of"),
        (["help", "unknown"], "there is no command unknown"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_invocation_is_answered_by_one_sentence_with_the_next_step(
    capsys: pytest.CaptureFixture[str], folder: Path, arguments: list[str], named: str
) -> None:
    assert folder.exists()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("error: ")
    assert named in err
    assert NEXT.search(err), err
