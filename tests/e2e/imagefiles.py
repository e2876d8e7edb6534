"""What is in an image's archive: the paths of its file system, and its configuration."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """The files of all layers; ours is made so that no layer takes away what another has brought."""

    members: dict[str, tarfile.TarInfo]
    configuration: dict[str, Any]

    @property
    def paths(self) -> set[str]:
        return set(self.members)


def read(archive: Path) -> ImageFiles:
    """Read a Docker archive (``docker save``, ``buildah push docker-archive:``)."""
    members: dict[str, tarfile.TarInfo] = {}
    with tarfile.open(archive) as outer:
        manifest = json.load(_member(outer, "manifest.json"))[0]
        configuration = json.load(_member(outer, manifest["Config"]))
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=_member(outer, layer)) as inner:
                members |= {member.name.removeprefix("./"): member for member in inner}
    return ImageFiles(members, configuration["config"])


def _member(archive: tarfile.TarFile, name: str) -> Any:  # noqa: ANN401 (a file object of tarfile's own)
    while (member := archive.getmember(name)).issym():  # buildah names each layer twice
        name = member.linkname.removeprefix("../")
    return archive.extractfile(name)
