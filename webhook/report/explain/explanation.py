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
from webhook.report.explain.commands import CommandContext, SecretFacts, recreate_command, select_command
from webhook.report.explain.images import (
    about_registry,
    coverage_step,
    images_expiry_step,
    known_expiries,
    pull_secret_expiry_step,
)
from webhook.report.explain.obstacle import UNKNOWN_WRITER, ControllerState
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
from webhook.report.healing import NOT_READ, HealingView, PodHealing
from webhook.report.preview.cluster_view import NO_NAMESPACES, survey
from webhook.report.preview.deciding import decide_in
from webhook.report.preview.objects import is_subject, read_subject
from webhook.report.preview.row import PreviewReason
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
    from webhook.report.preview.cluster_view import ClusterView
    from webhook.report.preview.manifest import Manifest
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
    message = gate.stopped(case, decision.stopped_at(reason))
    command = "" if gate.command is None else todo[todo.find("kubectl") :]
    if reason is Reason.NAMESPACE_NOT_OPTED_IN and not case.configuration.opt_in.is_everywhere:
        message, command = _about_labels(case, message, command)
        todo = f"label it: {command}"
    if reason is Reason.NAMESPACE_EXCLUDED and case.labels.get(case.configuration.opt_in.label):
        message = f"{message}; so its opt-in label has no effect"
        command = shlex.join(["kubectl", "label", "namespace", case.name, f"{case.configuration.opt_in.label}-"])
    if reason is Reason.NAMESPACE_DECLINES and len(case.namespace.declined) > 1:
        # The usual command removes the annotation, and the namespace would get the others that it declines, too.
        command = shlex.join(["kubectl", "edit", "namespace", case.name])
    if reason is Reason.NAMESPACE_NOT_SELECTED:
        command = select_command(case.name, case.entry.namespace_selector, case.labels)
    return Step(gate.name, severity, message, reason, todo, pull_secret, command=command)


def _about_labels(case: Case, message: str, command: str) -> tuple[str, str]:
    """Return the sentence and the command about a label that is in the wrong place, or has a typing error."""
    opt_in = case.configuration.opt_in
    typed = mistyped_opt_in(case.labels, opt_in)
    if typed is not None and typed[0] != opt_in.label:
        command = f"{command} {typed[0]}-"
    subject: Subject | None = getattr(case, "subject", None)
    if subject is not None and subject.labels.get(opt_in.label) == opt_in.value:
        message = f"{message}; the {subject.kind} has that label, but it belongs on the namespace"
    return message, command


class ExplainInput(msgspec.Struct, frozen=True):
    """The input of an explanation.

    ``exists`` is True if objects are judged as they are in a cluster, and False if as created now from a file.
    ``registration`` is None if there is no cluster. ``registries`` holds the registries of each pull secret, if known;
    ``writer`` is the state of the controller in the namespace.
    """

    cluster: ClusterView
    now: datetime
    exists: bool = False
    registration: Registration | None = None
    registries: Mapping[str, Collection[str]] = msgspec.field(default_factory=dict)
    expiries: Mapping[str, Expiries] = msgspec.field(default_factory=dict)
    """The known times of expiry of each pull secret."""
    writer: ControllerState = UNKNOWN_WRITER
    healing: HealingView = NOT_READ
    can_list_accounts: bool = True
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
        if name not in self.cluster.configuration.tenant_names:
            return False
        return name not in self.tenants or self.tenants[name].state is SecretState.UNREAD

    def has_tenant_secret(self, name: str) -> bool:
        """Return whether a Secret that belongs to the namespace is known to have a credential."""
        return name in self.tenants and self.tenants[name].helps

    def with_commands(self, place: CommandContext, steps: Iterable[Step]) -> tuple[Step, ...]:
        """Return the steps, with the next command of each that did not pass."""
        cluster = self.cluster
        place = replace(
            place,
            label=cluster.configuration.opt_in.label,
            release=self.release,
            release_namespace=cluster.release_namespace,
            fullname=self.fullname,
        )
        return tuple(
            step if step.command or step.severity is Severity.OK else replace(step, command=place.command(step))
            for step in steps
        )


