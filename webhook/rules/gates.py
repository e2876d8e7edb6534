"""Decide which pull secrets a Pod, a ServiceAccount or a namespace gets: one table of gates, and one walk through it.

A gate is one condition with everything that the product needs about it. That is the decision, the texts for passed and
stopped objects, the meaning of its reason id, the advice, and its condition in CEL. Admission, the backfill, ``plan``,
``explain``, ``export`` and the catalogue of reasons all read :data:`GATES`.

The order of the table is the order of the decision, and of :class:`~webhook.rules.configuration.Reason`. If several
pull secrets stop at different gates, the reason of the object is the last of them, the one closest to a patch.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from webhook.rules import cel as conditions
from webhook.rules.configuration import DECLINE_ANNOTATION, OPT_OUT_VALUE, PodPolicy, Reason
from webhook.rules.images import any_matches, names_of
from webhook.rules.mistyped import mistyped_opt_in
from webhook.rules.text import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from webhook.rules.configuration import Configuration, PullSecret
    from webhook.rules.objects import Namespace, Subject

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
"""On the API object of a static Pod; the API server refuses such a Pod if it references any Secret."""

DEFAULT_SERVICE_ACCOUNT = "default"

MAX_IMAGES = 1000
"""Distinct images of one Pod that are compared with registries. It bounds the work of one review."""

Kind = Literal["Namespace", "Pod", "ServiceAccount"]

_EVERYTHING: Final[tuple[Kind, ...]] = ("Namespace", "Pod", "ServiceAccount")
_OBJECTS: Final[tuple[Kind, ...]] = ("Pod", "ServiceAccount")
_PODS: Final[tuple[Kind, ...]] = ("Pod",)
_SERVICE_ACCOUNTS: Final[tuple[Kind, ...]] = ("ServiceAccount",)


_NO_LABELS: Mapping[str, str] = MappingProxyType({})


class Case:
    """The input of the gates; one is made for each decision.

    Three attributes may be absent, and the walk ensures that no gate reads them then: ``namespace`` if it is unknown,
    ``subject`` if the decision is about a namespace, and ``entry`` until a pull secret is examined.
    """

    __slots__ = ("_repositories", "configuration", "entry", "labels", "name", "namespace", "subject", "walk")

    configuration: Configuration
    name: str
    """Name of the namespace."""
    namespace: Namespace
    labels: Mapping[str, str]
    """Labels of the namespace; empty if it is unknown."""
    subject: Subject
    entry: PullSecret
    walk: Walk
    """The gates of this decision."""

    def __init__(
        self, configuration: Configuration, name: str, namespace: Namespace | None, subject: Subject | None = None
    ) -> None:
        self.configuration = configuration
        self.name = name
        if namespace is None:
            self.labels = _NO_LABELS
        else:
            self.namespace, self.labels = namespace, namespace.labels
        if subject is not None:
            self.subject = subject
        kind: Kind = "Namespace" if subject is None else subject.kind
        self.walk = WALKS[kind, namespace is not None]
        self._repositories: list[str] | None = None

    @property
    def service_account(self) -> str:
        """The name of the ServiceAccount that decides about the object."""
        if self.subject.kind == "ServiceAccount":
            return self.subject.name
        # The ServiceAccount plugin sets the name before webhooks are called. A manifest may lack it.
        return self.subject.service_account or DEFAULT_SERVICE_ACCOUNT

    @property
    def repositories(self) -> list[str]:
        """The repositories of the Pod's images, parsed once for all pull secrets, and only if one needs them."""
        if self._repositories is None:
            distinct = list(dict.fromkeys(self.subject.images))
            self._repositories = names_of(distinct[:MAX_IMAGES])
        return self._repositories


def _always(_case: Case) -> bool:
    return True


