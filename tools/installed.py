"""``python -m tools.installed``: run the unit tests with the built wheel installed, on each version of Python.

In a checkout the tests import the product from its source tree, so a module that the wheel lacks would not be noticed.
Here the tests lie in a folder without the product, and the wheel is installed beside the locked dependencies.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRODUCT = ("webhook", "certs")
VERSIONS = ("3.11", "3.12", "3.13")
NOT_COPIED = (*PRODUCT, "build", "dist", "site")


def interpreter(uv: str, version: str) -> str | None:
    """Return an interpreter of a version that is installed: one that uv finds, else one of pyenv, else None."""
    result = subprocess.run(
        [uv, "python", "find", "--no-project", "--no-python-downloads", version],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode == 0:
        return result.stdout.strip()
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return next((str(path) for path in sorted(pyenv.glob(f"versions/{version}.*/bin/python"))), None)


def not_copied(folder: str, names: list[str]) -> set[str]:
    """Return what a copy of the checkout leaves out: the product, results, caches and the virtual environment."""
    if Path(folder) != ROOT:
        return {"__pycache__"}.intersection(names)
    return {name for name in names if name in NOT_COPIED or (name.startswith(".") and name not in {".ci", ".github"})}


def build(uv: str, folder: Path) -> Path:
    """Build the wheel, and copy what the tests read beside it: everything but the product."""
    shutil.copytree(ROOT, folder / "tree", ignore=not_copied)
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def run(uv: str, python: str, wheel: Path, workers: int) -> int:
    """Run the unit tests in a virtual environment of their own; return the exit code."""
    environment = wheel.parent / "venv"
    shutil.rmtree(environment, ignore_errors=True)
    variables = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(environment), "UV_PYTHON": python}
    locked = ["--frozen", "--no-default-groups", "--group", "test", "--no-install-project"]
    subprocess.run([uv, "sync", "--quiet", *locked], cwd=ROOT, env=variables, check=True)
    installed = environment / "bin" / "python"
    target = ["--python", str(installed), "--no-deps"]
    subprocess.run([uv, "pip", "install", "--quiet", *target, str(wheel)], check=True)
    path = os.pathsep.join([str(environment / "bin"), str(Path(uv).resolve().parent), os.environ["PATH"]])
    tests = [str(installed), "-m", "pytest", "-q", "-n", str(workers), "tests/unit"]
    return subprocess.run(tests, cwd=wheel.parent / "tree", env={**os.environ, "PATH": path}, check=False).returncode


def main() -> int:
    """Run them on every version that is there; at least one must be."""
    parser = argparse.ArgumentParser(prog="python -m tools.installed", description=__doc__)
    parser.add_argument("--uv", required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("versions", nargs="*", default=VERSIONS)
    options = parser.parse_args()
    uv = str(Path(options.uv).absolute())
    pythons = {version: interpreter(uv, version) for version in options.versions}
    codes = []
    with tempfile.TemporaryDirectory(prefix="pull-secret-webhook-") as folder:  # outside of the checkout's .gitignore
        wheel = build(uv, Path(folder))
        for version, python in pythons.items():
            print(f"Python {version}: {python or 'not installed, not tested'}", flush=True)
            if python:
                codes.append(run(uv, python, wheel, options.workers))
    return max(codes, default=1)


if __name__ == "__main__":
    raise SystemExit(main())
