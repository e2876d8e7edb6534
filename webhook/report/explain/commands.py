"""Give the next command for each reason why an object does not get a pull secret, to paste into a shell."""

from __future__ import annotations

import json
import re
import shlex
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from webhook.report.explain.step import LOOK_UP
from webhook.report.preview.row import PreviewReason
from webhook.rules.actions import FindingReason
from webhook.rules.configuration import DECLINE_ANNOTATION, Reason
from webhook.rules.credential import SourceReason
from webhook.rules.dockerconfig import COPY_TYPE
from webhook.rules.labels import Operator, Selector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook.report.explain.step import Step
    from webhook.rules.labels import Requirement

_COMMAND = re.compile(r"(?:kubectl|pullsecrets|helm) .*$")

_CONFIGURATION = "kubectl -n {release_namespace} get configmap {fullname} -o yaml"
_INSTALL = "helm get manifest {release} -n {release_namespace} | kubectl apply -f -"
_WEBHOOK_PODS = (
    "kubectl -n {release_namespace} get pods "
    "-l app.kubernetes.io/instance={release},app.kubernetes.io/component=webhook"
)

_COMMANDS: Mapping[str, str] = {
    Reason.NAMESPACE_EXCLUDED: _CONFIGURATION,
    Reason.NAMESPACE_TERMINATING: "kubectl get namespace {namespace} -o yaml",
    Reason.NOTHING_CONFIGURED: _CONFIGURATION,
    Reason.NAMESPACE_NOT_SELECTED: "kubectl get namespace {namespace} --show-labels",
    Reason.SOURCE_NOT_FOR_NAMESPACE: _CONFIGURATION,
    Reason.NAMESPACE_DECLINES: f"kubectl annotate namespace {{namespace}} {DECLINE_ANNOTATION}-",
    Reason.SERVICE_ACCOUNT_NOT_INCLUDED: _CONFIGURATION,
    Reason.IMAGE_NOT_MATCHED: _CONFIGURATION,
    FindingReason.REFERENCES_TOO_MANY: "kubectl -n {namespace} get serviceaccounts -o yaml",
    PreviewReason.WEBHOOK_NOT_REGISTERED: _INSTALL,
    PreviewReason.WEBHOOK_NOT_ASKED: _INSTALL,
    PreviewReason.WEBHOOK_UNREACHABLE: _WEBHOOK_PODS,
    PreviewReason.WEBHOOK_NOT_SEEN: "pullsecrets check",
    PreviewReason.COPY_NOT_SEEN: "kubectl auth can-i get secrets/{pull_secret} -n {namespace}",
    PreviewReason.REGISTRY_NOT_COVERED: _CONFIGURATION,
}

RESTARTED_KINDS = ("deployment", "statefulset", "daemonset")
"""The kinds that ``kubectl rollout restart`` knows."""


class SecretFacts(msgspec.Struct, frozen=True):
    """The facts about a Secret that decide what to do about it; nothing of its content."""

    controller: str = ""
    """The object that owns it, as kubectl writes it: ``externalsecret.external-secrets.io/harbor``."""
    manager: str = ""
    """The last manager that wrote it, such as ``kubectl-create``."""
    fits: bool = False
    """True if its content is what a Secret of type kubernetes.io/dockerconfigjson has."""

    @property
    def owner(self) -> str:
        """A clause about the owner, or about the last writer; empty if neither is known."""
        if self.controller:
            return f"it belongs to {self.controller}"
        return f"it was written by {self.manager}" if self.manager else ""


NO_FACTS = SecretFacts()


