"""A folder that changes like a mounted ConfigMap."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.mounted import MountedConfigMap


def test_files_are_links_through_one_link_that_is_swapped(tmp_path: Path) -> None:
    mounted = MountedConfigMap(tmp_path / "mount", {"config.yaml": "one"})
    visible, data = tmp_path / "mount" / "config.yaml", tmp_path / "mount" / "..data"
    assert str(visible.readlink()) == "..data/config.yaml"
    assert visible.read_text() == "one"
    first = data.readlink()

    mounted.publish({"config.yaml": "two"})

    assert visible.read_text() == "two"
    assert data.readlink() != first
    assert sorted(path.name for path in mounted.directory.iterdir()) == sorted(
        ["..data", data.readlink().name, "config.yaml"]
    )
