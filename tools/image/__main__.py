"""``python -m tools.image``: build the image, and print its name, its size, and how long its command takes to start.

``IMAGE`` names it, ``BUILDER`` chooses docker, podman or buildah, ``BASE_IMAGE`` and ``BUILD_IMAGE`` replace those of
the Dockerfile; ``BASE_IMAGE=debootstrap`` makes a base from this machine's distribution, where no registry is reached.
``ARCHIVE`` names a file to which the image is written too. ``PROVIDERS`` names credential providers that the image
gets, as a folder or as files separated by blanks.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from tools.image import base, builder, providers
from tools.image.errors import ImageFailed


def main() -> int:
    """Build and measure; return the exit code."""
    try:
        chosen = os.environ.get("BUILDER")
        tool = builder.find([chosen] if chosen else builder.BUILDERS)
        image = _build(tool)
        if archive := os.environ.get("ARCHIVE"):
            builder.save(tool, image, Path(archive))
        print(f"{image}: {builder.size(tool, image) / 1e6:.0f} MB, `pullsecrets --version` {_start(tool, image):.2f} s")
    except ImageFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _build(tool: str) -> str:
    """Build the image, and return its name."""
    image = os.environ.get("IMAGE") or f"{builder.REPOSITORY}:{builder.version()}"
    named = os.environ.get("PROVIDERS")
    if not named:
        builder.build(tool, image, _arguments())
        return image
    with tempfile.TemporaryDirectory() as scratch:
        gathered = providers.gather(named, Path(scratch))
        image = os.environ.get("IMAGE") or f"{image}-providers"
        builder.build(tool, image, _arguments(), gathered)
    return image


def _arguments() -> dict[str, str]:
    arguments = {name: value for name in ("BASE_IMAGE", "BUILD_IMAGE") if (value := os.environ.get(name))}
    return arguments | {"BASE_IMAGE": base.make()} if arguments.get("BASE_IMAGE") == "debootstrap" else arguments


def _start(tool: str, image: str) -> float:
    """Return the seconds of one command in the image, the builder's own included: the second of two."""
    if tool != "buildah":
        run = [tool, "run", "--rm", "--read-only", "--cap-drop=all", image, "--version"]
        return min(_timed(run), _timed(run))
    container = builder.output([tool, "from", image])
    try:
        run = [tool, "run", "--isolation=chroot", container, "--", "pullsecrets", "--version"]
        return min(_timed(run), _timed(run))
    finally:
        builder.output([tool, "rm", container])


def _timed(argv: list[str]) -> float:
    started = time.monotonic()
    builder.output(argv)
    return time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
