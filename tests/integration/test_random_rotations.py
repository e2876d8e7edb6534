"""Random rotations, several pull secrets at a time: each ends as the pure plan does, and a bad credential goes nowhere.

``ROTATIONS=1000`` is the full size. The seed is printed at the beginning; ``SEED=<seed>`` draws the same rotations
again. Figures are printed, and never decide.
"""

from __future__ import annotations

import os
import random
import secrets
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from certs.authority import issue_authority, issue_leaf
from tests.integration.rotations.history import History
from tests.integration.rotations.kinds import PATIENT, QUICK
from tests.integration.rotations.lane import Figures, Lane, Site
from tests.integration.rotations.leaders import Leaders
from tests.integration.site.playground import Playground

Kind = Callable[[Lane], None]

KINDS: tuple[Kind, ...] = (*QUICK, *PATIENT)
ROTATIONS = int(os.environ.get("ROTATIONS", f"{len(KINDS)}"))
SEED = os.environ.get("SEED") or secrets.token_hex(4)
LANES = {True: 2 if ROTATIONS < 100 else 10, False: 1 if ROTATIONS < 100 else 5}
"""Pull secrets with a short soak, and those with a long one."""


def deal() -> dict[bool, list[list[Kind]]]:
    """Return the kinds of the rotations of each pull secret; with a short soak first."""
    kinds = [KINDS[number % len(KINDS)] for number in range(ROTATIONS)]
    random.Random(SEED).shuffle(kinds)  # noqa: S311 (to be repeatable)
    return {
        is_quick: [[kind for kind in kinds if (kind in QUICK) is is_quick][lane::lanes] for lane in range(lanes)]
        for is_quick, lanes in LANES.items()
    }


def make_site(playground: Playground, folder: Path) -> Site:
    authority = issue_authority(datetime.now(UTC), timedelta(days=1))
    leaf = issue_leaf(authority, ["127.0.0.1"], datetime.now(UTC), timedelta(days=1))
    (folder / "ca.crt").write_bytes(authority.certificate_pem)
    (folder / "tls.pem").write_bytes(leaf.certificate_pem + leaf.private_key_pem)
    prefix = f"c-{uuid.uuid4().hex[:8]}"
    canary = [f"{prefix}-{number}" for number in range(2)]
    for name in canary:
        playground.cluster.create_namespace(name, {playground.label: "enabled"})
    others = [playground.namespace(selected=True) for _ in range(3)]
    leaders = Leaders(playground, folder / "ca.crt")
    history, figures = History(playground, {*canary}), Figures(leaders)
    return Site(playground, history, leaders, figures, folder / "tls.pem", canary, others)


def run(lane: Lane, kinds: list[Kind]) -> None:
    """Rotate the pull secret of a lane by each of these kinds."""
    try:
        lane.until_end()
        for kind in kinds:
            lane.done.append(kind.__name__)
            kind(lane)
    except BaseException as error:
        lane.site.failed.set()
        raise AssertionError(f"SEED={SEED} ROTATIONS={ROTATIONS}: {lane.told()}") from error


def test_random_rotations_end_as_planned_and_a_bad_credential_goes_nowhere(
    playground: Callable[..., Playground], tmp_path: Path
) -> None:
    site = make_site(playground(), tmp_path)
    print(f"\nSEED={SEED}")
    with ExitStack() as stack:
        work: list[tuple[Lane, list[Kind]]] = []
        for is_quick, kinds_by_lane in deal().items():
            soak, overlap = (1.0, 3600.0) if is_quick else (60.0, 2.0)
            for kinds in kinds_by_lane:
                work.append((Lane(site, len(work), SEED, soak=soak, overlap=overlap), kinds))
                stack.callback(work[-1][0].close)
        installation = site.playground.installation
        label = {"label": site.playground.label}
        installation.set_configuration(optIn=label, pullSecrets=[lane.configuration for lane, _ in work])
        stack.enter_context(site.history)
        began_at = time.monotonic()
        site.leaders.start()
        with ThreadPoolExecutor(len(work)) as pool:
            futures = [pool.submit(run, lane, kinds) for lane, kinds in work]
        seconds = time.monotonic() - began_at

    done = Counter(kind for lane, _ in work for kind in lane.done)
    print(f"{done.total()} rotations of {len(work)} pull secrets in {seconds:.0f} s: {dict(done)}")
    print(f"{site.history.versions} versions of Secrets, {len(site.leaders.outages)} leaders killed")
    print(site.figures.table())
    for future in futures:
        future.result()
    assert site.history.violations == []
    assert done.total() == ROTATIONS
