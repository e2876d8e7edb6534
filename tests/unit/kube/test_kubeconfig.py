from __future__ import annotations

import json
from pathlib import Path

from webhook.kube.kubeconfig import default_namespace


def kubeconfig(path: Path, current: str, **namespaces: str) -> Path:
    contexts = [
        {"name": name, "context": {"cluster": "c", "user": "u", **({"namespace": where} if where else {})}}
        for name, where in namespaces.items()
    ]
    document = {"clusters": [], "users": [], "contexts": contexts, "current-context": current}
    path.write_text(json.dumps(document))
    return path


def test_the_namespace_is_that_of_the_context_in_use(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "one", "a", a="team-a", b="team-b", c="")
    assert default_namespace([file]) == "team-a"
    assert default_namespace([file], "b") == "team-b"
    assert default_namespace([file], "c") == "default"


def test_of_several_files_the_first_that_has_the_context_counts(tmp_path: Path) -> None:
    first = kubeconfig(tmp_path / "one", "a", a="team-a")
    second = kubeconfig(tmp_path / "two", "b", b="team-b")
    assert default_namespace([first, second], "b") == "team-b"


def test_what_cannot_be_read_has_none(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("a: [")
    assert default_namespace([tmp_path / "absent", broken]) == "default"
    assert default_namespace([]) == "default"
