"""Explain the decision about a Pod, a ServiceAccount or a namespace, one step for each gate.

The steps are those of the gate table, then the reference, the copy that it names, and the registries of the images.
Objects in manifests are explained as if they were created now.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from webhook.report.coverage import registries_for
from webhook.report.explain.commands import Place, SecretFacts, recreate_command, select_command
from webhook.report.explain.images import (
    about_registry,
    coverage_step,
    images_expiry_step,
    known_expiries,
    pull_secret_expiry_step,
)
from webhook.report.explain.obstacle import UNKNOWN_WRITER, Writer
from webhook.report.explain.registration import registration_steps, selection_steps
from webhook.report.explain.rotation import RotationEvents, rotation_step
from webhook.report.explain.secret_and_references import (
    TenantSecret,
    account_steps,
    copy_step,
    reference_step,
    tenant_step,
)
from webhook.report.explain.step import Explanation, Step
from webhook.report.healing import NOT_READ, HealingScene, HealingView
from webhook.report.preview.deciding import decide_in
from webhook.report.preview.objects import is_subject, read_subject
from webhook.report.preview.row import PreviewReason
from webhook.report.preview.world import NO_NAMESPACES, survey
from webhook.report.protocol import Severity
from webhook.report.reasons import advice
from webhook.rules.configuration import Reason
from webhook.rules.gates import BY_REASON, Case, Decision, decide_namespace, passed
from webhook.rules.keyring import SecretState
from webhook.rules.mistyped import mistyped_opt_in
from webhook.rules.text import counted, listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from webhook.report.explain.registration import Registration
    from webhook.report.preview.manifest import Manifest
    from webhook.report.preview.world import World
    from webhook.rules.configuration import Configuration, PullSecret
    from webhook.rules.expiry import Expiries
    from webhook.rules.healing import PulledPod
    from webhook.rules.objects import Namespace, Subject

_REFERENCED = (Reason.ALREADY_PRESENT, Reason.INJECTED)


def whole_steps(case: Case, decision: Decision) -> Iterator[Step]:
    """Yield the gates that an object or a namespace passed as a whole, and the one that stopped it, if any."""
    stopped_by = Reason.INJECTED if decision.gates else decision.reason
    for gate in passed(case.walk.object_gates, stopped_by):
        yield Step(gate.name, Severity.OK, gate.passed(case))
    if stopped_by is not Reason.INJECTED:
        yield _stop(stopped_by, case, decision)


def pull_secret_steps(case: Case, decision: Decision, entry: PullSecret) -> Iterator[Step]:
    """Yield the gates that one pull secret passed, and the one that stopped it; none about the reference itself."""
    case.entry = entry
    reason = dict(decision.gates)[entry.name]
    for gate in passed(case.walk.per_pull_secret_gates, reason):
        if gate.used(case) and gate.reason not in _REFERENCED:
            yield Step(gate.name, Severity.OK, gate.passed(case), pull_secret=entry.name)
    if reason not in _REFERENCED:
        yield _stop(reason, case, Decision(reason, gates=((entry.name, reason),)), entry.name)


def _stop(reason: Reason, case: Case, decision: Decision, pull_secret: str = "") -> Step:
    """Return the step at which a decision ended: the pull secret is not due."""
    severity = Severity.UNKNOWN if reason is Reason.NAMESPACE_UNKNOWN else Severity.SKIPPED
    gate = BY_REASON[reason]
    todo = advice(reason) if gate.command is None else gate.command(case)
    why = gate.stopped(case, decision.stopped_at(reason))
    command = "" if gate.command is None else todo[todo.find("kubectl") :]
    if reason is Reason.NAMESPACE_NOT_OPTED_IN and not case.configuration.opt_in.is_everywhere:
        why, command = _about_labels(case, why, command)
        todo = f"label it: {command}"
    if reason is Reason.NAMESPACE_EXCLUDED and case.labels.get(case.configuration.opt_in.label):
        why = f"{why}; so its opt-in label has no effect"
        command = shlex.join(["kubectl", "label", "namespace", case.name, f"{case.configuration.opt_in.label}-"])
    if reason is Reason.NAMESPACE_NOT_SELECTED:
        command = select_command(case.name, case.entry.namespace_selector, case.labels)
    return Step(gate.name, severity, why, reason, todo, pull_secret, command=command)


def _about_labels(case: Case, why: str, command: str) -> tuple[str, str]:
    """Return the sentence and the command about a label that is in the wrong place, or has a typing error."""
    opt_in = case.configuration.opt_in
    typed = mistyped_opt_in(case.labels, opt_in)
    if typed is not None and typed[0] != opt_in.label:
        command = f"{command} {typed[0]}-"
    subject: Subject | None = getattr(case, "subject", None)
    if subject is not None and subject.labels.get(opt_in.label) == opt_in.value:
        why = f"{why}; the {subject.kind} has that label, but it belongs on the namespace"
    return why, command


class Scene(msgspec.Struct, frozen=True):
    """The input of an explanation.

    ``exists`` is True if objects are judged as they are in a cluster, and False if as created now from a file.
    ``registration`` is None if there is no cluster. ``registries`` holds the registries of each pull secret, if known;
    ``writer`` is the state of the controller in the namespace.
    """

    world: World
    now: datetime
    exists: bool = False
    registration: Registration | None = None
    registries: Mapping[str, Collection[str]] = msgspec.field(default_factory=dict)
    expiries: Mapping[str, Expiries] = msgspec.field(default_factory=dict)
    """The known times of expiry of each pull secret."""
    writer: Writer = UNKNOWN_WRITER
    healing: HealingView = NOT_READ
    accounts_seen: bool = True
    """True if the ServiceAccounts of the namespace were read."""
    elsewhere: Mapping[str, Sequence[str]] = msgspec.field(default_factory=dict)
    """For each source that does not exist, the namespaces with a Secret of its name."""
    tenants: Mapping[str, TenantSecret] = msgspec.field(default_factory=dict)
    """The Secrets that belong to the namespace, by name; empty if they are not known."""
    secrets: Mapping[str, SecretFacts] = msgspec.field(default_factory=dict)
    """Facts about sources that cannot be copied, and about foreign Secrets in the place of copies, by name."""
    rotations: RotationEvents = msgspec.field(default_factory=RotationEvents)
    release: str = ""
    fullname: str = ""

    def is_unread(self, name: str) -> bool:
        """Return whether this is a Secret that belongs to the namespace, and whose content is not known."""
        if name not in self.world.configuration.tenant_names:
            return False
        return name not in self.tenants or self.tenants[name].state is SecretState.UNREAD

    def has_tenant_secret(self, name: str) -> bool:
        """Return whether a Secret that belongs to the namespace is known to have a credential."""
        return name in self.tenants and self.tenants[name].helps

    def with_commands(self, place: Place, steps: Iterable[Step]) -> tuple[Step, ...]:
        """Return the steps, with the next command of each that did not pass."""
        world = self.world
        place = replace(
            place,
            label=world.configuration.opt_in.label,
            release=self.release,
            release_namespace=world.release_namespace,
            fullname=self.fullname,
        )
        return tuple(
            step if step.command or step.severity is Severity.OK else replace(step, command=place.command(step))
            for step in steps
        )


def explain_subject(scene: Scene, subject: Subject, owner: str = "", pulled: PulledPod | None = None) -> Explanation:
    """Return each gate for a Pod or a ServiceAccount; ``owner`` is the workload of a Pod: ``deployment/api``.

    ``pulled`` is a Pod that exists, as healing reads it.
    """
    name = subject.name or f"{subject.generate_name}*"
    place = Place(subject.kind, subject.name, subject.namespace, owner)
    steps = [*_subject_steps(scene, subject)]
    # Healing has no part in an object that is not due anything as a whole: a step before has the reason.
    if pulled is not None and not any(step.severity is Severity.SKIPPED and not step.pull_secret for step in steps):
        healing = HealingScene(scene.world, pulled, owner, scene.registries, scene.healing, scene.writer, scene.now)
        steps += _known(healing.step())
    steps = [*scene.with_commands(place, steps)]
    return Explanation(subject.namespace, f"{subject.kind}/{name}", tuple(steps))


def explain_workload(scene: Scene, template: Subject, title: str, pods: Sequence[Subject] | None) -> Explanation:
    """Return each gate for a workload: for its Pods as they are created now, and for those that run.

    ``pods`` are None if they must not be listed. ``title`` is kind and name.
    """
    owner = f"{title.partition('/')[0].lower()}/{template.name}"
    steps = [*_subject_steps(scene, template, is_template=True)]
    if any(step.reason in _REFERENCED for step in steps):
        steps.append(_pods_step(scene, pods, owner, template.namespace))
    place = Place("Pod", template.name, template.namespace, owner)
    return Explanation(template.namespace, title, scene.with_commands(place, steps))


def _pods_step(scene: Scene, pods: Sequence[Subject] | None, owner: str, namespace: str) -> Step:
    """Return the step about the running Pods of a workload."""
    gate = "running Pods"
    if pods is None:
        return Step(gate, Severity.UNKNOWN, "you lack the right to list them", advice="ask for list on pods")
    world, tenants = scene.world, scene.world.configuration.tenant_names
    known = world.namespace(namespace)
    needed = {pod.name: decide_in(known, pod, world.configuration).added for pod in pods}
    lacking = {
        pod: [name for name in added if name not in tenants or scene.has_tenant_secret(name)]
        for pod, added in needed.items()
    }
    lacking = {name: added for name, added in lacking.items() if added}
    if not lacking:
        running = f"{counted(len(pods), 'Pod has', 'Pods have')} each reference" if pods else "no Pod runs"
        return Step(gate, Severity.OK, running)
    names = listed(sorted({name for added in lacking.values() for name in added}))
    why = f"{counted(len(lacking), 'Pod lacks', 'Pods lack')} the reference to {names}"
    missing = PreviewReason.POD_WITHOUT_REFERENCE
    command = recreate_command(namespace, owner, min(lacking))
    return Step(gate, Severity.FAULT, why, missing, advice(missing), command=command)


def explain_namespace(scene: Scene, namespace: str) -> Explanation:
    """Return each gate for a namespace, which is in the world of the scene."""
    place = Place("Namespace", namespace, namespace)
    steps = scene.with_commands(place, _namespace_steps(scene, namespace))
    return Explanation(namespace, f"Namespace/{namespace}", steps)


def explain_other(kind: str, name: str, namespace: str) -> Explanation:
    """Return why objects of another kind are not changed."""
    reason = Reason.RESOURCE_IGNORED
    why = f"the webhook is called for Pods and ServiceAccounts, not for {kind}"
    todo = "explain one of its Pods, or its ServiceAccount"
    command = f"pullsecrets explain sa/default -n {shlex.quote(namespace)}"
    step = Step("kind", Severity.SKIPPED, why, reason, todo, command=command)
    return Explanation(namespace, f"{kind}/{name}", (step,))


def explain_dropped(name: str, namespace: str, release: str, command: str) -> Explanation:
    """Return why the copy of a name that is not in the configuration any more stays."""
    reason = PreviewReason.COPY_DROPPED
    why = f"it is a copy of release {release}, and {name} is not in the configuration any more, so it stays as it is"
    step = Step("copy", Severity.FAULT, why, reason, advice(reason), command=command)
    return Explanation(namespace, f"secret/{name}", (step,))


def explain_unreadable(kind: str, name: str, namespace: str) -> Explanation:
    """Return why a Pod or ServiceAccount that cannot be read is not changed."""
    reason = Reason.OBJECT_UNREADABLE
    why = "a field that the decision needs is absent or has a wrong type"
    return Explanation(namespace, f"{kind}/{name}", (Step("readable", Severity.FAULT, why, reason, advice(reason)),))


def _subject_steps(scene: Scene, subject: Subject, *, is_template: bool = False) -> Iterator[Step]:
    configuration = scene.world.configuration
    namespace = scene.world.namespace(subject.namespace)
    decision = decide_in(namespace, subject, configuration)
    if scene.registration is not None:
        yield from registration_steps(scene.registration, subject.kind)
    operations = "CREATE" if subject.kind == "Pod" else "CREATE and UPDATE"
    yield Step("kind and operation", Severity.OK, f"{subject.kind}s are looked at on {operations}")
    case = Case(configuration, subject.namespace, namespace, subject)
    yield from whole_steps(case, decision)
    if not decision.gates:
        return
    if scene.registration is not None and namespace is not None:
        yield from selection_steps(scene.registration, subject, namespace)
    yield from _pull_secret_steps(scene, case, decision, is_template=is_template)


def _pull_secret_steps(scene: Scene, case: Case, decision: Decision, *, is_template: bool) -> Iterator[Step]:
    world, subject = scene.world, case.subject
    referenced: dict[str, Collection[str]] = {}
    for entry in world.configuration.pull_secrets:
        yield from pull_secret_steps(case, decision, entry)
        reason = dict(decision.gates)[entry.name]
        if reason not in _REFERENCED:
            continue
        step = _copy(scene, subject.namespace, entry)
        exists = scene.exists and not is_template
        copy = None if entry.tenant_owned else step
        reference = reference_step(subject, entry.name, reason, copy, scene.writer, exists=exists)
        yield _about_tenant(scene, reference) if entry.tenant_owned else reference
        if step is not None:
            yield step
        yield from _rotation(scene, subject.namespace, entry)
        if entry.name in scene.registries:
            referenced[entry.name] = scene.registries[entry.name]
        if subject.kind != "Pod":
            yield from _known(pull_secret_expiry_step(world, entry.name, scene.expiries, scene.now))
    for step in _known(coverage_step(subject, referenced)):
        found = about_registry(step, world, subject, tuple(referenced))
        is_open = any(scene.is_unread(name) for name, reason in decision.gates if reason in _REFERENCED)
        is_open = is_open and found.severity is Severity.FAULT
        yield replace(found, severity=Severity.UNKNOWN) if is_open else found
    yield from _known(images_expiry_step(world, subject, referenced, scene.expiries, scene.now))


def _known(step: Step | None) -> tuple[Step, ...]:
    return () if step is None else (step,)


def _about_tenant(scene: Scene, step: Step) -> Step:
    """Return the step about a Pod's reference to a Secret of its namespace: it matters only if that exists."""
    if step.reason != PreviewReason.POD_WITHOUT_REFERENCE or scene.has_tenant_secret(step.pull_secret):
        return step
    why = f"it does not reference {step.pull_secret}, which makes a difference only if the Secret exists"
    return Step(step.gate, Severity.OK, why, pull_secret=step.pull_secret)


