"""Credential providers of an image: the files that are taken, and the build that gets them. The builder is a script."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.image import __main__ as image
from tools.image import providers
from tools.image.errors import ImageFailed

BUILDER = """#!/bin/sh
echo "$*" >> "$CALLS"
for argument in "$@"; do
    case "$argument" in --build-context=providers=*) ls "${argument#--build-context=providers=}" >> "$CALLS" ;; esac
done
[ "$2" != inspect ] || echo 1000000
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "ecr-credential-provider").write_bytes(b"\x7fELF program")
    (folder / "script").write_text("#!/bin/sh\n")
    return folder


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_folder_means_all_of_its_files(programs: Path, scratch: Path) -> None:
    (programs / "notes").mkdir()

    assert names(providers.gather(str(programs), scratch)) == ["ecr-credential-provider", "script"]


def test_files_are_separated_by_blanks(programs: Path, scratch: Path) -> None:
    named = f"{programs / 'script'} '{programs}/ecr-credential-provider'"

    assert names(providers.gather(named, scratch)) == ["ecr-credential-provider", "script"]


def test_what_cannot_be_a_provider_is_refused_by_name(programs: Path, scratch: Path) -> None:
    (programs / "README.md").write_text("# Providers\n")
    (programs / "empty").mkdir()

    for named, problem in (
        (str(programs), "README.md is not a program"),
        (str(programs / "absent"), "absent is neither a file nor a folder"),
        (str(programs / "empty"), "empty is neither a file nor a folder"),
        (f"{programs / 'script'} {programs / 'script'}", "two files with the name script"),
    ):
        with pytest.raises(ImageFailed, match=problem):
            providers.gather(named, scratch)
        for file in scratch.iterdir():
            file.unlink()


@pytest.mark.parametrize("name", ["", "registry.example.com/ours:1"])
def test_the_image_with_providers_is_a_target_of_its_own_and_has_another_name(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    builder, calls = tmp_path / "bin" / "podman", tmp_path / "calls"
    builder.parent.mkdir()
    builder.write_text(BUILDER)
    builder.chmod(0o755)
    monkeypatch.setenv("PATH", str(builder.parent), prepend=":")
    for variable, value in {"BUILDER": "podman", "CALLS": calls, "PROVIDERS": programs, "IMAGE": name}.items():
        monkeypatch.setenv(variable, str(value))

    assert image.main() == 0

    build, *rest = calls.read_text().splitlines()
    expected = name or "localhost/pull-secret-webhook:0.1.0-providers"
    assert f"--tag={expected} " in build
    assert "--target=with-providers " in build
    assert rest[:2] == ["ecr-credential-provider", "script"]
    assert capsys.readouterr().out.startswith(f"{expected}: ")


def test_without_providers_the_last_stage_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    builder, calls = tmp_path / "podman", tmp_path / "calls"
    builder.write_text(BUILDER)
    builder.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("PROVIDERS", raising=False)
    for variable, value in {"BUILDER": "podman", "CALLS": calls, "IMAGE": ""}.items():
        monkeypatch.setenv(variable, str(value))

    assert image.main() == 0

    (build,) = (line for line in calls.read_text().splitlines() if line.startswith("build "))
    assert "--target" not in build
    assert capsys.readouterr().out.startswith("localhost/pull-secret-webhook:0.1.0: ")
