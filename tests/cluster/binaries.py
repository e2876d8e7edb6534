"""The programs of the control plane and of a node: found, or built once for this user.

In this order, each program for itself: the folder that ``KUBEBUILDER_ASSETS`` names (the envtest layout), the user's
cache, a build. The cache is keyed by the version of Kubernetes and by what the build is made of.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import build, programs
from tests.cluster.errors import ClusterFailed
from tests.cluster.progress import tell

CONTROL_PLANE = (programs.ETCD, programs.API_SERVER, programs.CONTROLLER_MANAGER, programs.KUBECTL)
NODE = (programs.SCHEDULER, programs.KUBELET, programs.PROXY)
PROGRAMS = (*CONTROL_PLANE, *NODE)
SOURCES = Path(__file__).parent / "binary"


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where each program is."""

    paths: dict[str, Path]

    def path(self, program: str) -> Path:
        """Return the path of one program."""
        return self.paths[program]


def find(names: Sequence[str] = CONTROL_PLANE) -> Binaries:
    """Return the programs named, after a build where one is missing; the build tells on standard error what it does."""
    paths = _given(names)
    missing = [name for name in names if name not in paths]
    if missing and os.environ.get("KUBEBUILDER_ASSETS"):
        tell(f"KUBEBUILDER_ASSETS has no {', '.join(missing)}: taken from the cache or a build")
    for group in (_control_plane, _node):
        target, key = group()
        if of_group := [name for name in missing if name in target.names]:
            folder = built(target, key)
            paths |= {name: folder / name for name in of_group}
    return Binaries({name: paths[name] for name in names})


def is_there() -> bool:
    """Return whether the control plane starts without a build."""
    return not set(CONTROL_PLANE) - set(_given(CONTROL_PLANE)) or folder_of(*_control_plane()).exists()


def _control_plane() -> tuple[build.Target, str]:
    version = kubernetes_version()
    target = build.Target(
        sources=SOURCES,
        names=("cluster", *CONTROL_PLANE),
        title=f"{', '.join(CONTROL_PLANE)} {version}",
        expectation="4 to 8 minutes on two cores, 4 GB of disk for Go's module and build caches",
        variables=_version_variables(version),
    )
    return target, version


def _node() -> tuple[build.Target, str]:
    """Return the build of what only a node needs; it is short after that of the control plane if Go's cache is kept."""
    version = kubernetes_version()
    target = build.Target(
        sources=SOURCES,
        names=("node", *NODE),
        title=f"{', '.join(NODE)} {version}",
        expectation="a few minutes on two cores after the build of the control plane, if Go is on PATH",
        package="./node",
        variables=_version_variables(version),
    )
    return target, f"{version}-node"


def _version_variables(version: str) -> dict[str, str]:
    major, minor = version.removeprefix("v").split(".")[:2]
    variables = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return {f"k8s.io/component-base/version.{name}": value for name, value in variables.items()}


def folder_of(target: build.Target, key: str) -> Path:
    """Return the folder of the user's cache for what a build makes, whether it is there or not."""
    return cache_root() / f"{key}-{target.digest()}"


def built(target: build.Target, key: str) -> Path:
    """Return the folder of the user's cache that holds what a build makes, after building it if it is not there yet."""
    folder = folder_of(target, key)
    if not folder.exists():
        with _lock(cache_root() / "build.lock"):
            # Whoever held the lock before us may have built just this.
            if not folder.exists():
                build.into(folder, target)
    return folder


def packages(requirements: Path) -> Path:
    """Return a folder of the user's cache with pinned Python packages, after installing them if it is not there yet."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    folder = cache_root() / f"{requirements.stem}-{version}-{digest}"
    if not folder.exists():
        with _lock(cache_root() / "build.lock"):
            if not folder.exists():
                with tempfile.TemporaryDirectory(prefix=build.SCRATCH, dir=cache_root()) as scratch:
                    build.install(requirements, Path(scratch) / "packages")
                    (Path(scratch) / "packages").rename(folder)
    return folder


def kubernetes_version() -> str:
    """Return the version of Kubernetes that go.mod asks for, as ``v1.37.2``."""
    found = re.search(r"^\s+k8s\.io/kubernetes (v\S+)$", (SOURCES / "go.mod").read_text(), re.MULTILINE)
    if not found:
        raise ClusterFailed(f"{SOURCES / 'go.mod'} requires no k8s.io/kubernetes")
    return found[1]


def cache_root() -> Path:
    """Return the folder that outlives runs; everything in it may be deleted at any time."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "pull-secret-webhook" / "cluster"


def _given(names: Sequence[str]) -> dict[str, Path]:
    """Return the paths of those programs that the folder of ``KUBEBUILDER_ASSETS`` has."""
    assets = _assets()
    return {name: assets / name for name in names if assets and (assets / name).is_file()}


def _assets() -> Path | None:
    named = os.environ.get("KUBEBUILDER_ASSETS")
    if not named:
        return None
    folder = Path(named)
    if not folder.is_dir():
        raise ClusterFailed(f"KUBEBUILDER_ASSETS names {named}, which is no folder: unset it to build the programs")
    return folder


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock that the death of its holder releases."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("waiting for the build of the local cluster that another process has begun")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
