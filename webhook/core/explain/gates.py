"""The gates that one decision went through: those before its reason are open, its reason names the one that is not.

That is all that is known of the order here, and it is that of :class:`~webhook.core.model.Reason`, which is the order
in which :func:`~webhook.core.inject.decide` looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from webhook.core.catalog import advice
from webhook.core.explain.step import Step, Verdict
from webhook.core.inject import DEFAULT_SERVICE_ACCOUNT, Decision, References, Subject
from webhook.core.model import OPT_OUT_VALUE, PodPolicy, Reason
from webhook.core.preview.sentences import namespace_sentence, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from webhook.core.model import Configuration, PullSecret

_ORDER = {reason: position for position, reason in enumerate(Reason)}


@dataclass(frozen=True, slots=True)
class _Gate:
    """A gate: its name, the reason it stops with, and what is true where it is open; ``kind`` if only one has it."""

    name: str
    reason: Reason
    open: Callable[[Subject, Configuration, PullSecret | None], str]
    kind: str = ""


def _images(entry: PullSecret | None) -> str:
    if entry is None or entry.pods is not PodPolicy.WHEN_IMAGE_MATCHES:
        return "it is for Pods with any image"
    return "one of the images is from its registries"


def _selector(entry: PullSecret | None) -> str:
    has_one = entry is not None and entry.namespace_selector.requirements
    return "it matches the labels of the namespace" if has_one else "there is none: every opted-in namespace is meant"


_OF_THE_OBJECT: Sequence[_Gate] = (
    _Gate(
        "namespace excluded",
        Reason.NAMESPACE_EXCLUDED,
        lambda subject, *_: f'namespace "{subject.namespace}" is not excluded',
    ),
    _Gate(
        "namespace terminating",
        Reason.NAMESPACE_TERMINATING,
        lambda subject, *_: f'namespace "{subject.namespace}" is not being deleted',
    ),
    _Gate(
        "opt-in label",
        Reason.NAMESPACE_NOT_OPTED_IN,
        lambda subject, configuration, _: (
            f'namespace "{subject.namespace}" has the label {configuration.opt_in.label}={configuration.opt_in.value}'
        ),
    ),
    _Gate(
        "object label",
        Reason.OBJECT_DISABLED,
        lambda _, configuration, __: f"it does not have the label {configuration.opt_in.label}={OPT_OUT_VALUE}",
    ),
    _Gate("mirror Pod", Reason.MIRROR_POD, lambda *_: "it is not the mirror of a static Pod", "Pod"),
    _Gate("configuration", Reason.NOTHING_CONFIGURED, lambda *_: "the configuration has pull secrets"),
)
_OF_A_PULL_SECRET: Sequence[_Gate] = (
    _Gate("namespaceSelector", Reason.NAMESPACE_NOT_SELECTED, lambda _, __, entry: _selector(entry)),
    _Gate(
        "source's namespaces",
        Reason.SOURCE_NOT_FOR_NAMESPACE,
        lambda subject, *_: f'its sources may go to namespace "{subject.namespace}"',
    ),
    _Gate("declined", Reason.NAMESPACE_DECLINES, lambda *_: "the namespace does not decline it"),
    _Gate("pods", Reason.PODS_NEVER, lambda _, __, entry: f"pods: {entry.pods if entry else ''}", "Pod"),
    _Gate(
        "serviceAccounts",
        Reason.SERVICE_ACCOUNT_NOT_INCLUDED,
        lambda subject, *_: f'ServiceAccount "{account_of(subject)}" is included',
    ),
    _Gate("image", Reason.IMAGE_NOT_MATCHED, lambda _, __, entry: _images(entry), "Pod"),
)
_NAMES = {gate.reason: gate.name for gate in (*_OF_THE_OBJECT, *_OF_A_PULL_SECRET)} | {
    Reason.NAMESPACE_UNKNOWN: "namespace",
}
_OF_THE_NAMESPACE = frozenset(
    {
        Reason.NAMESPACE_TERMINATING,
        Reason.NAMESPACE_NOT_OPTED_IN,
        Reason.NAMESPACE_NOT_SELECTED,
        Reason.NAMESPACE_DECLINES,
    }
)
"""Gates that nobody has looked at where the namespace is not known."""
APPLYING = (Reason.NAMESPACE_NOT_SELECTED, Reason.SOURCE_NOT_FOR_NAMESPACE, Reason.NAMESPACE_DECLINES)
"""Why a pull secret does not apply to a namespace that has opted in: others may."""

_REFERENCED = (Reason.ALREADY_PRESENT, Reason.INJECTED)


def account_of(subject: Subject) -> str:
    """Return the ServiceAccount that decides about an object."""
    return subject.name if subject.kind == "ServiceAccount" else subject.service_account or DEFAULT_SERVICE_ACCOUNT


def object_steps(subject: Subject, configuration: Configuration, decision: Decision, *, known: bool) -> Iterator[Step]:
    """Yield the gates that the object passed as a whole, and the one that stopped it; is its namespace ``known``?"""
    stopped = not decision.gates
    for gate in _passed(_OF_THE_OBJECT, subject, decision.reason if stopped else Reason.INJECTED, known=known):
        yield Step(gate.name, Verdict.PASS, gate.open(subject, configuration, None))
    if stopped:
        why = sentence(decision.reason, subject, configuration, decision)
        yield stop(decision.reason, why, subject.namespace, configuration)


def pull_secret_steps(
    subject: Subject, configuration: Configuration, decision: Decision, entry: PullSecret, *, known: bool
) -> Iterator[Step]:
    """Yield the gates that one pull secret passed, and the one where it stopped; none about the reference itself."""
    reason = dict(decision.gates)[entry.name]
    for gate in _passed(_in_play(configuration, entry), subject, reason, known=known):
        yield Step(gate.name, Verdict.PASS, gate.open(subject, configuration, entry), pull_secret=entry.name)
    if reason not in _REFERENCED:
        alone = Decision(reason, gates=((entry.name, reason),))
        why = sentence(reason, subject, configuration, alone)
        yield stop(reason, why, subject.namespace, configuration, entry.name)


def namespace_steps(namespace: str, configuration: Configuration, stopped_by: Reason | None) -> Iterator[Step]:
    """Yield the gates that a namespace as a whole passed, and the one that stopped it, if any."""
    subject = Subject("ServiceAccount", "", namespace, labels={}, annotations={}, references=References())
    for gate in _OF_THE_OBJECT:
        if gate.reason in (Reason.OBJECT_DISABLED, Reason.MIRROR_POD):
            continue
        if stopped_by is not None and _ORDER[gate.reason] >= _ORDER[stopped_by]:
            break
        yield Step(gate.name, Verdict.PASS, gate.open(subject, configuration, None))
    if stopped_by is not None:
        yield stop(stopped_by, namespace_sentence(stopped_by, namespace, configuration), namespace, configuration)


def applying_steps(
    namespace: str, configuration: Configuration, entry: PullSecret, reason: Reason | None
) -> Iterator[Step]:
    """Yield whether one pull secret applies to a namespace that has opted in; ``reason`` is why not."""
    subject = Subject("ServiceAccount", "", namespace, labels={}, annotations={}, references=References())
    for gate in _in_play(configuration, entry):
        if gate.reason not in APPLYING or (reason is not None and _ORDER[gate.reason] >= _ORDER[reason]):
            break
        yield Step(gate.name, Verdict.PASS, gate.open(subject, configuration, entry), pull_secret=entry.name)
    if reason is not None:
        alone = Decision(reason, gates=((entry.name, reason),))
        yield stop(reason, sentence(reason, subject, configuration, alone), namespace, configuration, entry.name)


def stop(reason: Reason, why: str, namespace: str, configuration: Configuration, pull_secret: str = "") -> Step:
    """Return the step at which a decision ended."""
    verdict = Verdict.UNKNOWN if reason is Reason.NAMESPACE_UNKNOWN else Verdict.STOP
    todo = advice(reason)
    if reason is Reason.NAMESPACE_NOT_OPTED_IN:
        opt_in = configuration.opt_in
        todo = f"label it: kubectl label namespace {namespace} {opt_in.label}={opt_in.value}"
    return Step(_NAMES.get(reason, str(reason)), verdict, why, reason, todo, pull_secret)


def _in_play(configuration: Configuration, entry: PullSecret) -> Sequence[_Gate]:
    """Return the gates of one pull secret, without those of what its configuration does not use."""
    unused = set()
    if not entry.limits:
        unused.add(Reason.SOURCE_NOT_FOR_NAMESPACE)
    if not configuration.opt_in.may_decline:
        unused.add(Reason.NAMESPACE_DECLINES)
    return [gate for gate in _OF_A_PULL_SECRET if gate.reason not in unused]


def _passed(gates: Sequence[_Gate], subject: Subject, reason: Reason, *, known: bool) -> Iterator[_Gate]:
    for gate in gates:
        seen = known or gate.reason not in _OF_THE_NAMESPACE
        if seen and _ORDER[gate.reason] < _ORDER[reason] and gate.kind in ("", subject.kind):
            yield gate
