"""A day in the life of a cluster: people who label, delete, edit and rotate, one seeded step after the other."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.cluster.processes import PullSecrets
from tests.integration.day.namespaces import AccountSteps, NamespaceSteps
from tests.integration.day.secrets import CopySteps, SourceSteps
from tests.integration.day.tenants import GOLD, pull_secrets
from tests.integration.day.world import World
from tests.integration.site.playground import COPY, Playground

LONGEST_PAUSE = 0.1
"""Seconds between two steps: so that sync is met at work as well as when it has done all."""


class Day:
    """Steps that are drawn by a seed, and a sync beside them that is killed now and then."""

    def __init__(self, playground: Playground, seed: int) -> None:
        self._playground = playground
        self.world = World(playground, seed)
        self.done: dict[str, int] = {}
        self._sources = SourceSteps(self.world)
        self._steps = self._weighted()
        self.sync = self._start()

    def _weighted(self) -> list[tuple[int, Callable[[], bool]]]:
        namespaces, accounts, copies = NamespaceSteps(self.world), AccountSteps(self.world), CopySteps(self.world)
        return [
            (10, namespaces.create_namespace),
            (8, namespaces.opt),
            (4, namespaces.change_tier),
            (1, namespaces.delete_namespace),
            (8, accounts.create_account),
            (3, accounts.delete_account),
            (8, accounts.add_entry),
            (3, accounts.drop_entry),
            (3, accounts.strip_account),
            (2, accounts.toggle_account),
            (6, copies.delete_copy),
            (6, copies.edit_copy),
            (2, copies.freeze_copy),
            (2, copies.disown_copy),
            (3, copies.create_foreign),
            (3, copies.delete_foreign),
            (6, self._sources.rotate),
            (1, self._sources.break_source),
            (1, self._sources.delete_source),
            (1, self.configure),
            (1, self.restart),
        ]

    def step(self) -> None:
        """Do one thing; one that makes no sense just now is passed over."""
        weights, steps = zip(*self._steps, strict=True)
        chosen = self.world.random.choices(steps, weights)[0]
        time.sleep(self.world.random.random() * LONGEST_PAUSE)
        if chosen():
            self.done[chosen.__name__] = self.done.get(chosen.__name__, 0) + 1

    def end(self) -> None:
        """Mend what is broken, and have sync run."""
        self._sources.mend()
        self.sync.wait_ready()

    def configure(self) -> bool:
        """Retire a pull secret, or take it back."""
        gone = [name for name, active in self.world.active.items() if not active]
        name = self.world.random.choice(gone if gone and self.world.random.random() < 0.8 else (COPY, GOLD))
        before = {tenant.name: self.world.wanted(tenant) for tenant in self.world.tenants.values()}
        self.world.active[name] = not self.world.active[name]
        for tenant in self.world.tenants.values():
            self.world.leave(tenant, before[tenant.name])
        retired = [entry for entry, active in self.world.active.items() if not active]
        self._playground.installation.set_configuration(pullSecrets=pull_secrets(self.world.active), retired=retired)
        return True

    def restart(self) -> bool:
        """Kill sync in whatever it does, also in its start, and start it anew."""
        self.sync.kill()
        self.sync = self._start()
        return True

    def _start(self) -> PullSecrets:
        # Without an election: a killed leader would leave the rest of the day to nobody for 15 s.
        return self._playground.installation.start_sync("--no-leader-elect", "--log-format=json")