class Gate(msgspec.Struct, frozen=True):
    """One condition of a decision."""

    reason: Reason
    name: str
    """The name that ``explain`` shows."""
    kinds: tuple[Kind, ...]
    """The kinds of objects that this gate is for."""
    stops: Callable[[Case], bool]
    passed: Callable[[Case], str]
    """Return the fact about an object that passes; a clause without a full stop."""
    stopped: Callable[[Case, Sequence[str]], str]
    """Return the fact about an object that is stopped, given the names of the pull secrets that stop here."""
    meaning: str
    """The meaning as in docs/reasons.md, with names in backticks."""
    advice: str
    command: Callable[[Case], str] | None = None
    """Return the advice about one object, if that is more than ``advice``."""
    per_pull_secret: bool = False
    namespace_known: bool | None = None
    """True for a gate that needs a known namespace, False for one that only an unknown namespace meets."""
    used: Callable[[Case], bool] = _always
    """Return True if the configuration uses this gate; otherwise ``explain`` does not show it."""
    cel: Callable[[PullSecret, Configuration], Iterable[str]] | None = None
    """Yield the conditions in CEL that must all hold for the gate to be passed."""


def _opted_in(case: Case) -> str:
    opt_in = case.configuration.opt_in
    if opt_in.is_everywhere:
        return f'namespace "{case.name}" does not have the label {opt_in.deciding_label}{_mistyped(case)}'
    return f'namespace "{case.name}" has the label {opt_in.deciding_label}'


def _not_opted_in(case: Case, _names: Sequence[str]) -> str:
    opt_in = case.configuration.opt_in
    if opt_in.is_everywhere:
        return f'namespace "{case.name}" opts out by its label {opt_in.deciding_label}'
    return f'namespace "{case.name}" does not have the label {opt_in.deciding_label}{_mistyped(case)}'


def _mistyped(case: Case) -> str:
    """Return the label that may be a typing error, as the end of a sentence."""
    label = mistyped_opt_in(case.labels, case.configuration.opt_in)
    return f", and its label {'='.join(label)} may be a typing error" if label is not None else ""


def _label_command(case: Case) -> str:
    opt_in = case.configuration.opt_in
    if opt_in.is_everywhere:
        return f"remove the label: kubectl label namespace {case.name} {opt_in.label}-"
    overwrite = " --overwrite" if opt_in.label in case.labels else ""
    return f"label it: kubectl label namespace {case.name} {opt_in.label}={opt_in.value}{overwrite}"


def _accounts(case: Case) -> str:
    return f'ServiceAccount "{case.service_account}"'


