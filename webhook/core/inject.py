"""Which pull secrets one Pod or ServiceAccount must reference, and why.

Everything that decides about injection calls :func:`decide`: the admission webhook, the backfill of existing
ServiceAccounts, ``plan`` and ``explain``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from webhook.core.imageref import any_matches, names_of
from webhook.core.model import OPT_OUT_VALUE, PodPolicy, Reason
from webhook.core.selection import Namespace, namespace_stop, pull_secret_stop

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from webhook.core.model import Configuration, PullSecret

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
"""On the API object of a static Pod; the API server refuses such a Pod if it references any Secret."""

DEFAULT_SERVICE_ACCOUNT = "default"

MOST_IMAGES = 1000
"""Distinct images of one Pod that are looked at. Pods have a handful; this bounds what a hostile one costs."""

_GATE_ORDER = {reason: position for position, reason in enumerate(Reason)}


class LocalObjectReference(msgspec.Struct, gc=False):
    """One entry of ``imagePullSecrets``, as the API has it; a missing or null name is an empty one."""

    name: str | None = None


class References(msgspec.Struct, frozen=True, gc=False):
    """The ``imagePullSecrets`` of an object: whether the list exists, and the names in it, in order.

    A list that was read by :func:`webhook.core.referencelist.read_reference_list` holds only the names that were asked
    for. ``positions`` says where each of them is; None stands for 0, 1, 2, and so on.
    """

    present: bool = False
    names: tuple[str, ...] = ()
    positions: tuple[int, ...] | None = None
    length: int | None = None
    """Number of entries in the whole list; None where ``names`` holds all of them."""
    truncated: bool = False
    """Whether the list has more entries with these names than are kept here: then these are its last ones."""

    @property
    def count(self) -> int:
        """The number of entries in the whole list."""
        return len(self.names) if self.length is None else self.length

    def entries(self) -> Iterable[tuple[int, str]]:
        """Return the position and the name of each entry that is kept, in the order of the list."""
        return enumerate(self.names) if self.positions is None else zip(self.positions, self.names, strict=True)


def references_of(entries: Sequence[LocalObjectReference | None] | None) -> References:
    """Return the references in a decoded list; null entries count as entries with an empty name."""
    if entries is None:
        return References()
    return References(present=True, names=tuple((entry.name or "") if entry else "" for entry in entries))


def read_references(value: object) -> References | None:
    """Return the references in an ``imagePullSecrets`` of parsed JSON; None for a value of a wrong type."""
    try:
        return references_of(msgspec.convert(value, list[LocalObjectReference | None] | None))
    except msgspec.ValidationError:
        return None


class Subject(msgspec.Struct, frozen=True):
    """What a decision reads of a Pod or a ServiceAccount.

    A struct like its neighbours, because each review makes one of each: a frozen dataclass takes four times as long.
    """

    kind: Literal["Pod", "ServiceAccount"]
    name: str
    namespace: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    references: References
    service_account: str = ""
    images: tuple[str, ...] = ()
    generate_name: str = ""
    """Nothing is decided by it; it tells people which Pod it was, because most come without a name yet."""


class Decision(msgspec.Struct, frozen=True):
    """What is to be done with one object: the names to add, and why it came out so.

    ``gates`` holds for each pull secret, in the order of the configuration, its name and its own reason. It is empty
    when the object was stopped before any pull secret was looked at.
    """

    reason: Reason
    added: tuple[str, ...] = ()
    gates: tuple[tuple[str, Reason], ...] = ()


def decide(
    subject: Subject,
    configuration: Configuration,
    namespace_labels: Mapping[str, str] | None,
    declined: Collection[str] = (),
) -> Decision:
    """Return what is to be done with ``subject``, in a namespace with these labels that has ``declined`` pull secrets.

    ``namespace_labels`` is None when neither is known: at admission the API server has matched the opt-in label
    already, and only pull secrets with a ``namespaceSelector``, or that may be declined, depend on more.
    """
    stop = _stop(subject, configuration, namespace_labels)
    if stop is not None:
        return Decision(stop)
    repositories = _Repositories(subject.images)
    gates = tuple(
        [
            (entry.name, _gate(entry, subject, repositories, configuration, namespace_labels, declined))
            for entry in configuration.pull_secrets
        ]
    )
    added = tuple([name for name, reason in gates if reason is Reason.INJECTED])
    reason = Reason.INJECTED if added else max([reason for _, reason in gates], key=_GATE_ORDER.__getitem__)
    return Decision(reason, added, gates)


class _Repositories:
    """The repositories of a Pod's images, worked out once for all pull secrets, and only if one asks."""

    __slots__ = ("_images", "_names")

    def __init__(self, images: Sequence[str]) -> None:
        self._images = images
        self._names: list[str] | None = None

    @property
    def names(self) -> list[str]:
        if self._names is None:
            self._names = names_of(self._images[:MOST_IMAGES])
        return self._names