def _copy(scene: Scene, namespace: str, entry: PullSecret) -> Step | None:
    if entry.tenant_owned:
        return tenant_step(namespace, entry.name, scene.tenants.get(entry.name))
    return copy_step(
        scene.world,
        namespace,
        entry.name,
        scene.writer,
        exists=scene.exists,
        elsewhere=scene.elsewhere,
        secrets=scene.secrets,
    )


def _rotation(scene: Scene, namespace: str, entry: PullSecret) -> tuple[Step, ...]:
    return _known(rotation_step(scene.world, namespace, entry, scene.rotations)) if scene.exists else ()


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
        step = _copy(scene, name, entry)
        yield from _known(step)
        yield from _rotation(scene, name, entry)
        yield from _account_steps(scene, name, entry.name, None if entry.tenant_owned else step)
        yield from _known(pull_secret_expiry_step(world, entry.name, scene.expiries, scene.now))


def _account_steps(scene: Scene, namespace: str, pull_secret: str, copy: Step | None) -> Iterable[Step]:
    if not scene.accounts_seen:
        why = "you lack the right to list them, so it is not known which of them lack it"
        todo = "ask somebody who has the right, or ask for list on serviceaccounts"
        return [Step("ServiceAccounts", Severity.UNKNOWN, why, advice=todo, pull_secret=pull_secret)]
    world = scene.world
    state, plan = world.states[namespace], world.plans[namespace]
    return account_steps(state, plan, world.configuration, pull_secret, copy, scene.writer, exists=scene.exists)