class CommandContext(msgspec.Struct, frozen=True):
    """The names that a command about one object needs; those of the release are empty without a cluster."""

    kind: str
    name: str
    namespace: str
    owner: str = ""
    """The workload of a Pod, as kubectl writes it: ``deployment/api``."""
    label: str = ""
    """The key of the opt-in label."""
    release: str = ""
    release_namespace: str = ""
    fullname: str = ""

    def command(self, step: Step) -> str:
        """Return the next command for a step that did not pass."""
        template = self._of_object(step.reason) or _COMMANDS.get(step.reason, "")
        names = {
            name: shlex.quote(getattr(self, name)) for name in ("namespace", "release", "release_namespace", "fullname")
        }
        needed = re.findall(r"\{(\w+)\}", template)
        is_complete = all(name == "pull_secret" or getattr(self, name) for name in needed)
        if template and is_complete:
            return template.format_map({**names, "pull_secret": shlex.quote(step.pull_secret)})
        written = _COMMAND.search(step.advice)
        if written is not None and step.awaits_sync:
            return written[0]
        return f"{LOOK_UP}{step.reason}" if step.reason else ""

    def _of_object(self, reason: str) -> str:
        if reason == Reason.PODS_NEVER:
            return "pullsecrets explain sa/default -n {namespace}"
        if not (self.name or self.owner):
            return ""  # an object of a file with only a generateName
        if reason == PreviewReason.POD_WITHOUT_REFERENCE:
            return recreate_command(self.namespace, self.owner, self.name)
        if reason == Reason.OBJECT_DISABLED and self.kind == "ServiceAccount":
            return f"kubectl -n {{namespace}} label serviceaccount {shlex.quote(self.name)} {self.label}-"
        if reason == Reason.OBJECT_DISABLED:
            return f"kubectl -n {{namespace}} edit {shlex.quote(self.owner or f'pod/{self.name}')}"
        return ""


def recreate_command(namespace: str, owner: str, pod: str) -> str:
    """Return the command that recreates a Pod, or all Pods of its workload."""
    where, kind = f"kubectl -n {shlex.quote(namespace)}", owner.partition("/")[0]
    if kind in RESTARTED_KINDS:
        return f"{where} rollout restart {shlex.quote(owner)}"
    if owner:
        return f"{where} delete pod {shlex.quote(pod)}"
    return f"{where} get pod {shlex.quote(pod)} -o yaml | kubectl replace --force -f -"


def select_command(namespace: str, selector: Selector, labels: Mapping[str, str]) -> str:
    """Return the command that gives a namespace the labels that a selector requires."""
    requirements = selector.requirements
    unmet = dict.fromkeys(requirement.key for requirement in requirements if not requirement.matches(labels))
    changes = [_change(key, [requirement for requirement in requirements if requirement.key == key]) for key in unmet]
    overwrites = any(key in labels and not change.endswith("-") for key, change in zip(unmet, changes, strict=True))
    return shlex.join(["kubectl", "label", "namespace", namespace, *changes, *(["--overwrite"] if overwrites else [])])


def _change(key: str, requirements: Sequence[Requirement]) -> str:
    """Return the change of one label that meets all requirements about it, if there is one."""
    if all(requirement.matches({}) for requirement in requirements):
        return f"{key}-"
    allowed = (requirement.values for requirement in requirements if requirement.operator is Operator.IN)
    values = [*chain.from_iterable(allowed), "true"]
    fitting = (value for value in values if all(requirement.matches({key: value}) for requirement in requirements))
    return f"{key}={next(fitting, values[0])}"


def create_source(namespace: str, name: str, server: str = "SERVER", *, exists: bool = False) -> str:
    """Return the command that creates a source, or writes it again."""
    create = (
        f"kubectl -n {shlex.quote(namespace)} create secret docker-registry {shlex.quote(name)} "
        f"--docker-server={shlex.quote(server)} --docker-username=USER --docker-password=PASSWORD"
    )
    return f"{create} --dry-run=client -o yaml | kubectl apply -f -" if exists else create


def expiry_command(namespace: str, name: str, registry: str, *, renews: bool) -> str:
    """Return the command about a credential that expires: write it again, or find out why it was not renewed."""
    if renews:
        return source_command(namespace, name, SourceReason.NOT_ISSUED, ())
    return create_source(namespace, name, registry, exists=True)


