"""Each reason as one sentence about one object, for a person who reads ``plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.core.model import OPT_OUT_VALUE, Reason
from webhook.core.selection import DECLINE_ANNOTATION, pull_secret_stops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook.core.inject import Decision, Subject
    from webhook.core.model import Configuration
    from webhook.core.selection import Namespace

_UNREADABLE = "a field that decides is absent or has a wrong type, so it is left as it is"


def sentence(reason: Reason, subject: Subject, configuration: Configuration, decision: Decision) -> str:
    """Return why ``decision`` on ``subject`` came out with ``reason``."""
    names = listed([name for name, gate in decision.gates if gate is reason])
    match reason:
        case Reason.INJECTED:
            return f"{names} {_is(decision.added)} due here and not yet referenced"
        case Reason.ALREADY_PRESENT:
            return f"it references {names} already"
        case Reason.IMAGE_NOT_MATCHED:
            return f"none of its images is from the registries of {names}"
        case Reason.SERVICE_ACCOUNT_NOT_INCLUDED:
            account = subject.service_account or "default" if subject.kind == "Pod" else subject.name
            return f'ServiceAccount "{account}" is not among the serviceAccounts of {names}'
        case Reason.PODS_NEVER:
            return f"{names} {_has(names)} pods: Never, so Pods have it from their ServiceAccount only"
        case Reason.NAMESPACE_NOT_SELECTED | Reason.SOURCE_NOT_FOR_NAMESPACE | Reason.NAMESPACE_DECLINES:
            return _does_not_apply(reason, names, subject.namespace)
        case Reason.MIRROR_POD:
            return "it is the mirror of a static Pod, which must not reference a Secret"
        case Reason.OBJECT_DISABLED:
            return f"it opts out by its label {configuration.opt_in.label}={OPT_OUT_VALUE}"
        case _:
            return namespace_sentence(reason, subject.namespace, configuration)


def _does_not_apply(reason: Reason, names: str, namespace: str) -> str:
    if reason is Reason.NAMESPACE_NOT_SELECTED:
        return f'the namespaceSelector of {names} does not match the labels of namespace "{namespace}"'
    if reason is Reason.SOURCE_NOT_FOR_NAMESPACE:
        return f'a source of {names} is not for namespace "{namespace}"'
    return f'namespace "{namespace}" declines {names} by its annotation {DECLINE_ANNOTATION}'


def namespace_sentence(reason: Reason, namespace: str, configuration: Configuration) -> str:
    """Return what ``reason`` means for ``namespace`` and everything in it."""
    match reason:
        case Reason.NAMESPACE_UNKNOWN:
            return f'namespace "{namespace}" is not among the files: add it, because its labels decide'
        case Reason.NAMESPACE_EXCLUDED:
            return f'namespace "{namespace}" is excluded by the configuration, or is the release namespace'
        case Reason.NAMESPACE_TERMINATING:
            return f'namespace "{namespace}" is being deleted'
        case Reason.NAMESPACE_NOT_OPTED_IN:
            opt_in = configuration.opt_in
            return f'namespace "{namespace}" does not have the label {opt_in.label}={opt_in.value}'
        case Reason.NAMESPACE_NOT_SELECTED:
            return "no namespaceSelector of the configuration matches its labels"
        case Reason.SOURCE_NOT_FOR_NAMESPACE:
            return f'no pull secret has only sources for namespace "{namespace}"'
        case Reason.NAMESPACE_DECLINES:
            return f"it declines what it could get by its annotation {DECLINE_ANNOTATION}"
        case Reason.NOTHING_CONFIGURED:
            return "the configuration has no pull secrets"
        case _:
            return _UNREADABLE


def selected_sentence(configuration: Configuration, namespace: Namespace) -> str:
    """Return what applies to a namespace that has opted in, and what it has declined."""
    stops = [(entry.name, stop) for entry, stop in pull_secret_stops(configuration, namespace)]
    applying = [name for name, stop in stops if stop is None]
    declined = [name for name, stop in stops if stop is Reason.NAMESPACE_DECLINES]
    why = f"it opts in: {listed(applying)} {'applies' if len(applying) == 1 else 'apply'}"
    return f"{why}; it declines {listed(declined)}" if declined else why


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence has them: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([*([", ".join(names[:-1])] if names[:-1] else []), *names[-1:]])


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _has(names: str) -> str:
    return "have" if " and " in names else "has"
