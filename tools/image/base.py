"""A base image made from the distribution's own packages, where none is to be pulled: for tests without a registry."""

from __future__ import annotations

import hashlib
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.image.builder import output
from tools.image.errors import ImageFailed

PACKAGES = ("python3", "python3-venv", "ca-certificates")
_REPOSITORY = "localhost/pull-secret-webhook-base"
_SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d")
_MIRROR = re.compile(r"^(?:URIs:|deb(?:\s+\[[^\]]*\])?)\s+(\S+)", re.MULTILINE)


def make() -> str:
    """Return the name of an image with Python in buildah's storage; made by debootstrap the first time, in minutes."""
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    if not suite:
        raise ImageFailed("/etc/os-release names no VERSION_CODENAME: debootstrap would not know what to make")
    image = f"{_REPOSITORY}:{suite}-{hashlib.sha256(','.join(PACKAGES).encode()).hexdigest()[:8]}"
    if subprocess.run(["buildah", "inspect", "--type=image", image], capture_output=True, check=False).returncode:
        print(f"making a base image of {suite} with {', '.join(PACKAGES)}: 1 to 3 minutes, once", file=sys.stderr)
        _debootstrap(suite, image)
    return image


def _debootstrap(suite: str, image: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root, archive = Path(scratch) / "root", Path(scratch) / "root.tar"
        output(["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, str(root), _mirror()])
        # As an archive: device nodes and owners reach the image as they are.
        output(["tar", "--create", f"--file={archive}", f"--directory={root}", "."])
        container = output(["buildah", "from", "scratch"])
        output(["buildah", "add", "--quiet", container, str(archive), "/"])
        output(["buildah", "config", "--env=PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container])
        output(["buildah", "commit", "--quiet", "--rm", container, image])


def _mirror() -> str:
    """Return the mirror that this machine's apt uses."""
    for path in map(Path, _SOURCES):
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if file.is_file() and (match := _MIRROR.search(file.read_text())):
                return match[1]
    raise ImageFailed(f"neither of {', '.join(_SOURCES)} names a mirror for debootstrap")