_WITHOUT_IDENTITY = "/^  uid:/d;/resourceVersion:/d"
"""A sed script that removes what the API server gives to an object."""


def rename_command(namespace: str, name: str) -> str:
    """Return the command that renames a Secret: its content stays in the namespace."""
    where = f"kubectl -n {shlex.quote(namespace)}"
    script = f"{_WITHOUT_IDENTITY};s/^  name: {name}$/  name: {name}-before/"
    copied = f"{where} get secret {shlex.quote(name)} -o yaml | sed {shlex.quote(script)} | {where} create -f -"
    return f"{copied} && {where} delete secret {shlex.quote(name)}"


def conflict_command(namespace: str, name: str, facts: SecretFacts) -> str:
    """Return the next command about a foreign Secret in the place of a copy. It deletes no content."""
    if facts.controller:
        return f"kubectl -n {shlex.quote(namespace)} get {shlex.quote(facts.controller)} -o yaml"
    return rename_command(namespace, name)


def _type_command(namespace: str, name: str, facts: SecretFacts) -> str:
    """Return the command that gives a source the right type, without a loss of its content."""
    where = f"kubectl -n {shlex.quote(namespace)}"
    if facts.controller:
        return f"{where} edit {shlex.quote(facts.controller)}"
    if facts.fits:
        script = shlex.quote(f"s#^type: .*#type: {COPY_TYPE}#")
        return f"{where} get secret {shlex.quote(name)} -o yaml | sed {script} | kubectl replace --force -f -"
    return f"{rename_command(namespace, name)} && {create_source(namespace, name)}"


def certificate_command(mode: str, namespace: str, name: str, release: str) -> str:
    """Return the command about an absent certificate Secret, for a mode of the chart's ``certificates.mode``."""
    where = f"kubectl -n {shlex.quote(namespace)}"
    if mode == "provided":
        return f"{where} create secret tls {shlex.quote(name)} --cert=FILE --key=FILE"
    if mode == "cert-manager":
        return f"{where} describe certificates.cert-manager.io"
    instance = shlex.quote(f"app.kubernetes.io/instance={release},app.kubernetes.io/component=sync")
    return f"{where} get pods -l {instance}"


def retire_command(release: str, namespace: str, names: Sequence[str]) -> str:
    """Return the command that makes sync remove the copies of dropped names; CHART is the chart of the release."""
    retired = shlex.quote(f"retired={json.dumps(names)}")
    where = f"{shlex.quote(release)} CHART -n {shlex.quote(namespace)}"
    return f"helm upgrade {where} --reuse-values --set-json {retired}"


def source_command(
    namespace: str, name: str, reason: str, elsewhere: Sequence[str], facts: SecretFacts = NO_FACTS
) -> str:
    """Return the command that makes a source usable; ``elsewhere`` are namespaces with a Secret of its name."""
    if reason == SourceReason.ABSENT and elsewhere:
        move = f"{_WITHOUT_IDENTITY};s/namespace: {elsewhere[0]}$/namespace: {namespace}/"
        get_command = f"kubectl -n {shlex.quote(elsewhere[0])} get secret {shlex.quote(name)}"
        return f"{get_command} -o yaml | sed {shlex.quote(move)} | kubectl apply -f -"
    if reason == PreviewReason.SOURCE_NAME_HASHED:
        return f"pullsecrets explain reason/{reason}"
    if reason == SourceReason.NOT_ISSUED:
        about = f"involvedObject.kind=Secret,involvedObject.name={name}"
        return f"kubectl -n {shlex.quote(namespace)} get events --field-selector {shlex.quote(about)}"
    if reason == SourceReason.TYPE_UNSUPPORTED:
        return _type_command(namespace, name, facts)
    return create_source(namespace, name, exists=reason != SourceReason.ABSENT)