def explain_subject(
    inputs: ExplainInput, subject: Subject, owner: str = "", pulled: PulledPod | None = None
) -> Explanation:
    """Return each gate for a Pod or a ServiceAccount; ``owner`` is the workload of a Pod: ``deployment/api``.

    ``pulled`` is a Pod that exists, as healing reads it.
    """
    name = subject.name or f"{subject.generate_name}*"
    place = CommandContext(subject.kind, subject.name, subject.namespace, owner)
    steps = [*_subject_steps(inputs, subject)]
    # Healing has no part in an object that is not due anything as a whole: a step before has the reason.
    if pulled is not None and not any(step.severity is Severity.SKIPPED and not step.pull_secret for step in steps):
        healing = PodHealing(
            inputs.cluster, pulled, owner, inputs.registries, inputs.healing, inputs.writer, inputs.now
        )
        steps += _optional(healing.step())
    steps = [*inputs.with_commands(place, steps)]
    return Explanation(subject.namespace, f"{subject.kind}/{name}", tuple(steps))


def explain_workload(
    inputs: ExplainInput, template: Subject, title: str, pods: Sequence[Subject] | None
) -> Explanation:
    """Return each gate for a workload: for its Pods as they are created now, and for those that run.

    ``pods`` are None if they must not be listed. ``title`` is kind and name.
    """
    owner = f"{title.partition('/')[0].lower()}/{template.name}"
    steps = [*_subject_steps(inputs, template, is_template=True)]
    # A CronJob selects no Pods. Those that run are of its Jobs, and each Job makes new ones.
    if not title.startswith("CronJob/") and any(step.reason in _REFERENCED for step in steps):
        steps.append(_pods_step(inputs, pods, owner, template.namespace))
    place = CommandContext("Pod", template.name, template.namespace, owner)
    return Explanation(template.namespace, title, inputs.with_commands(place, steps))


def _pods_step(inputs: ExplainInput, pods: Sequence[Subject] | None, owner: str, namespace: str) -> Step:
    """Return the step about the running Pods of a workload."""
    gate = "running Pods"
    if pods is None:
        return Step(gate, Severity.UNKNOWN, "you lack the right to list them", advice="ask for list on pods")
    cluster, tenants = inputs.cluster, inputs.cluster.configuration.tenant_names
    namespace_object = cluster.namespace(namespace)
    needed = {pod.name: decide_in(namespace_object, pod, cluster.configuration).added for pod in pods}
    lacking = {
        pod: [name for name in added if name not in tenants or inputs.has_tenant_secret(name)]
        for pod, added in needed.items()
    }
    lacking = {name: added for name, added in lacking.items() if added}
    if not lacking:
        running = f"{counted(len(pods), 'Pod has', 'Pods have')} each reference" if pods else "no Pod runs"
        return Step(gate, Severity.OK, running)
    names = listed(sorted({name for added in lacking.values() for name in added}))
    message = f"{counted(len(lacking), 'Pod lacks', 'Pods lack')} the reference to {names}"
    missing = PreviewReason.POD_WITHOUT_REFERENCE
    command = recreate_command(namespace, owner, min(lacking))
    return Step(gate, Severity.FAULT, message, missing, advice(missing), command=command)


def explain_namespace(inputs: ExplainInput, namespace: str) -> Explanation:
    """Return each gate for a namespace, which is in the view of the cluster."""
    place = CommandContext("Namespace", namespace, namespace)
    steps = inputs.with_commands(place, _namespace_steps(inputs, namespace))
    return Explanation(namespace, f"Namespace/{namespace}", steps)


def explain_other(kind: str, name: str, namespace: str) -> Explanation:
    """Return why objects of another kind are not changed."""
    reason = Reason.RESOURCE_IGNORED
    message = f"the webhook is called for Pods and ServiceAccounts, not for {kind}"
    todo = "explain one of its Pods, or its ServiceAccount"
    command = f"pullsecrets explain sa/default -n {shlex.quote(namespace)}"
    step = Step("kind", Severity.SKIPPED, message, reason, todo, command=command)
    return Explanation(namespace, f"{kind}/{name}", (step,))


def explain_dropped(name: str, namespace: str, release: str, command: str) -> Explanation:
    """Return why the copy of a name that is not in the configuration any more stays."""
    reason = PreviewReason.COPY_DROPPED
    message = (
        f"it is a copy of release {release}, and {name} is not in the configuration any more, so it stays as it is"
    )
    step = Step("copy", Severity.FAULT, message, reason, advice(reason), command=command)
    return Explanation(namespace, f"Secret/{name}", (step,))