def _has(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def _image_passed(case: Case) -> str:
    if case.entry.pods is not PodPolicy.WHEN_IMAGE_MATCHES:
        return "it is for Pods with any image"
    return "one of the images is from its registries"


def _selector_passed(case: Case) -> str:
    if case.entry.namespace_selector.requirements:
        return "it matches the labels of the namespace"
    return "there is none, so labels do not limit it"


GATES: tuple[Gate, ...] = (
    Gate(
        # First, because it holds without any knowledge about the namespace.
        reason=Reason.NAMESPACE_EXCLUDED,
        name="namespace excluded",
        kinds=_EVERYTHING,
        stops=lambda case: case.configuration.excludes(case.name),
        passed=lambda case: f'namespace "{case.name}" is not excluded',
        stopped=lambda case, _: (
            f'namespace "{case.name}" is excluded by the configuration, or is the release namespace'
        ),
        meaning="the namespace is one of `excludedNamespaces`, or the release namespace",
        advice="take it out of `excludedNamespaces`; the release namespace always stays excluded",
    ),
    Gate(
        # The API server refuses to create objects in such a namespace (plugin NamespaceLifecycle), so a write would
        # fail.
        reason=Reason.NAMESPACE_TERMINATING,
        name="namespace terminating",
        kinds=_EVERYTHING,
        namespace_known=True,
        stops=lambda case: case.namespace.terminating,
        passed=lambda case: f'namespace "{case.name}" is not being deleted',
        stopped=lambda case, _: f'namespace "{case.name}" is being deleted',
        meaning="the namespace is being deleted",
        advice="nothing",
    ),
    Gate(
        # Not for an unknown namespace: at admission, the namespaceSelector of the webhook has already compared the
        # label.
        reason=Reason.NAMESPACE_NOT_OPTED_IN,
        name="opt-in label",
        kinds=_EVERYTHING,
        namespace_known=True,
        stops=lambda case: not case.configuration.opt_in.selects(case.labels),
        passed=_opted_in,
        stopped=_not_opted_in,
        meaning=(
            "the namespace does not have the opt-in label with the value that opts in; with `optIn.scope: All`, it has "
            "that label with the value `disabled`"
        ),
        advice=(
            "label it: `kubectl label namespace NAME pullsecrets.webhook/inject=enabled`; with `optIn.scope: All`, "
            "remove the label"
        ),
        command=_label_command,
    ),
    Gate(
        # The objectSelector of the webhook filters such objects, too. The backfill and plan do not have it.
        reason=Reason.OBJECT_DISABLED,
        name="object label",
        kinds=_OBJECTS,
        stops=lambda case: case.subject.labels.get(case.configuration.opt_in.label) == OPT_OUT_VALUE,
        passed=lambda case: f"it does not have the label {case.configuration.opt_in.label}={OPT_OUT_VALUE}",
        stopped=lambda case, _: f"it opts out by its label {case.configuration.opt_in.label}={OPT_OUT_VALUE}",
        meaning="the Pod or ServiceAccount itself has the opt-in label with the value `disabled`",
        advice="remove that label, if it was not meant",
    ),
    Gate(
        # The API server tests whether the annotation exists, whatever its value: plugin/pkg/admission/serviceaccount.
        reason=Reason.MIRROR_POD,
        name="mirror Pod",
        kinds=_PODS,
        stops=lambda case: MIRROR_ANNOTATION in case.subject.annotations,
        passed=lambda _: "it is not the mirror of a static Pod",
        stopped=lambda *_: "it is the mirror of a static Pod, which must not reference a Secret",
        meaning="the Pod mirrors a static Pod; the API server refuses it with any Secret",
        advice="give the node its credentials in another way",
    ),
    Gate(
        reason=Reason.NOTHING_CONFIGURED,
        name="configuration",
        kinds=_EVERYTHING,
        stops=lambda case: not case.configuration.pull_secrets,
        passed=lambda _: "the configuration has pull secrets",
        stopped=lambda *_: "the configuration has no pull secrets",
        meaning="the configuration has no pull secrets",
        advice="add `pullSecrets` to the configuration",
    ),
    Gate(
        # A Pod continues: a reference to a Secret that does not exist is harmless, and a Pod without one never heals.
        reason=Reason.NAMESPACE_UNKNOWN,
        name="namespace",
        kinds=_SERVICE_ACCOUNTS,
        namespace_known=False,
        per_pull_secret=True,
        stops=lambda case: bool(
            case.entry.namespace_selector.requirements or case.configuration.opt_in.may_decline,
        ),
        passed=lambda _: "its labels do not decide",
        stopped=lambda case, _: (
            f'the labels of namespace "{case.name}" decide and are not known: add it to the files, or correct it there'
        ),
        used=lambda _: False,
        meaning=(
            "a `namespaceSelector`, or `optIn.mayDecline`, needs labels and annotations that are not known: at "
            "admission, because the namespace was created a moment ago (the sync loop adds the reference); in `plan`, "
            "because the namespace is not among the files"
        ),
        advice="at admission nothing; for `plan`, add the Namespace to the files",
    ),
    Gate(
        # Not for an unknown namespace: Pods then get the reference, and ServiceAccounts that depend on labels do not.
        reason=Reason.NAMESPACE_NOT_SELECTED,
        name="namespaceSelector",
        kinds=_EVERYTHING,
        namespace_known=True,
        per_pull_secret=True,
        stops=lambda case: not case.entry.namespace_selector.matches(case.labels),
        passed=_selector_passed,
        stopped=lambda case, names: (
            f'the namespaceSelector of {listed(names)} does not match the labels of namespace "{case.name}"'
        ),
        meaning="no `namespaceSelector` matches the labels of the namespace",
        advice="change its labels, or the selector",
        cel=lambda entry, _: conditions.selector(entry),
    ),
    Gate(
        # By names and not by labels, because tenants may be able to change the labels of their namespace.
        reason=Reason.SOURCE_NOT_FOR_NAMESPACE,
        name="source's namespaces",
        kinds=_EVERYTHING,
        per_pull_secret=True,
        stops=lambda case: not case.entry.may_go_to(case.name),
        passed=lambda case: f'its sources may go to namespace "{case.name}"',
        stopped=lambda case, names: f'a source of {listed(names)} is not for namespace "{case.name}"',
        used=lambda case: bool(case.entry.limits),
        meaning="a source of the pull secret is limited to other namespaces",
        advice="add the namespace to `sources[].namespaces`, if it is to have the credential",
        cel=lambda entry, _: conditions.limits(entry),
    ),
    Gate(
        # This needs annotations of namespaces, and so a right of the webhook. Therefore it is off by default.
        reason=Reason.NAMESPACE_DECLINES,
        name="declined",
        kinds=_EVERYTHING,
        namespace_known=True,
        per_pull_secret=True,
        stops=lambda case: case.configuration.opt_in.may_decline and case.entry.name in case.namespace.declined,
        passed=lambda _: "the namespace does not decline it",
        stopped=lambda case, names: (
            f'namespace "{case.name}" declines {listed(names)} by its annotation {DECLINE_ANNOTATION}'
        ),
        used=lambda case: case.configuration.opt_in.may_decline,
        meaning="the namespace declines the pull secret by its annotation `pullsecrets.webhook/decline`",
        advice="remove the name from the annotation, if it was not meant",
        cel=conditions.not_declined,
    ),
    Gate(
        reason=Reason.PODS_NEVER,
        name="pods",
        kinds=_PODS,
        per_pull_secret=True,
        stops=lambda case: case.entry.pods is PodPolicy.NEVER,
        passed=lambda case: f"pods: {case.entry.pods}",
        stopped=lambda _, names: (
            f"{listed(names)} {_has(names)} pods: Never, so Pods have it from their ServiceAccount only"
        ),
        meaning=(
            "the pull secret has `pods: Never`; the API server still gives a Pod without any `imagePullSecrets` those "
            "of its ServiceAccount"
        ),
        advice="nothing, or set `pods` to `Always`",
    ),
    Gate(
        # Also for Pods: a Pod must not get a reference that its ServiceAccount is denied.
        reason=Reason.SERVICE_ACCOUNT_NOT_INCLUDED,
        name="serviceAccounts",
        kinds=_OBJECTS,
        per_pull_secret=True,
        stops=lambda case: not case.entry.service_accounts.matches(case.service_account),
        passed=lambda case: f"{_accounts(case)} is included",
        stopped=lambda case, names: f"{_accounts(case)} is not among the serviceAccounts of {listed(names)}",
        meaning="`serviceAccounts` does not include the ServiceAccount, or that which the Pod runs as",
        advice="change `include` or `exclude`",
        cel=lambda entry, _: conditions.accounts(entry.service_accounts),
    ),
    Gate(
        # An image that cannot be parsed is from no registry. The kubelet does not pull it, either (InvalidImageName).
        reason=Reason.IMAGE_NOT_MATCHED,
        name="image",
        kinds=_PODS,
        per_pull_secret=True,
        stops=lambda case: (
            case.entry.pods is PodPolicy.WHEN_IMAGE_MATCHES
            and not any_matches(case.repositories, case.entry.registries)
        ),
        passed=_image_passed,
        stopped=lambda _, names: f"none of its images is from the registries of {listed(names)}",
        meaning="the pull secret has `pods: WhenImageMatches`, and none of the images is from its `registries`",
        advice="add the registry, or use the image's full name",
        cel=lambda entry, _: conditions.images(entry),
    ),
    Gate(
        # Last, so that an object with a reference that is not due gets the reason why it is not due.
        reason=Reason.ALREADY_PRESENT,
        name="reference",
        kinds=_OBJECTS,
        per_pull_secret=True,
        stops=lambda case: case.entry.name in case.subject.references.names,
        passed=lambda case: f"it does not reference {case.entry.name} yet",
        stopped=lambda _, names: f"it references {listed(names)} already",
        meaning="every reference that is due is there already",
        advice="nothing",
    ),
)
"""In the order of the decision."""

BY_REASON: Mapping[Reason, Gate] = {gate.reason: gate for gate in GATES}

_ORDER = {reason: position for position, reason in enumerate(Reason)}


class Walk(msgspec.Struct, frozen=True):
    """The gates of a kind of object: those of the object as a whole, then those of each pull secret."""

    object_gates: tuple[Gate, ...]
    per_pull_secret_gates: tuple[Gate, ...]


def _walk(kind: Kind, *, is_known: bool) -> Walk:
    gates = [gate for gate in GATES if kind in gate.kinds and gate.namespace_known in (None, is_known)]
    return Walk(
        object_gates=tuple(gate for gate in gates if not gate.per_pull_secret),
        per_pull_secret_gates=tuple(gate for gate in gates if gate.per_pull_secret),
    )


# Computed once, because each review makes a walk.
WALKS: Mapping[tuple[Kind, bool], Walk] = {
    (kind, is_known): _walk(kind, is_known=is_known) for kind in _EVERYTHING for is_known in (True, False)
}
"""By the kind of object, and by whether its namespace is known."""


class Decision(msgspec.Struct, frozen=True):
    """The names to add to one object, and the reason.

    ``gates`` holds for each pull secret, in the order of the configuration, its name and its own reason. It is empty if
    the object was stopped before any pull secret was examined. For a namespace, ``added`` are the pull secrets that
    apply to it.
    """

    reason: Reason
    added: tuple[str, ...] = ()
    gates: tuple[tuple[str, Reason], ...] = ()

    def stopped_at(self, reason: Reason) -> tuple[str, ...]:
        """Return the pull secrets that have this reason."""
        return tuple(name for name, gate in self.gates if gate is reason)


def decide(subject: Subject, configuration: Configuration, namespace: Namespace | None = None) -> Decision:
    """Return the references that a Pod or ServiceAccount gets.

    ``namespace`` is None if it is unknown. At admission the API server has already compared the opt-in label. Only pull
    secrets with a ``namespaceSelector``, or that namespaces may decline, depend on more of the namespace.
    """
    return _decide(Case(configuration, subject.namespace, namespace, subject))


def decide_namespace(namespace: Namespace, configuration: Configuration) -> Decision:
    """Return the pull secrets that apply to a namespace."""
    return _decide(Case(configuration, namespace.name, namespace))


def selected_pull_secrets(configuration: Configuration, namespace: Namespace) -> tuple[PullSecret, ...]:
    """Return the pull secrets that apply to a namespace; :func:`decide_namespace` also returns the reasons."""
    case = Case(configuration, namespace.name, namespace)
    for gate in case.walk.object_gates:
        if gate.stops(case):
            return ()
    return tuple([entry for entry in configuration.pull_secrets if _reason(case, entry) is Reason.INJECTED])


def _decide(case: Case) -> Decision:
    for gate in case.walk.object_gates:
        if gate.stops(case):
            return Decision(gate.reason)
    gates = tuple([(entry.name, _reason(case, entry)) for entry in case.configuration.pull_secrets])
    added = tuple([name for name, reason in gates if reason is Reason.INJECTED])
    reason = Reason.INJECTED if added else max([reason for _, reason in gates], key=_ORDER.__getitem__)
    return Decision(reason, added, gates)


def _reason(case: Case, entry: PullSecret) -> Reason:
    case.entry = entry
    for gate in case.walk.per_pull_secret_gates:
        if gate.stops(case):
            return gate.reason
    return Reason.INJECTED


def passed(gates: Iterable[Gate], reason: Reason) -> Iterator[Gate]:
    """Yield the gates that were passed before a decision ended with ``reason``."""
    return (gate for gate in gates if _ORDER[gate.reason] < _ORDER[reason])
