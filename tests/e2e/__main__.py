"""``python -m tests.e2e [ARGUMENTS OF PYTEST]``: make what the scenarios need, then run them within a sandbox.

``python -m tests.e2e setup`` installs the packages of Debian or Ubuntu that it takes, by apt-get. With
``E2E_KUBECONFIG`` the scenarios run on that cluster instead, and nothing is made: see `tests.e2e.site`.
"""

from __future__ import annotations

import os
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
    """Install what is needed, as root, on a machine with apt-get."""
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *requirements.packages()]
    for argv in (["apt-get", "update"], install):
        try:
            code = subprocess.run(argv, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, check=False).returncode
        except FileNotFoundError:
            print(f"error: there is no apt-get; install {', '.join(requirements.packages())} yourself", file=sys.stderr)
            return _CANNOT
        if code != 0:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
