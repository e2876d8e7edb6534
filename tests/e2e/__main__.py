"""``python -m tests.e2e [ARGUMENTS OF PYTEST]``: make what the scenarios need, then run them within a sandbox.

``python -m tests.e2e setup`` installs the packages of Debian or Ubuntu that it takes, by apt-get. With
``E2E_KUBECONFIG`` the scenarios run on that cluster instead, and nothing is made: see `tests.e2e.site`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tests.cluster import binaries
from tests.cluster.errors import ClusterFailed
from tests.cluster.node import requirements, sandbox
from tests.e2e import helm4, images
from tests.e2e.certmanager import controllers
from tests.e2e.knative import serving
from tools.image.errors import ImageFailed

_CANNOT = 2
_PATIENT = ("--option=DPkg::Lock::Timeout=600", "--option=Acquire::Retries=3")
"""Wait for another process that installs packages, as a machine has one after its start; try a download again."""


def main(arguments: list[str]) -> int:
    """Run the scenarios; return pytest's exit code, or 2 where they cannot run here."""
    pytest = [sys.executable, "-m", "pytest", *(arguments or ["tests/e2e"])]
    if arguments == ["setup"]:
        return setup()
    if os.environ.get("E2E_KUBECONFIG"):
        return subprocess.run(pytest, check=False).returncode
    missing = requirements.missing()
    for sentence in missing:
        print(f"error: {sentence}", file=sys.stderr)
    if missing:
        return _CANNOT
    try:
        binaries.find(binaries.PROGRAMS)
        serving.find()
        controllers.find()
        helm4.find()
        images.make()
    except (ClusterFailed, ImageFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return _CANNOT
    return sandbox.run(pytest)


def setup() -> int:
    """Install what is needed, as root, on a machine with apt-get; do nothing where everything is installed."""
    missing = requirements.packages_to_install()
    if not missing:
        return 0
    if shutil.which("apt-get") is None:
        print(f"error: there is no apt-get; install {', '.join(missing)} yourself", file=sys.stderr)
        return _CANNOT
    # An update that fails, because another one runs or one of several sources is away, may have left lists that do.
    _apt_get("update")
    return _apt_get("install", "--yes", "--no-install-recommends", *missing)


def _apt_get(*arguments: str) -> int:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(["apt-get", *_PATIENT, *arguments], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
