"""One namespace as it is, with all that an explanation of an object in it is made from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from webhook.core.coverage import registries_for
from webhook.core.explain.outcome import Scene, explain_namespace, explain_subject, explain_unreadable
from webhook.core.ownership import Ownership, ownership_of
from webhook.core.plan import plan_namespace
from webhook.core.preview.copies import hashes_for
from webhook.core.preview.world import World
from webhook.core.scope import scope_of
from webhook.core.state import Copy, NamespaceState
from webhook.core.subject import AdmittedObject
from webhook.errors import Forbidden, UsageError
from webhook.kube.objects import Shapes
from webhook.kube.resources import PODS, SERVICE_ACCOUNTS, Collection
from webhook.kube.wire import decoder
from webhook.live.namespaces import read_namespace
from webhook.live.obstacles import read_writer
from webhook.live.reach import registration_of
from webhook.live.secrets import read_copy, read_sources

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.core.explain.obstacle import Target
    from webhook.core.explain.step import Explanation
    from webhook.core.inject import Subject
    from webhook.core.model import Configuration
    from webhook.core.selection import Namespace
    from webhook.core.state import ServiceAccount
    from webhook.live.reader import Reader
    from webhook.live.release import Installed

_decode_object: Callable[[bytes], AdmittedObject] = decoder(AdmittedObject)

_RESOURCES = {"Pod": PODS, "ServiceAccount": SERVICE_ACCOUNTS}


@dataclass(frozen=True, slots=True)
class _Copies:
    """The Secrets of copies' names in one namespace, the registries in ours, and the names that may not be read."""

    found: dict[str, Copy]
    registries: dict[str, frozenset[str]]
    unseen: frozenset[str]


def explain_live(reader: Reader, installed: Installed, kind: str, name: str, namespace: str) -> Explanation:
    """Return each gate for an object as it is in the cluster; ``namespace`` is where it is, if it is in one.

    Raises:
        UsageError: it does not exist, or may not be read: nothing can be said without it.
    """
    if kind == "Namespace":
        found = read_namespace(reader, name)
        accounts = read_accounts(reader, installed.configuration, name)
        scene = _scene(reader, installed, found, accounts or ())
        scene = replace(scene, accounts_seen=accounts is not None)
        return _with_writer(reader, installed, scene, name, lambda scene: explain_namespace(scene, name))
    found = read_namespace(reader, namespace)
    subject = _subject(reader, kind, name, namespace)
    if subject is None:
        return explain_unreadable(kind, name, namespace)
    scene = replace(_scene(reader, installed, found, ()), accounts_seen=False)
    return _with_writer(reader, installed, scene, namespace, lambda scene: explain_subject(scene, subject))


def _with_writer(
    reader: Reader, installed: Installed, scene: Scene, namespace: str, explain: Callable[[Scene], Explanation]
) -> Explanation:
    """Explain a scene. What is known of the controller is read only where it still has something to write."""
    found = explain(scene)
    if not any(step.awaits_sync for step in found.steps):
        return found
    is_right = partial(_is_right, scene, namespace)
    return explain(replace(scene, writer=read_writer(reader, installed, namespace, is_right)))


def _is_right(scene: Scene, namespace: str, target: Target) -> bool:
    """Return whether an object of the namespace was looked at, and nothing is to be written to it."""
    kind, name = target
    plan = scene.world.plans[namespace]
    if kind == "ServiceAccount":
        return scene.accounts_seen and name not in plan.accounts_to_write
    unseen = name in scene.world.unseen_copies or name not in scene.world.configuration.secret_names
    return not unseen and name not in plan.copies_to_write


def read_accounts(reader: Reader, configuration: Configuration, namespace: str) -> tuple[ServiceAccount, ...] | None:
    """Return the ServiceAccounts of a namespace; None where they may not be listed, which is told."""
    try:
        shapes = Shapes(scope_of(configuration))
        objects = reader.each(Collection(SERVICE_ACCOUNTS, namespace), shapes.service_account)
        return tuple(shapes.to_service_account(each) for each in objects)
    except Forbidden:
        reader.lacks("list", "serviceaccounts", namespace)
        return None


def _subject(reader: Reader, kind: str, name: str, namespace: str) -> Subject | None:
    resource = _RESOURCES[kind]
    try:
        content = reader.one(resource, name, namespace)
    except Forbidden:
        raise UsageError(f"you may not get {resource.plural} in namespace {namespace}: ask for that right") from None
    if content is None:
        listing = f", or list them: kubectl get {resource.plural} -n {namespace}"
        raise UsageError(f"{kind} {name} does not exist in namespace {namespace}; choose another with -n{listing}")
    found = _decode_object(content)
    return found.as_pod(namespace) if kind == "Pod" else found.as_service_account(namespace)


def _scene(reader: Reader, installed: Installed, namespace: Namespace, accounts: tuple[ServiceAccount, ...]) -> Scene:
    configuration, sources = installed.configuration, read_sources(reader, installed)
    expected = {entry.name: sources.expected(entry) for entry in configuration.pull_secrets}
    copies = _read_copies(reader, installed, namespace)
    state = NamespaceState(namespace, copies.found, accounts)
    plan = plan_namespace(state, configuration, hashes_for(expected, state.copies))
    world = World(
        configuration=configuration,
        release_namespace=installed.release.namespace,
        states={namespace.name: state},
        plans={namespace.name: plan},
        expected=expected,
        sources=sources,
        removals={},
        unseen_copies=copies.unseen,
    )
    registries = registries_for(configuration, sources) | copies.registries
    return Scene(
        world,
        exists=True,
        registration=registration_of(reader, installed),
        registries=registries,
    )


def _read_copies(reader: Reader, installed: Installed, namespace: Namespace) -> _Copies:
    found: dict[str, Copy] = {}
    registries: dict[str, frozenset[str]] = {}
    unseen: set[str] = set()
    for name in installed.configuration.secret_names:
        copy, covered, known = read_copy(reader, installed.release, name, namespace.name)
        if not known:
            unseen.add(name)
        elif copy is not None:
            found[name] = copy
            if ownership_of(copy.mark, namespace.uid) is not Ownership.FOREIGN:
                registries[name] = covered
    return _Copies(found, registries, frozenset(unseen))