def explain_unreadable(kind: str, name: str, namespace: str) -> Explanation:
    """Return why a Pod or ServiceAccount that cannot be read is not changed."""
    reason = Reason.OBJECT_UNREADABLE
    message = "a field that the decision needs is absent or has a wrong type"
    return Explanation(
        namespace, f"{kind}/{name}", (Step("readable", Severity.FAULT, message, reason, advice(reason)),)
    )


def _subject_steps(inputs: ExplainInput, subject: Subject, *, is_template: bool = False) -> Iterator[Step]:
    configuration = inputs.cluster.configuration
    namespace = inputs.cluster.namespace(subject.namespace)
    decision = decide_in(namespace, subject, configuration)
    if inputs.registration is not None:
        yield from registration_steps(inputs.registration, subject.kind)
    operations = "CREATE" if subject.kind == "Pod" else "CREATE and UPDATE"
    yield Step("kind and operation", Severity.OK, f"{subject.kind}s are looked at on {operations}")
    case = Case(configuration, subject.namespace, namespace, subject)
    yield from whole_steps(case, decision)
    if not decision.gates:
        return
    if inputs.registration is not None and namespace is not None:
        yield from selection_steps(inputs.registration, subject, namespace)
    yield from _pull_secret_steps(inputs, case, decision, is_template=is_template)


def _pull_secret_steps(inputs: ExplainInput, case: Case, decision: Decision, *, is_template: bool) -> Iterator[Step]:
    cluster, subject = inputs.cluster, case.subject
    referenced: dict[str, Collection[str]] = {}
    for entry in cluster.configuration.pull_secrets:
        yield from pull_secret_steps(case, decision, entry)
        reason = dict(decision.gates)[entry.name]
        if reason not in _REFERENCED:
            continue
        step = _copy(inputs, subject.namespace, entry)
        exists = inputs.exists and not is_template
        copy = _awaited(inputs, subject.namespace, entry, step)
        reference = reference_step(subject, entry.name, reason, copy, inputs.writer, exists=exists)
        yield _about_tenant(inputs, reference) if entry.tenant_owned else reference
        if step is not None:
            yield step
        yield from _rotation(inputs, subject.namespace, entry)
        if entry.name in inputs.registries:
            referenced[entry.name] = inputs.registries[entry.name]
        if subject.kind != "Pod":
            yield from _optional(pull_secret_expiry_step(cluster, entry.name, inputs.expiries, inputs.now))
    for step in _optional(coverage_step(subject, referenced)):
        images_step = about_registry(step, cluster, subject, tuple(referenced))
        is_open = any(inputs.is_unread(name) for name, reason in decision.gates if reason in _REFERENCED)
        is_open = is_open and images_step.severity is Severity.FAULT
        yield replace(images_step, severity=Severity.UNKNOWN) if is_open else images_step
    yield from _optional(images_expiry_step(cluster, subject, referenced, inputs.expiries, inputs.now))


def _optional(step: Step | None) -> tuple[Step, ...]:
    return () if step is None else (step,)


def _about_tenant(inputs: ExplainInput, step: Step) -> Step:
    """Return the step about a Pod's reference to a Secret of its namespace: it matters only if that exists."""
    if step.reason != PreviewReason.POD_WITHOUT_REFERENCE or inputs.has_tenant_secret(step.pull_secret):
        return step
    message = f"it does not reference {step.pull_secret}, which makes a difference only if the Secret exists"
    return Step(step.gate, Severity.OK, message, pull_secret=step.pull_secret)


def _copy(inputs: ExplainInput, namespace: str, entry: PullSecret) -> Step | None:
    if entry.tenant_owned:
        return tenant_step(namespace, entry.name, inputs.tenants.get(entry.name))
    return copy_step(
        inputs.cluster,
        namespace,
        entry.name,
        inputs.writer,
        exists=inputs.exists,
        elsewhere=inputs.elsewhere,
        secrets=inputs.secrets,
    )


