"""Where the programs of the local cluster come from; the Go toolchain is a small program that acts as one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import binaries, build
from tests.cluster.errors import ClusterFailed
from tests.demo import __main__ as demo

ROOT = Path(__file__).parents[3]

GO = """#!/bin/sh
case "$1" in
    env) echo go1.99.0 ;;
    list) echo "go: downloading example.com/module v1.0.0"; echo example.com/one; echo example.com/two ;;
    build)
        echo "$*" >> "$BUILDS"
        [ -z "$BROKEN" ] || { echo "main.go:1: this is broken"; exit 1; }
        while [ "$1" != -o ]; do shift; done
        printf '#!/bin/sh\\necho "$0"\\n' > "$2"; chmod +x "$2"
        echo "$CGO_ENABLED $GOTOOLCHAIN $GOGC" > "$(dirname "$BUILDS")/environment" ;;
esac
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with an empty cache and a Go that is new enough."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "go").write_text(GO)
    (tools / "go").chmod(0o755)
    for name in ("XDG_CACHE_HOME", "KUBEBUILDER_ASSETS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("BUILDS", str(tmp_path / "builds"))
    return tmp_path


def builds(home: Path) -> int:
    record = home / "builds"
    return len(record.read_text().splitlines()) if record.exists() else 0


def test_what_is_missing_is_built_once_and_found_afterwards(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = binaries.find()
    told = capsys.readouterr().err
    assert binaries.find() == first
    assert builds(home) == 1
    assert "minutes on two cores" in told
    assert "of at most 2 packages compiled" in told
    assert not capsys.readouterr().err


def test_every_program_is_a_link_to_the_one_binary(home: Path) -> None:
    for name, path in binaries.find().paths.items():
        assert path.is_symlink()
        assert subprocess.run([path], capture_output=True, text=True, check=True).stdout.strip().endswith(f"/{name}")
    assert (home / "environment").read_text().split() == ["0", "local", "400"]


def test_the_first_build_has_the_control_plane_alone_and_another_adds_the_node(home: Path) -> None:
    control_plane = binaries.find()
    assert builds(home) == 1
    both = binaries.find(binaries.PROGRAMS)
    assert builds(home) == 2
    assert {name: both.path(name) for name in control_plane.paths} == control_plane.paths
    assert set(both.paths) - set(control_plane.paths) == {"kube-scheduler", "kubelet", "kube-proxy"}
    first, second = (home / "builds").read_text().splitlines()
    assert (first.split()[-1], second.split()[-1]) == (".", "./node")


def test_a_build_is_announced_as_due_until_it_is_done(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not binaries.is_there()
    binaries.find()
    assert binaries.is_there()
    for name in binaries.CONTROL_PLANE:
        (home / name).touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "empty"))
    assert binaries.is_there()


def test_a_plan_is_shown_while_the_first_build_runs(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BROKEN", "yes")
    monkeypatch.setattr(sys, "argv", ["tests.demo", "--once"])
    assert demo.main() == 2
    shown = capfd.readouterr()
    assert "Deployment/api               + registry-credentials" in shown.out
    assert "main.go:1: this is broken" in shown.err


def test_every_source_of_a_build_is_part_of_its_key(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    (sources / "part").mkdir(parents=True)
    for name in ("go.mod", "go.sum", "main.go", "part/part.go"):
        (sources / name).write_text(name)
    target = build.Target(sources, ("program",), "a program", "a moment")
    before = target.digest()
    (sources / "part" / "part.go").write_text("changed")
    assert target.digest() != before


def test_a_failed_build_shows_why_and_leaves_nothing_to_find(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKEN", "yes")
    with pytest.raises(ClusterFailed, match=r"(?s)go build -v failed with code 1.*main\.go:1: this is broken"):
        binaries.find()
    assert [path.name for path in binaries.cache_root().iterdir()] == ["build.lock"]
    monkeypatch.delenv("BROKEN")
    assert binaries.find().path("etcd").exists()


def test_processes_that_start_together_build_once(home: Path) -> None:
    code = "from tests.cluster import binaries; print(binaries.find().path('etcd'))"
    command = [sys.executable, "-c", code]
    together = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(3)]
    found = {process.communicate()[0] for process in together}
    assert len(found) == 1
    assert builds(home) == 1


def test_kubebuilder_assets_come_first_and_the_rest_is_built(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assets = home / "assets"
    assets.mkdir()
    for name in ("etcd", "kube-apiserver", "kubectl"):
        (assets / name).touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    found = binaries.find()
    assert {path.parent for name, path in found.paths.items() if name != "kube-controller-manager"} == {assets}
    assert found.path("kube-controller-manager").parent.parent == binaries.cache_root()
    assert "has no kube-controller-manager" in capsys.readouterr().err


def test_kubebuilder_assets_that_are_no_folder_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", "/no/such/folder")
    with pytest.raises(ClusterFailed, match="KUBEBUILDER_ASSETS names /no/such/folder, which is no folder"):
        binaries.find()