def explain_manifest(
    manifests: Sequence[Manifest],
    configuration: Configuration,
    release_namespace: str,
    kind: str,
    name: str,
    namespace: str,
    now: datetime,
    known: Mapping[str, Namespace] = NO_NAMESPACES,
) -> Explanation | None:
    """Return each gate for one object of ``manifests``, for a workload that of its Pods; None if it is absent.

    ``known`` are namespaces from other sources. A Service of Knative takes precedence over a Service of its name.
    """
    where = name if kind == "Namespace" else namespace
    fitting = sorted((each for each in reversed(manifests) if _is(each, kind, name, where)), key=_is_of_no_interest)
    if not fitting:
        return None
    found = fitting[0]
    world = survey(manifests, configuration, release_namespace, known)
    scene = Scene(
        world,
        now,
        registries=registries_for(world.configuration, world.sources),
        expiries=known_expiries(world.expected),
    )
    if found.is_core("Namespace") and name in world.states:
        return explain_namespace(scene, name)
    if found.is_core("Namespace"):
        return explain_unreadable(found.kind, name, name)
    if not is_subject(found):
        return explain_other(found.kind, name, namespace)
    subject = read_subject(found)
    if subject is None:
        return explain_unreadable(found.kind, name, namespace)
    return replace(explain_subject(scene, subject, _owner(found)), title=found.title)


def _owner(manifest: Manifest) -> str:
    return "" if manifest.kind in ("Pod", "ServiceAccount") else f"{manifest.kind.lower()}/{manifest.name}"


def _is_of_no_interest(manifest: Manifest) -> bool:
    return not (is_subject(manifest) or manifest.is_core("Namespace"))


def _is(manifest: Manifest, kind: str, name: str, namespace: str) -> bool:
    same_kind = manifest.kind.lower() in (kind.lower(), kind.lower().removesuffix("s"))
    return same_kind and (manifest.name, manifest.namespace) == (name, namespace)
