"""What is shipped: where it comes from, under which licence, and that no secret is in the repository."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tools.audit.__main__ import audit
from tools.audit.dependencies import is_free, licences, shipped

ROOT = Path(__file__).parents[2]
LOCK = tomllib.loads((ROOT / "uv.lock").read_text())

SECRETS = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}"),
    "an AWS key": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a GitHub token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_\w{50,}\b"),
    "a GitLab token": re.compile(r"\bglpat-[\w-]{20,}\b"),
    "a Slack token": re.compile(r"\bxox[abprs]-[\w-]{10,}\b"),
    "a Google key": re.compile(r"\bAIza[\w-]{35}\b"),
    "a PyPI token": re.compile(r"\bpypi-AgEI[\w-]{50,}\b"),
    "a Docker Hub token": re.compile(r"\bdckr_pat_[\w-]{20,}\b"),
    "a JSON web token": re.compile(r"\beyJ[\w-]{20,}\.eyJ[\w-]{20,}\.[\w-]{20,}\b"),
    "a registry credential": re.compile(r'"auth"\s*:\s*"(?!Y|c|d|b|e)[A-Za-z0-9+/]{40,}={0,2}"'),
}


def repository() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    kept = (
        path for path in ROOT.rglob("*") if not {".venv", ".git", ".hypothesis", "__pycache__"}.intersection(path.parts)
    )
    return [path for path in kept if path.is_file()]


def uv() -> str:
    found = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    assert found, "make any target: it brings uv"
    return found


def test_no_secret_is_in_the_repository() -> None:
    files = [path for path in repository() if path.is_file()]
    assert len(files) > 300
    found = [
        f"{path.relative_to(ROOT)}: {what}"
        for path in files
        for what, pattern in SECRETS.items()
        if pattern.search(path.read_text(errors="replace"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("a private key", "-----BEGIN EC PRIVATE KEY-----\n" + "A" * 64),
        ("an AWS key", "AKIA" + "A" * 16),
        ("a GitHub token", "ghp_" + "a" * 36),
        ("a JSON web token", "eyJ" + "a" * 30 + ".eyJ" + "b" * 30 + "." + "c" * 30),
        ("a registry credential", '{"auth": "' + "A" * 44 + '"}'),
    ],
)
def test_one_would_be_found(what: str, text: str) -> None:
    assert SECRETS[what].search(f"x = {text}\n")


def test_every_package_comes_from_the_registry_by_its_hash() -> None:
    others = [each for each in LOCK["package"] if each["name"] != "pull-secret-webhook"]
    assert len(others) > 50
    for package in others:
        assert set(package["source"]) == {"registry"}, package["name"]
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert files
        assert all(each["hash"].startswith("sha256:") for each in files), package["name"]


def test_what_is_shipped_is_under_licences_that_allow_it() -> None:
    found = {name: licences(package) for name, package in shipped().items()}
    assert {"kubernetes", "fastapi", "uvloop", "cryptography"} <= set(found)
    assert {name: named for name, named in found.items() if not (named and all(map(is_free, named)))} == {}


@pytest.mark.parametrize("licence", ["GPL-3.0-only", "AGPL-3.0-or-later", "BUSL-1.1", "none", "Proprietary"])
def test_a_licence_that_does_not_allow_it_is_found(licence: str) -> None:
    assert not is_free(licence)


def test_the_bill_of_materials_has_all_of_it_and_nothing_of_the_tests() -> None:
    """As ``make package`` writes it."""
    shown = ["--no-default-groups", "--preview-features=sbom-export", "--format=cyclonedx1.5"]
    text = subprocess.run(
        [uv(), "export", "--quiet", "--frozen", *shown], cwd=ROOT, capture_output=True, check=True
    ).stdout
    listed = {component["name"]: component for component in json.loads(text)["components"]}
    assert set(shipped()) <= set(listed)
    assert not {"pytest", "hypothesis", "ruff", "atheris", "pip"}.intersection(listed)
    assert all(component["purl"].startswith("pkg:pypi/") for component in listed.values())


def test_where_nobody_can_be_asked_about_vulnerabilities_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "uv"
    alone.write_text("#!/bin/sh\necho 'error: Request failed after 3 retries' >&2\nexit 2\n")
    alone.chmod(0o755)
    assert audit(str(alone)) == 0
    said = "not audited: the database of known vulnerabilities cannot be reached from here\n"
    assert capsys.readouterr().out == said


def test_what_is_known_against_a_dependency_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    informed = tmp_path / "uv"
    informed.write_text("#!/bin/sh\necho 'pyyaml 5.3: CVE-2020-1747'\nexit 1\n")
    informed.chmod(0o755)
    assert audit(str(informed)) == 1
    assert "CVE-2020-1747" in capsys.readouterr().out
