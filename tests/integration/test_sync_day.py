"""A day of life in minutes: whatever people do, and however often sync is killed, at the end all is as planned.

``DAY_OF_LIFE_STEPS=5000`` makes the long run of it, ``DAY_OF_LIFE_SEED`` repeats one: the seed is in the output.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator

from tests.cluster.cluster import Cluster
from tests.integration.day.day import Day
from tests.integration.day.oracle import Oracle
from tests.integration.day.tenants import GOLD, pull_secrets
from tests.integration.site.estate import CONVERGED_SECONDS
from tests.integration.site.playground import COPY, Playground, eventually, until_right
from webhook.files.watched_file import ConfigurationFile
from webhook.kube.connect import connect
from webhook.kube.objects import ScopedDecoder, SecretObject, to_copy, to_namespace
from webhook.kube.resources import NAMESPACES, SECRETS, SERVICE_ACCOUNTS
from webhook.kube.wire import ObjectList, PartialObjectMetadata, decoder
from webhook.rules.actions import NamespacePlan
from webhook.rules.objects import NamespaceState
from webhook.rules.ownership import Release
from webhook.rules.plan import plan_namespace
from webhook.rules.scope import scope_of
from webhook.sync.source import read_source
from webhook.sync.sources import SourceStore

STEPS = int(os.environ.get("DAY_OF_LIFE_STEPS", "400"))
SEED = int(os.environ.get("DAY_OF_LIFE_SEED") or random.SystemRandom().randrange(1_000_000))

_namespaces = decoder(ObjectList[PartialObjectMetadata])
_secrets = decoder(ObjectList[SecretObject])


def plans(playground: Playground) -> Iterator[tuple[str, NamespacePlan]]:
    """Yield for each namespace what the pure plan wants of it, from a state that is read now."""
    installation = playground.installation
    release = Release(installation.release, installation.namespace)
    configuration = ConfigurationFile(installation.configuration_file, installation.namespace).load()
    client = connect(playground.cluster.kubeconfig)
    book = SourceStore(lambda: None, lambda _: None, lambda *_: None)
    book.configure(configuration)
    secrets = _secrets(client.request("GET", SECRETS.path())).items
    for secret in secrets:
        if secret.metadata.namespace == installation.namespace:
            book.observe(read_source(secret))
    _, hashes = book.usable_contents("any", lambda _: None)
    assert hashes.keys() == {entry.name for entry in configuration.pull_secrets}
    shapes = ScopedDecoder(scope_of(configuration))
    decode_accounts = decoder(ObjectList[shapes.service_account])  # type: ignore[name-defined]
    accounts = decode_accounts(client.request("GET", SERVICE_ACCOUNTS.path())).items
    for namespace in _namespaces(client.request("GET", NAMESPACES.path())).items:
        name = namespace.metadata.name
        copies = {
            secret.metadata.name: to_copy(secret, release)
            for secret in secrets
            if secret.metadata.namespace == name and secret.metadata.name in configuration.secret_names
        }
        held = [shapes.to_service_account(account) for account in accounts if account.metadata.namespace == name]
        yield name, plan_namespace(NamespaceState(to_namespace(namespace), copies, held), configuration, hashes)
    client.close()


def test_a_day_of_life_ends_as_planned(cluster: Cluster) -> None:
    print(f"DAY_OF_LIFE_SEED={SEED} DAY_OF_LIFE_STEPS={STEPS}")
    with Playground.make(cluster, pullSecrets=pull_secrets({COPY: True, GOLD: True})) as ours:
        day = Day(ours, SEED)
        begun = time.monotonic()
        for _ in range(STEPS):
            day.step()
        print(f"{time.monotonic() - begun:.0f} s: {day.done}")
        # Else sync had no chance between all that.
        assert day.done.keys() >= {"delete_copy", "edit_copy", "rotate", "opt", "restart", "create_foreign"}
        day.end()
        ended = time.monotonic()
        oracle = Oracle(ours, day.world)
        seconds = until_right(oracle.wrong, ended, CONVERGED_SECONDS)
        print(f"right {seconds:.1f} s after the end, {len(day.world.tenants)} namespaces")
        # The last writes change no list: they hand its ownership back.
        eventually(lambda: {name: plan for name, plan in plans(ours) if not plan.is_empty}, lambda left: not left)
