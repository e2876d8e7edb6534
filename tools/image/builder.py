"""Builds the Dockerfile with docker, podman or buildah, whichever is there.

Behind a proxy that signs TLS itself, ``SSL_CERT_FILE`` names its authorities for Python already; the build gets the
same file, as a secret.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from tools.image.errors import ImageFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
REPOSITORY = "localhost/pull-secret-webhook"
BUILDERS = ("docker", "podman", "buildah")

# Without a daemon, and without the right to lower a process's score for the out-of-memory killer, which runc needs.
_BUILDAH = ("--isolation=chroot", "--network=host", "--layers")


def version() -> str:
    """Return the project's version."""
    project: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return project


def find(names: Sequence[str] = BUILDERS) -> str:
    """Return the first builder that works; docker does so only with its daemon and BuildKit."""
    for name in names:
        if shutil.which(name) and (name != "docker" or _docker_works()):
            return name
    raise ImageFailed(f"{' and '.join(names)} cannot be used here: install one of {', '.join(BUILDERS)}")


def _docker_works() -> bool:
    commands = (["docker", "info"], ["docker", "buildx", "version"])
    return all(subprocess.run(argv, capture_output=True, check=False).returncode == 0 for argv in commands)


def build(builder: str, image: str, arguments: Mapping[str, str], providers: Path | None = None) -> None:
    """Build the Dockerfile and tag the image; the output of the builder goes to that of this process.

    With a folder of ``providers`` the image has these programs, too.
    """
    command = [builder, "build", *(_BUILDAH if builder == "buildah" else ()), f"--tag={image}"]
    command += [f"--build-arg={name}={value}" for name, value in {**_labels(), **arguments}.items()]
    if providers is not None:
        command += ["--target=with-providers", f"--build-context=providers={providers}"]
    authorities = os.environ.get("SSL_CERT_FILE")
    if authorities and Path(authorities).is_file():
        command.append(f"--secret=id=ca-bundle,src={authorities}")
    done = subprocess.run([*command, str(ROOT)], check=False, env={**os.environ, "DOCKER_BUILDKIT": "1"})
    if done.returncode != 0:
        raise ImageFailed(
            f"{builder} did not build the image: its output above has the cause, and its exit code is {done.returncode}"
        )


def size(builder: str, image: str) -> int:
    """Return the bytes of an image's file system, uncompressed."""
    if builder == "buildah":
        inspected = output([builder, "images", "--format={{.Size}}", image])
        number, unit = inspected.splitlines()[0].split()  # a line for each tag
        return int(float(number) * {"kB": 1e3, "MB": 1e6, "GB": 1e9}[unit])
    return int(output([builder, "image", "inspect", "--format={{.Size}}", image]))


def save(builder: str, image: str, archive: Path) -> None:
    """Write an image as a Docker archive, which docker, podman, containerd and skopeo can all read."""
    # An archive cannot be written over, and a half-written one must not be found.
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
        fresh = Path(scratch) / archive.name
        if builder == "buildah":
            output([builder, "push", "--quiet", image, f"docker-archive:{fresh}:{image}"])
        else:
            output([builder, "save", f"--output={fresh}", image])
        fresh.replace(archive)


def output(argv: Sequence[str]) -> str:
    """Run a program and return its standard output; `ImageFailed` has its standard error."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ImageFailed(f"{' '.join(argv[:3])}: {done.stderr.strip()}")
    return done.stdout.strip()


def _labels() -> dict[str, str]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {"VERSION": version(), "REVISION": commit.stdout.strip() or "unknown"}
