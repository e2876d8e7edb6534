"""Test the choice of packages that `make e2e-setup` installs. A small program acts as dpkg."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.node import requirements
from tests.e2e import __main__ as e2e


@pytest.fixture
def dpkg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH, with a dpkg-query that prints the file beside it."""
    program, lines = tmp_path / "dpkg-query", tmp_path / "lines"
    program.write_text(f'#!/bin/sh\nwhile read -r line; do echo "$line"; done < {lines}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return lines


def test_packages_that_are_installed_are_left_out(dpkg: Path) -> None:
    dpkg.write_text("installed runc\nconfig-files skopeo\n")
    assert requirements.packages_to_install() == [name for name in requirements.packages() if name != "runc"]


def test_where_everything_is_installed_nothing_is_done(dpkg: Path) -> None:
    dpkg.write_text("".join(f"installed {name}\n" for name in requirements.packages()))
    assert e2e.setup() == 0


def test_without_apt_get_the_packages_are_named(dpkg: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dpkg.write_text("".join(f"installed {name}\n" for name in requirements.packages() if name != "runc"))
    assert e2e.setup() == 2
    assert capsys.readouterr().err == "error: there is no apt-get; install runc yourself\n"