def _stop(subject: Subject, configuration: Configuration, namespace_labels: Mapping[str, str] | None) -> Reason | None:
    """Return why the object as a whole is left alone, or None."""
    if subject.namespace in configuration.excluded_namespaces:
        return Reason.NAMESPACE_EXCLUDED
    if namespace_labels is not None:
        stop = namespace_stop(configuration, Namespace(subject.namespace, namespace_labels))
        if stop is not None:
            return stop
    if subject.labels.get(configuration.opt_in.label) == OPT_OUT_VALUE:
        return Reason.OBJECT_DISABLED
    if subject.kind == "Pod" and MIRROR_ANNOTATION in subject.annotations:
        return Reason.MIRROR_POD
    return None if configuration.pull_secrets else Reason.NOTHING_CONFIGURED


def _gate(
    entry: PullSecret,
    subject: Subject,
    repositories: _Repositories,
    configuration: Configuration,
    namespace_labels: Mapping[str, str] | None,
    declined: Collection[str],
) -> Reason:
    """Return the gate at which one pull secret stops, ``INJECTED`` when it passes all of them."""
    if namespace_labels is not None:
        stop = pull_secret_stop(entry, configuration, subject.namespace, namespace_labels, declined)
    else:
        stop = _unknown_namespace_gate(entry, subject, configuration)
    if stop is not None:
        return stop
    stop = (
        _pod_gate(entry, subject, repositories) if subject.kind == "Pod" else _service_account_gate(entry, subject.name)
    )
    if stop is not None:
        return stop
    return Reason.ALREADY_PRESENT if entry.name in subject.references.names else Reason.INJECTED


def _unknown_namespace_gate(entry: PullSecret, subject: Subject, configuration: Configuration) -> Reason | None:
    depends = entry.namespace_selector.requirements or configuration.opt_in.may_decline
    if depends and subject.kind == "ServiceAccount":
        # A Pod goes on: a reference to a Secret that is not there is harmless, a Pod without one never heals.
        return Reason.NAMESPACE_UNKNOWN
    return None if entry.may_go_to(subject.namespace) else Reason.SOURCE_NOT_FOR_NAMESPACE


def _pod_gate(entry: PullSecret, subject: Subject, repositories: _Repositories) -> Reason | None:
    if entry.pods is PodPolicy.NEVER:
        return Reason.PODS_NEVER
    stop = _service_account_gate(entry, subject.service_account or DEFAULT_SERVICE_ACCOUNT)
    if stop is not None:
        return stop
    if entry.pods is PodPolicy.WHEN_IMAGE_MATCHES and not any_matches(repositories.names, entry.registries):
        return Reason.IMAGE_NOT_MATCHED
    return None


def _service_account_gate(entry: PullSecret, name: str) -> Reason | None:
    return None if entry.service_accounts.matches(name) else Reason.SERVICE_ACCOUNT_NOT_INCLUDED
