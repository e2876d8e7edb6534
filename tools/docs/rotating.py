"""Run a cluster with a private registry, and follow rotations in it."""

from __future__ import annotations

from base64 import b64decode
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from tests.cluster.cluster import Cluster
from tests.cluster.processes import COMMAND
from tests.integration.site.playground import COPY, REGISTRY, Playground, dockerconfigjson
from tests.integration.site.rotating import GOOD, OLD, RotatingSite
from tests.unit.registries.registry import authorization_of
from tools.docs.recording import record

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMESPACES = 20
LACKING = "lacks a right"
FILE = "config.json"


class Follow(Protocol):
    """Replaces the source, and follows the rotation."""

    def __call__(self, *, lacking: bool, columns: int) -> list[str]:
        """Return all that a terminal has shown; ``lacking`` is for a credential without the right to a repository."""


@contextmanager
def rotations() -> Iterator[Follow]:
    """Run a release whose pull secret has a rollout, while the context lasts."""
    with Cluster.start() as cluster, Playground.make(cluster) as playground, TemporaryDirectory() as name:
        folder = Path(name)
        site = RotatingSite.make(playground, folder)
        with closing(site.registry):
            key = site.registry.key
            users = site.registry.behaviour.users
            site.registry.behaviour.users = {**users, authorization_of(LACKING): frozenset({"team/base"})}
            site.others += [playground.namespace(selected=True) for _ in range(NAMESPACES)]
            prove = {"pull": [f"{key}/team/app:1", f"{key}/team/base:1"]}
            site.configure(prove=prove, canary={**site.canary_settings, "soak": "5s"}, maxPerSecond=5)
            site.start()
            site.await_passwords(OLD, OLD)
            site.await_stage("settled")
            release = f"--release={playground.installation.release}"
            arguments = ["rotate", COPY, f"--from-file={FILE}", f"--kubeconfig={cluster.kubeconfig}", release]

            def follow(*, lacking: bool, columns: int) -> list[str]:
                data = dockerconfigjson(LACKING if lacking else GOOD, key)
                (folder / FILE).write_bytes(b64decode(data[".dockerconfigjson"]))
                moments = record([COMMAND, *arguments], folder, columns)
                # The registry listens on a port of loopback; readers know registries by name.
                return [moment.replace(key, REGISTRY) for moment in moments]

            yield follow