def _awaited(inputs: ExplainInput, namespace: str, entry: PullSecret, step: Step | None) -> Step | None:
    """Return the step about a copy, if references wait for that or share its obstacle; else None."""
    if entry.tenant_owned or step is None:
        return None
    state = inputs.cluster.states[namespace]
    copy = state.copies.get(entry.name)
    # The controller adds references to a copy with any content, because Pods pull with it.
    is_there = copy is not None and not state.is_foreign(copy)
    return None if is_there and step.reason != PreviewReason.COPY_DUE else step


def _rotation(inputs: ExplainInput, namespace: str, entry: PullSecret) -> tuple[Step, ...]:
    return _optional(rotation_step(inputs.cluster, namespace, entry, inputs.rotations)) if inputs.exists else ()


def _namespace_steps(inputs: ExplainInput, name: str) -> Iterator[Step]:
    cluster = inputs.cluster
    state = cluster.states[name]
    decision = decide_namespace(state.namespace, cluster.configuration)
    if inputs.registration is not None:
        for kind in ("Pod", "ServiceAccount"):
            yield from registration_steps(inputs.registration, kind)
    case = Case(cluster.configuration, name, state.namespace)
    yield from whole_steps(case, decision)
    for entry in cluster.configuration.pull_secrets if decision.gates else ():
        yield from pull_secret_steps(case, decision, entry)
        if entry.name not in decision.added:
            continue
        step = _copy(inputs, name, entry)
        yield from _optional(step)
        yield from _rotation(inputs, name, entry)
        yield from _account_steps(inputs, name, entry.name, _awaited(inputs, name, entry, step))
        yield from _optional(pull_secret_expiry_step(cluster, entry.name, inputs.expiries, inputs.now))


def _account_steps(inputs: ExplainInput, namespace: str, pull_secret: str, copy: Step | None) -> Iterable[Step]:
    if not inputs.can_list_accounts:
        message = "you lack the right to list them, so it is not known which of them lack it"
        todo = "ask somebody who has the right, or ask for list on serviceaccounts"
        return [Step("ServiceAccounts", Severity.UNKNOWN, message, advice=todo, pull_secret=pull_secret)]
    cluster = inputs.cluster
    state, plan = cluster.states[namespace], cluster.plans[namespace]
    return account_steps(state, plan, cluster.configuration, pull_secret, copy, inputs.writer, exists=inputs.exists)


def explain_manifest(
    manifests: Sequence[Manifest],
    configuration: Configuration,
    release_namespace: str,
    kind: str,
    name: str,
    namespace: str,
    now: datetime,
    namespaces: Mapping[str, Namespace] = NO_NAMESPACES,
) -> Explanation | None:
    """Return each gate for one object of ``manifests``, for a workload that of its Pods; None if it is absent.

    ``namespaces`` are known from elsewhere. A Service of Knative takes precedence over a Service of its name.
    """
    where = name if kind == "Namespace" else namespace
    fitting = sorted(
        (manifest for manifest in reversed(manifests) if _is(manifest, kind, name, where)), key=_is_of_no_interest
    )
    if not fitting:
        return None
    manifest = fitting[0]
    cluster = survey(manifests, configuration, release_namespace, namespaces)
    inputs = ExplainInput(
        cluster,
        now,
        registries=registries_for(cluster.configuration, cluster.sources),
        expiries=known_expiries(cluster.expected),
    )
    if manifest.is_core("Namespace") and name in cluster.states:
        return explain_namespace(inputs, name)
    if manifest.is_core("Namespace"):
        return explain_unreadable(manifest.kind, name, name)
    if not is_subject(manifest):
        return explain_other(manifest.kind, name, namespace)
    subject = read_subject(manifest)
    if subject is None:
        return explain_unreadable(manifest.kind, name, namespace)
    return replace(explain_subject(inputs, subject, _owner(manifest)), title=manifest.title)


def _owner(manifest: Manifest) -> str:
    return "" if manifest.kind in ("Pod", "ServiceAccount") else f"{manifest.kind.lower()}/{manifest.name}"


def _is_of_no_interest(manifest: Manifest) -> bool:
    return not (is_subject(manifest) or manifest.is_core("Namespace"))


def _is(manifest: Manifest, kind: str, name: str, namespace: str) -> bool:
    same_kind = manifest.kind.lower() in (kind.lower(), kind.lower().removesuffix("s"))
    return same_kind and (manifest.name, manifest.namespace) == (name, namespace)
