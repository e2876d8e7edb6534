"""A folder that looks and changes like a mounted ConfigMap.

Source: pkg/volume/util/atomic_writer.go of Kubernetes: the files are links through ``..data``, itself a link to a
folder with a timestamp for a name; an update writes a new such folder and swaps the one link.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path


class MountedConfigMap:
    """A ConfigMap mounted as a folder."""

    def __init__(self, directory: Path, data: Mapping[str, str]) -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        self.publish(data)

    def publish(self, data: Mapping[str, str]) -> None:
        """Replace the content in one step, as the kubelet does."""
        version = self.directory / f"..{time.time_ns()}"
        version.mkdir()
        for name, content in data.items():
            (version / name).write_text(content)
        link, swap = self.directory / "..data", self.directory / "..data_tmp"
        old = link.resolve() if link.is_symlink() else None
        swap.symlink_to(version.name)
        swap.rename(link)
        for name in data:
            visible = self.directory / name
            if not visible.is_symlink():
                visible.symlink_to(f"..data/{name}")
        if old:
            shutil.rmtree(old)
