"""Build the preview rows for the copies of one namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.report.preview.row import Effect, PreviewReason, Row
from webhook.report.rollout import describe_rollout
from webhook.rules.actions import FindingReason
from webhook.rules.configuration import Reason
from webhook.rules.gates import decide_namespace
from webhook.rules.rollout import is_about
from webhook.rules.text import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from webhook.report.preview.secrets import Expected
    from webhook.rules.actions import NamespacePlan
    from webhook.rules.configuration import Configuration, PullSecret
    from webhook.rules.objects import Copy, NamespaceState
    from webhook.rules.state_document import LastGood, StoredRollout

METADATA_DIFFERS = "its labels or annotations differ from the configured ones"

HASH_OF_UNSEEN = "unseen"
"""A placeholder hash for unknown content: without an existing copy to compare with, or because it will be new."""


def hashes_for(expected: Mapping[str, Expected], state: NamespaceState) -> dict[str, str | None]:
    """Return the content hashes to plan one namespace with.

    Unknown content counts as the content of the existing copy, because a change cannot be detected. While a source is
    unusable, some copies get the last good content: see :meth:`LastGood.is_due`.
    """
    namespace, copies = state.namespace.name, state.copies
    return {name: _hash(content, copies.get(name), namespace) for name, content in expected.items()}


def _hash(expected: Expected, copy: Copy | None, namespace: str) -> str | None:
    if expected.issuing:
        return HASH_OF_UNSEEN
    if expected.unseen:
        return copy.content_hash if copy is not None else HASH_OF_UNSEEN
    if expected.is_stage_unread:
        return copy.content_hash if copy is not None else HASH_OF_UNSEEN
    if expected.last_good is not None:
        return expected.last_good_hash if expected.last_good.is_due(copy, expected.last_good_hash) else None
    return expected.hash_in(namespace)


def copy_rows(
    state: NamespaceState,
    plan: NamespacePlan,
    configuration: Configuration,
    expected: Mapping[str, Expected],
    unseen: Collection[str] = (),
) -> Iterator[Row]:
    """Yield a row for each copy that the namespace should have, then one for each copy to delete.

    For the ``unseen`` names, the existing copies are unknown.
    """
    decision = decide_namespace(state.namespace, configuration)
    for entry in configuration.copied:
        if entry.name not in decision.added:
            continue
        effect, reason, message = _outcome(entry, state, plan, expected[entry.name])
        if entry.name in unseen:
            effect, reason = Effect.UNDECIDED, PreviewReason.COPY_NOT_SEEN
            message = "the copy was not checked, because you lack the right to read Secrets with its name"
        yield Row(state.namespace.name, f"Secret/{entry.name}", effect, reason, message)
    for deletion in plan.deletions:
        name = deletion.copy.name
        cause = _not_selected_cause(name, configuration, dict(decision.gates))
        message = f"{cause}: references to it are removed, then it is deleted"
        if name in configuration.tenant_names and name in decision.added:
            message = "the Secret belongs to the namespace now: the copy is deleted, and references to its name stay"
        yield Row(state.namespace.name, f"Secret/{name}", Effect.DELETE, PreviewReason.COPY_NOT_WANTED, message)


def _not_selected_cause(name: str, configuration: Configuration, stops: Mapping[str, Reason]) -> str:
    if name in configuration.retired:
        return "it is retired"
    match stops.get(name):
        case Reason.SOURCE_NOT_FOR_NAMESPACE:
            return "one of its sources is not allowed in the namespace"
        case Reason.NAMESPACE_DECLINES:
            return "the namespace declines it"
        case _:
            return "the namespace is not selected for it"


def _outcome(
    entry: PullSecret, state: NamespaceState, plan: NamespacePlan, expected: Expected
) -> tuple[Effect, str, str]:
    finding = next((finding.reason for finding in plan.findings if finding.secret == entry.name), None)
    if finding is FindingReason.COPY_CONFLICT:
        message = "a foreign Secret with this name exists and is not changed: rename it"
        return Effect.PROBLEM, finding, message
    copy = state.copies.get(entry.name)
    if finding is FindingReason.SOURCE_UNAVAILABLE and copy is not None and not copy.terminating:
        return _left_alone(expected)
    if finding is FindingReason.SOURCE_UNAVAILABLE:
        return Effect.PROBLEM, finding, f"its sources cannot be copied now: {expected.problem}"
    if finding is FindingReason.TOKEN_ACCOUNT_ABSENT:
        account = next(finding.service_account for finding in plan.findings if finding.secret == entry.name)
        left = "is not made" if copy is None else "keeps its content"
        message = (
            f"ServiceAccount {account} does not exist in the namespace, so the copy {left}: create the ServiceAccount"
        )
        return Effect.PROBLEM, finding, message
    write = next((write for write in plan.copies if write.name == entry.name), None)
    if write is None:
        is_current = copy is None or not expected.may_differ(copy)
        effect, reason = Effect.NONE, PreviewReason.COPY_CURRENT if is_current else PreviewReason.ROTATION_NOT_SEEN
    else:
        effect = Effect.UPDATE if write.updates or write.replaces else Effect.CREATE
        reason = PreviewReason.COPY_DUE
    if expected.unseen:
        return effect, PreviewReason.SOURCE_NOT_SEEN, _unseen(expected.unseen)
    if expected.issuing:
        return effect, reason, f"made from {listed(entry.sources)}, when sync has issued {listed(expected.issuing)}"
    if expected.last_good is not None and write is None:
        return effect, PreviewReason.COPY_KEPT, f"kept with the last good content, because {expected.problem}"
    if expected.last_good is not None:
        return effect, reason, f"made of {last_good_copy(expected.last_good)}, because {expected.problem}"
    again = "again, because its type or immutability forbids an update, " if write and write.replaces else ""
    origin = f"made {again}{_origin(entry, expected, state.namespace.name, copy)}"
    return effect, reason, f"{origin}; {METADATA_DIFFERS}" if write and write.only_metadata else origin


def _origin(entry: PullSecret, expected: Expected, namespace: str, copy: Copy | None) -> str:
    """Return what a copy is made from, while its sources can be used."""
    if expected.may_differ(copy):
        return _at_unread_stage(copy)
    if expected.stored is not None and expected.hash_in(namespace) != expected.hash:
        return f"of the content before the rotation, {_stage(expected.stored, expected.hash)}"
    return f"from {entry.made_from}{f'; {expected.note}' if expected.note else ''}"


def _stage(stored: StoredRollout, content_hash: str | None) -> str:
    """Return the stage of a rotation to a content that has not reached a namespace."""
    if content_hash is not None and not is_about(stored.rollout, content_hash):
        return "which sync has not noted yet"
    description = describe_rollout(stored.rollout, stored.progress)
    return f"which is {stored.rollout.stage}{f' ({description})' if description else ''}"


def _at_unread_stage(copy: Copy | None) -> str:
    if copy is None:
        return "of the content of its stage, which was not read"
    return "of another content than its sources have now; whether that is due depends on its stage, which was not read"


def _left_alone(expected: Expected) -> tuple[Effect, str, str]:
    """Return the row of a copy that stays as it is."""
    if expected.last_good is not None:
        message = (
            f"it does not have {last_good_copy(expected.last_good)} and stays as it is, because {expected.problem}"
        )
        return Effect.PROBLEM, PreviewReason.COPY_OUTDATED, message
    return Effect.NONE, PreviewReason.COPY_KEPT, f"kept as it is, because {expected.problem}"


def last_good_copy(content: LastGood) -> str:
    """Return the name of a last good content for messages."""
    return f"the last good copy from {content.time:%Y-%m-%d %H:%M} UTC"


def _unseen(names: tuple[str, ...]) -> str:
    return f"made from its sources; {listed(names)} {'was' if len(names) == 1 else 'were'} not read"
