"""Explanations: of a Pod, a ServiceAccount, a namespace, and of an object that nothing here is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from webhook.core.catalog import advice
from webhook.core.explain.gates import pull_secret_steps, whole_steps
from webhook.core.explain.obstacle import UNKNOWN_WRITER, Writer
from webhook.core.explain.references import account_steps, copy_step, coverage_step, reference_step
from webhook.core.explain.registration import registration_steps, selection_steps
from webhook.core.explain.step import Explanation, Step, Verdict
from webhook.core.gates import Case, decide_namespace
from webhook.core.model import Reason
from webhook.core.preview.deciding import decide_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from webhook.core.explain.registration import Registration
    from webhook.core.gates import Decision
    from webhook.core.inject import Subject
    from webhook.core.preview.world import World

_REFERENCED = (Reason.ALREADY_PRESENT, Reason.INJECTED)


@dataclass(frozen=True, slots=True)
class Scene:
    """What an explanation is made from.

    ``exists`` tells whether objects are judged as they are in a cluster, or as if they were created now from a file;
    ``registration`` is None where there is no cluster. ``registries`` holds what each pull secret has credentials for,
    where that is known; ``writer`` is what is known of the controller in the namespace.
    """

    world: World
    exists: bool = False
    registration: Registration | None = None
    registries: Mapping[str, Collection[str]] = field(default_factory=dict)
    writer: Writer = UNKNOWN_WRITER
    accounts_seen: bool = True
    """Whether the ServiceAccounts of the namespace were read."""


def explain_subject(scene: Scene, subject: Subject) -> Explanation:
    """Return each gate for a Pod or a ServiceAccount."""
    name = subject.name or f"{subject.generate_name}*"
    return Explanation(subject.namespace, f"{subject.kind}/{name}", tuple(_subject_steps(scene, subject)))


def explain_namespace(scene: Scene, namespace: str) -> Explanation:
    """Return each gate for a namespace, which is in the world of the scene."""
    return Explanation(namespace, f"Namespace/{namespace}", tuple(_namespace_steps(scene, namespace)))


def explain_other(kind: str, name: str, namespace: str) -> Explanation:
    """Return why nothing is done about an object of another kind."""
    reason = Reason.RESOURCE_IGNORED
    why = f"the webhook is asked about Pods and ServiceAccounts, not about {kind}"
    todo = "explain one of its Pods, or its ServiceAccount"
    return Explanation(namespace, f"{kind}/{name}", (Step("kind", Verdict.STOP, why, reason, todo),))


def explain_unreadable(kind: str, name: str, namespace: str) -> Explanation:
    """Return why nothing is done about a Pod or ServiceAccount that cannot be read."""
    reason = Reason.OBJECT_UNREADABLE
    why = "a field that decides is absent or has a wrong type"
    return Explanation(namespace, f"{kind}/{name}", (Step("readable", Verdict.STOP, why, reason, advice(reason)),))


def _subject_steps(scene: Scene, subject: Subject) -> Iterator[Step]:
    configuration = scene.world.configuration
    namespace = scene.world.namespace(subject.namespace)
    decision = decide_in(namespace, subject, configuration)
    if scene.registration is not None:
        yield from registration_steps(scene.registration, subject.kind)
    operations = "CREATE" if subject.kind == "Pod" else "CREATE and UPDATE"
    yield Step("kind and operation", Verdict.PASS, f"{subject.kind}s are looked at on {operations}")
    case = Case(configuration, subject.namespace, namespace, subject)
    yield from whole_steps(case, decision)
    if not decision.gates:
        return
    if scene.registration is not None and namespace is not None:
        yield from selection_steps(scene.registration, subject, namespace)
    yield from _pull_secret_steps(scene, case, decision)


def _pull_secret_steps(scene: Scene, case: Case, decision: Decision) -> Iterator[Step]:
    world, subject = scene.world, case.subject
    referenced: dict[str, Collection[str]] = {}
    for entry in world.configuration.pull_secrets:
        yield from pull_secret_steps(case, decision, entry)
        reason = dict(decision.gates)[entry.name]
        if reason not in _REFERENCED:
            continue
        step = copy_step(world, subject.namespace, entry.name, scene.writer, exists=scene.exists)
        yield reference_step(subject, entry.name, reason, step, scene.writer, exists=scene.exists)
        if step is not None:
            yield step
        if entry.name in scene.registries:
            referenced[entry.name] = scene.registries[entry.name]
    coverage = coverage_step(subject, referenced)
    if coverage is not None:
        yield coverage


def _namespace_steps(scene: Scene, name: str) -> Iterator[Step]:
    world = scene.world
    state = world.states[name]
    decision = decide_namespace(state.namespace, world.configuration)
    if scene.registration is not None:
        for kind in ("Pod", "ServiceAccount"):
            yield from registration_steps(scene.registration, kind)
    case = Case(world.configuration, name, state.namespace)
    yield from whole_steps(case, decision)
    for entry in world.configuration.pull_secrets if decision.gates else ():
        yield from pull_secret_steps(case, decision, entry)
        if entry.name not in decision.added:
            continue
        step = copy_step(world, name, entry.name, scene.writer, exists=scene.exists)
        if step is not None:
            yield step
        yield from _account_steps(scene, name, entry.name, step)


def _account_steps(scene: Scene, namespace: str, pull_secret: str, copy: Step | None) -> Iterable[Step]:
    if not scene.accounts_seen:
        why = "they may not be listed, so it is not known which of them lack it"
        todo = "have somebody with the right look, or be given list on serviceaccounts"
        return [Step("ServiceAccounts", Verdict.UNKNOWN, why, advice=todo, pull_secret=pull_secret)]
    world = scene.world
    state, plan = world.states[namespace], world.plans[namespace]
    return account_steps(state, plan, world.configuration, pull_secret, copy, scene.writer, exists=scene.exists)
