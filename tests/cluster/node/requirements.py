"""What a machine must have to run a node, and which package of Debian or Ubuntu brings it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "unshare": "util-linux",
    "mount": "mount",
    "docker-registry": "docker-registry",
    "htpasswd": "apache2-utils",
    "buildah": "buildah",
    "skopeo": "skopeo",
    "debootstrap": "debootstrap",
}
"""The package of each program that is started by its name."""

FILES = {
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/lib/cni/host-local": "containernetworking-plugins",
    "/bin/busybox": "busybox-static",
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
}
"""The package of each file that is looked for in one place."""

FOR_OTHER_TESTS = ("chromium", "chromium-driver", "prometheus")
"""What integration tests of the status page and of the alerts want; without it those few are skipped, and say so."""

SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
"""Where programs are looked for: a user's PATH often leaves out those for root."""


def packages() -> list[str]:
    """Return every package that tests want of a machine, each once."""
    return sorted({*PACKAGES.values(), *FILES.values(), *FOR_OTHER_TESTS})


def packages_to_install() -> list[str]:
    """Return those packages that dpkg does not report as installed; all of them where there is no dpkg."""
    if shutil.which("dpkg-query") is None:
        return packages()
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package}\\n", *packages()]
    lines = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
    installed = {name for status, name in map(str.split, lines) if status == "installed"}
    return [name for name in packages() if name not in installed]


def missing() -> list[str]:
    """Return one sentence for each thing that this machine lacks; none when a node can run here."""
    if not sys.platform.startswith("linux"):
        return [f"a node needs Linux, and this is {sys.platform}: set E2E_KUBECONFIG to use a cluster that you have"]
    if os.geteuid() != 0:
        return ["a node needs root: run it as root, or set E2E_KUBECONFIG to use a cluster that you have"]
    programs = {name: package for name, package in PACKAGES.items() if not shutil.which(name, path=SEARCH_PATH)}
    files = {name: package for name, package in FILES.items() if not Path(name).exists()}
    return [
        f"{name} is missing, of the package {package}: `make e2e-setup` installs it"
        for name, package in {**programs, **files}.items()
    ]


if __name__ == "__main__":
    print("; ".join(missing()))
