"""The programs of the control plane and of a node: found, or built once for this user.

In this order, each program for itself: the folder that ``KUBEBUILDER_ASSETS`` names (the envtest layout), the user's
cache, a build. The cache is keyed by the version of Kubernetes and by what the build is made of.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sys
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
    assets = _assets()
    paths = {name: assets / name for name in names if assets and (assets / name).is_file()}
    missing = [name for name in names if name not in paths]
    if missing:
        if assets:
            tell(f"KUBEBUILDER_ASSETS ({assets}) has no {', '.join(missing)}: taken from the cache or a build")
        folder = cached()
        paths |= {name: folder / name for name in missing}
    return Binaries(paths)


def cached() -> Path:
    """Return the folder of the user's cache that holds all programs, after building them if they are not there yet."""
    version = kubernetes_version()
    major, minor = version.removeprefix("v").split(".")[:2]
    variables = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    target = build.Target(
        sources=SOURCES,
        names=("cluster", *PROGRAMS),
        title=f"{', '.join(PROGRAMS)} {version}",
        expectation="7 to 10 minutes on two cores, 4.5 GB of disk for Go's module and build caches",
        variables={f"k8s.io/component-base/version.{name}": value for name, value in variables.items()},
    )
    return built(target, version)


def built(target: build.Target, version: str) -> Path:
    """Return the folder of the user's cache that holds what a build makes, after building it if it is not there yet."""
    folder = cache_root() / f"{version}-{target.digest()}"
    if not folder.exists():
        with _lock(cache_root() / "build.lock"):
            # Whoever held the lock before us may have built just this.
            if not folder.exists():
                build.into(folder, target)
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
