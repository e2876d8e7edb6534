"""Random trouble of every kind for two controllers, and ten seconds after its end all is right.

``TROUBLE_SECONDS=150 TROUBLE_SEEDS=20`` makes the long run of it; ``TROUBLE_SEED`` repeats one: the seed is in the
output.
"""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.mounted import MountedConfigMap
from tests.integration.day.trouble import PULL_SECRETS, Trouble, two_controllers
from tests.integration.faults.denier import Denier
from tests.integration.faults.remote import remote_sync
from tests.integration.site.playground import Playground, until_right

SECONDS = float(os.environ.get("TROUBLE_SECONDS", "25"))
RUNS = int(os.environ.get("TROUBLE_SEEDS", "1"))
FIRST = int(os.environ.get("TROUBLE_SEED") or random.SystemRandom().randrange(1_000_000))
RIGHT_SECONDS = 10.0
START_SECONDS = 60.0


@pytest.mark.parametrize("run", range(RUNS))
def test_after_random_trouble_all_is_right(cluster: Cluster, run: int) -> None:
    seed = FIRST + run
    print(f"TROUBLE_SEED={seed} TROUBLE_SECONDS={SECONDS:g}")
    with (
        Playground.make(cluster, pullSecrets=PULL_SECRETS) as ours,
        Denier(cluster, ours.installation.release) as webhook,
    ):
        file = ours.installation.configuration_file
        late = MountedConfigMap(cluster.directory / f"{ours.installation.release}-late", {file.name: file.read_text()})
        flags = ((), (f"--config={late.directory / file.name}",))
        with two_controllers(lambda number: remote_sync(ours, f"sync-{number}", *flags[number])) as remotes:
            trouble = Trouble(ours, remotes, late, webhook, seed)
            until_right(trouble.wrong, time.monotonic(), START_SECONDS)
            trouble.begin()
            time.sleep(SECONDS)
            trouble.end()
            ended = time.monotonic()
            print(f"{sorted(trouble.done.items())}")
            print(f"right {until_right(trouble.wrong, ended, RIGHT_SECONDS):.1f} s after the end")
            assert all(remote.alive for remote in remotes)
