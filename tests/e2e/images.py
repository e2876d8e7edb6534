"""The images of the end-to-end tests, as archives that a sandbox without network can use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.node.settings import PAUSE_IMAGE
from tools.image import base, builder
from tools.image.builder import output

BUSYBOX = Path("/bin/busybox")
"""Statically linked: an image of it alone can run."""

APPLICATION = "team/app"
_NOBODY = "65534:65534"


@dataclass(frozen=True, slots=True)
class Archives:
    """Docker archives: ours, the sandbox of each Pod, and the application that only the private registry has."""

    ours: Path
    pause: Path
    application: Path


def directory() -> Path:
    """Return where the archives are."""
    return builder.ROOT / "build" / "e2e"


def archives() -> Archives:
    """Return the archives' paths, whether they are made yet or not."""
    return Archives(*(directory() / f"{name}.tar" for name in ("ours", "pause", "application")))


def ours() -> str:
    """Return the name of the project's image."""
    return f"{builder.REPOSITORY}:{builder.version()}"


def make() -> Archives:
    """Build what is not there yet with buildah; `ImageFailed` where that does not work."""
    made = archives()
    builder.build("buildah", ours(), {"BASE_IMAGE": os.environ.get("E2E_BASE_IMAGE") or base.make()})
    builder.save("buildah", ours(), made.ours)
    for image, archive in ((PAUSE_IMAGE, made.pause), (f"localhost/{APPLICATION}:1", made.application)):
        _from_busybox(image)
        builder.save("buildah", image, archive)
    return made


def _from_busybox(image: str) -> None:
    container = output(["buildah", "from", "scratch"])
    output(["buildah", "copy", "--quiet", "--chmod=755", container, str(BUSYBOX), "/bin/busybox"])
    output(["buildah", "config", f"--user={_NOBODY}", '--cmd=["/bin/busybox", "sleep", "86400"]', container])
    output(["buildah", "commit", "--quiet", "--rm", container, image])
