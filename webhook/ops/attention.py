"""Choose the verdict of the status page and the findings that need a person, each with the next command.

Findings with the same cause are one item, with the namespaces that it concerns: a page about 10,000 namespaces is as
short as one about ten. States that the controller changes within seconds are not findings.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from webhook.ops.html import Banner
from webhook.ops.page_data import NOT_LOOKED_AT, REFERENCES_ONLY
from webhook.report.explain.commands import create_source, expiry_command, rename_command, source_command
from webhook.report.reasons import CATALOG, WRITE_RESULTS, advice
from webhook.rules.actions import Finding, FindingReason
from webhook.rules.configuration import Reason
from webhook.rules.copy_status import CopyState
from webhook.rules.credential import SourceReason
from webhook.rules.expiry import ExpiryReason, describe
from webhook.rules.healing import HealingReason
from webhook.rules.text import counted, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from webhook.ops.page_data import NamespaceView, PageData
    from webhook.ops.sync_status import LeaderStatus, SourceStatus, SyncStatus
    from webhook.rules.expiry import Validity


class Kind(StrEnum):
    """The urgency of a statement; the words are classes of the style sheet."""

    BAD = "bad"
    MIND = "mind"
    GOOD = "good"


KIND_WORDS = {Kind.BAD: "Problem", Kind.MIND: "Warning", Kind.GOOD: "OK"}
"""The kind of a statement in a word, because color alone is not enough."""

WAITING_SECONDS = 60.0
"""Seconds after which a waiting namespace is a finding: a write takes milliseconds."""

MOST_ITEMS = 15
"""Items on one page; the others are counted."""

OPTED_IN_ONLY = frozenset({Reason.NAMESPACE_NOT_SELECTED, Reason.SOURCE_NOT_FOR_NAMESPACE, Reason.NAMESPACE_DECLINES})
"""Reasons of namespaces that have opted in, and to which no pull secret applies."""

TRANSIENT_RESULTS = frozenset({"conflict", "throttled", "unavailable", "not-found", "undone"})
"""Results of writes that a retry usually changes, without a person."""

REFUSALS = frozenset({"denied", "invalid"})
"""Results of writes that the Event ``CopyDenied`` reports, with the answer of the API server."""


class Item(msgspec.Struct, frozen=True):
    """One finding: its title, a sentence, the next command, and the reason id that the documentation explains."""

    kind: Kind
    title: str
    sentence: str
    command: str = ""
    reason: str = ""
    namespaces: Sequence[str] = ()
    """The namespaces that it concerns; the title counts or names them."""


def sentence(text: str) -> str:
    """Return a text that begins in lower case as a sentence."""
    text = text.strip().removesuffix(".")
    return f"{text[:1].upper()}{text[1:]}."


def copies_in(status: SyncStatus, *states: CopyState) -> int:
    """Return the number of copies of all pull secrets in these states."""
    return sum(entry.copies.get(state, 0) for entry in status.pull_secrets for state in states)


def find_attention(data: PageData) -> list[Item]:
    """Return everything that needs a person, the problems first."""
    items = [
        *_process(data),
        *_sources(data.status, data.now),
        *_pull_secrets(data.status),
        *_removals(data),
        *_namespaces(data),
        *_contended(data.status),
        *_healing(data.status),
        *_certificates(data),
    ]
    # sorted() is stable, so items of the same kind keep the order above.
    return sorted(items, key=lambda item: item.kind is not Kind.BAD)


def judge(data: PageData, items: Sequence[Item]) -> Banner:
    """Return the verdict on the release."""
    # The order is that of trust: without a leader, or before this replica is ready, its numbers may be old.
    leader = data.status.leader
    if _has_no_leader(leader):
        detail = "Copies and references are not updated until a replica of sync holds the Lease."
        return Banner(Kind.BAD, "No leader", detail)
    if not (leader.leading or leader.taking_over or leader.holder):
        return Banner(Kind.BAD, "This replica does not know who leads", f"It cannot read the Lease {leader.lease}.")
    if data.unready:
        return Banner(Kind.BAD, "This replica is not ready", "The cause is listed below.")
    if items and (leader.leading or any(item.kind is Kind.BAD for item in items)):
        kind = Kind.BAD if any(item.kind is Kind.BAD for item in items) else Kind.MIND
        return Banner(kind, _needing(items), _current(data.status) if leader.leading else _idle(leader))
    if leader.taking_over:
        return Banner(Kind.MIND, "This replica is taking over", _idle(leader))
    if _has_lapsed(leader):
        return Banner(Kind.MIND, "This replica does not lead any more", _idle(leader))
    if not leader.leading:
        return Banner(Kind.MIND, "This replica is a standby", _idle(leader), _to_leader(data))
    return _progress(data)


def _needing(items: Sequence[Item]) -> str:
    names = {name for item in items for name in item.namespaces}
    others = [item for item in items if not item.namespaces]
    if not names and len(others) == 1:
        return f"{others[0].title} needs attention"
    parts = [counted(len(names), "namespace")] if names else []
    parts += [counted(len(others), "other finding" if names else "finding")] if others else []
    return f"{listed(parts)} {'needs' if len(names) + len(others) == 1 else 'need'} attention"


def _has_no_leader(leader: LeaderStatus) -> bool:
    """Return True if the Lease was read and has no holder: without an answer, another replica may lead."""
    return not (leader.leading or leader.taking_over or leader.holder or leader.problem)


def _has_lapsed(leader: LeaderStatus) -> bool:
    """Return True if the Lease names this replica, and its term is over, because it could not renew it or stops."""
    return not (leader.leading or leader.taking_over) and leader.holder == leader.identity != ""


def _idle(leader: LeaderStatus) -> str:
    """Return why this replica does not track copies; the Lease only names the leader of the time when it was read."""
    if leader.taking_over:
        return "It reads its sources and lists before it writes."
    if _has_lapsed(leader):
        return "Its term has ended, and another leader is not known."
    names = "last named" if leader.problem else "names"
    return f"A standby does not track copies. The Lease {names} {leader.holder} as the leader."


def _to_leader(data: PageData) -> str:
    """Return the command that opens the page of the leader, whose identity begins with the name of its Pod."""
    pod, separator, _ = data.status.leader.holder.partition("_")
    if not (data.port and separator):
        return ""
    return f"kubectl -n {data.status.release_namespace} port-forward pod/{pod} {data.port}"


def _current(status: SyncStatus) -> str:
    current, total = (
        copies_in(status, CopyState.CURRENT),
        sum(entry.selected_namespaces for entry in status.pull_secrets),
    )
    return f"{current:,} of {counted(total, 'copy is', 'copies are')} current."


def _progress(data: PageData) -> Banner:
    """Return the verdict of a leader without findings."""
    status = data.status
    unchecked = sum(namespace.state == NOT_LOOKED_AT for namespace in data.namespaces)
    total = sum(entry.selected_namespaces for entry in status.pull_secrets)
    current = copies_in(status, CopyState.CURRENT)
    if not any(not entry.retired for entry in status.pull_secrets):
        return Banner(Kind.MIND, "No pull secret is configured", "Add one to pullSecrets in the values of the chart.")
    if unchecked:
        return Banner(Kind.MIND, f"Checking {counted(unchecked, 'namespace')}", _current(status))
    selected = sum(bool(view.copies) or view.state == REFERENCES_ONLY for view in data.namespaces)
    others = counted(len(data.namespaces) - selected, "other is", "others are")
    detail = f"{counted(selected, 'namespace is', 'namespaces are')} selected, {others} not."
    if not total and selected:
        return Banner(Kind.GOOD, "No namespace needs a copy", detail)
    if not total:
        return _none_selected(data)
    if current < total:
        return Banner(Kind.MIND, f"Writing {counted(total - current, 'copy', 'copies')}", _current(status))
    text = "The only copy is current" if total == 1 else f"All {total:,} copies are current"
    return Banner(Kind.GOOD, text, detail)


def _none_selected(data: PageData) -> Banner:
    """Return the verdict while no pull secret goes to any namespace."""
    example = next((view for view in data.namespaces if view.reason in OPTED_IN_ONLY), None)
    if example is not None:
        target = "any namespace" if data.everywhere else "a namespace that has opted in"
        detail = f"For example, {example.name}: {_plain(CATALOG[example.reason].meaning)}."
        command = f"kubectl pullsecrets explain ns/{example.name}"
        return Banner(Kind.MIND, f"No pull secret applies to {target}", detail, command)
    if data.everywhere:
        detail = f"All are excluded, are being deleted, or opt out with {data.opt_in}."
    else:
        detail = f"To opt in, label a namespace with {data.opt_in}."
    return Banner(Kind.MIND, "No namespace is selected", detail)


def _process(data: PageData) -> Iterator[Item]:
    status, leader = data.status, data.status.leader
    kubectl = f"kubectl -n {status.release_namespace}"
    if data.unready:
        failed = [line for line in data.unready.splitlines() if line.startswith("[-]")]
        text = "; ".join(line.removeprefix("[-]") for line in failed) or data.unready
        yield Item(Kind.BAD, "This replica", sentence(f"it is not ready: {text}"), f"{kubectl} get pods")
    if _has_no_leader(leader):
        text = f"No replica of sync holds the Lease {leader.lease}."
        yield Item(Kind.BAD, "The leader election", text, f"{kubectl} get lease {leader.lease}")
    elif leader.problem and not (leader.leading or leader.taking_over):
        text = f"This replica cannot read the Lease {leader.lease}, so it does not know who leads: {leader.problem}"
        yield Item(Kind.BAD, "The leader election", sentence(text), f"{kubectl} get lease {leader.lease}")
    down = [watch.of for watch in status.watches if not watch.connected]
    if down:
        reopened = "It is reopened" if len(down) == 1 else "They are reopened"
        text = f"{counted(len(down), 'watch is', 'watches are')} not open: {listed(down)}. {reopened} regularly."
        yield Item(Kind.BAD, "The watches", text, "kubectl get --raw /readyz")
    if status.paused_seconds:
        text = f"The API server throttles this client, so writes pause for {_seconds(status.paused_seconds)}."
        yield Item(Kind.MIND, "Writing", text)
    oldest = status.oldest_unreconciled
    if oldest is not None and oldest.seconds > WAITING_SECONDS:
        text = f"It has waited {_seconds(oldest.seconds)} for a check or for a write that succeeds."
        yield Item(
            Kind.MIND,
            f"Namespace {oldest.namespace}",
            text,
            f"kubectl pullsecrets explain ns/{oldest.namespace}",
            namespaces=(oldest.namespace,),
        )


def _sources(status: SyncStatus, now: datetime) -> Iterator[Item]:
    for source in status.sources:
        title, describe_command = (
            f"Source {source.name}",
            f"kubectl -n {status.release_namespace} describe secret {source.name}",
        )
        if source.valid is False:
            text = " ".join((sentence(source.message), *_effects(status, source)))
            yield Item(Kind.BAD, title, text, _remedy(status, source), source.reason)
        if source.renewal_reason:
            times = counted(source.renewal_failures, "attempt has", "attempts have")
            text = f"{times} not renewed its credential. {sentence(source.renewal_message)}"
            command = source_command(status.release_namespace, source.name, SourceReason.NOT_ISSUED, ())
            yield Item(Kind.MIND, title, text, command)
        if source.refused_by:
            text = f"Its credential is refused by {listed(source.refused_by)}."
            yield Item(Kind.BAD, title, text, describe_command, SourceReason.CREDENTIAL_REFUSED)
        if source.left_out:
            text = f"{counted(source.left_out, 'entry is', 'entries are')} not copied. {sentence(source.remark)}"
            yield Item(Kind.MIND, title, text, describe_command)
        yield from _expiry(status, source, now, describe_command)


def _expiry(status: SyncStatus, source: SourceStatus, now: datetime, describe_command: str) -> Iterator[Item]:
    """Yield an item for the credential of a source that expires first, and for times that cannot be used."""
    title = f"Source {source.name}"
    if source.expiries and source.expiry_reason:
        first = source.expiries[0]
        expired = source.expiry_reason == ExpiryReason.EXPIRED
        others = sum(expiry.expires_at == first.expires_at for expiry in source.expiries) - 1
        more = f" and {others} more" if others else ""
        text = f"The credential for {first.registry}{more} {describe(first.expires_at, now)}."
        text = f"{text} {'It should have been renewed.' if source.renews else 'Issue a new one.'}"
        command = expiry_command(status.release_namespace, source.name, first.registry, renews=source.renews)
        yield Item(Kind.BAD if expired else Kind.MIND, title, text, command, source.expiry_reason)
    if source.expiry_problem:
        yield Item(Kind.MIND, title, sentence(source.expiry_problem), describe_command, ExpiryReason.UNREADABLE)


def _remedy(status: SyncStatus, source: SourceStatus) -> str:
    if source.reason == SourceReason.NOT_ISSUED:
        return source_command(status.release_namespace, source.name, source.reason, ())
    if source.reason != SourceReason.ABSENT:
        return f"kubectl -n {status.release_namespace} describe secret {source.name}"
    return create_source(status.release_namespace, source.name, "REGISTRY")


def _effects(status: SyncStatus, source: SourceStatus) -> Iterator[str]:
    """Yield what an unusable source means for the copies of each pull secret that needs it."""
    for entry in status.pull_secrets:
        if source.name not in entry.sources:
            continue
        kept = entry.copies.get(CopyState.KEPT, 0)
        waiting = sum(entry.copies.get(state, 0) for state in (CopyState.MISSING, CopyState.STALE))
        if kept:
            content = "the last good content" if entry.last_good else "the content that is there"
            yield f"{counted(kept, 'copy', 'copies')} of {entry.name} {'keeps' if kept == 1 else 'keep'} {content}."
        if waiting:
            yield f"{counted(waiting, 'copy', 'copies')} of {entry.name} cannot be written."


def _pull_secrets(status: SyncStatus) -> Iterator[Item]:
    invalid = {source.name for source in status.sources if source.valid is False}
    for entry in status.pull_secrets:
        # The item of an invalid source already describes the effect on its pull secrets.
        if entry.problem and not invalid & set(entry.sources):
            meaning = CATALOG[entry.problem].meaning if entry.problem in CATALOG else entry.problem
            yield Item(Kind.BAD, f"Pull secret {entry.name}", sentence(_plain(meaning)), "", entry.problem)
        if entry.rollout is not None and entry.rollout.reason:
            text = sentence(f"its rotation is held: {entry.rollout.message}")
            command = f"kubectl -n {status.release_namespace} get events --field-selector reason=RotationHeld"
            yield Item(Kind.BAD, f"Pull secret {entry.name}", text, command, entry.rollout.reason)


def _removals(data: PageData) -> Iterator[Item]:
    if data.status.held_removals:
        text = (
            f"The configuration would remove {counted(data.status.held_removals, 'copy', 'copies')}, so it is held. "
            "Correct the configuration, or confirm it."
        )
        yield Item(Kind.BAD, "The configuration", text, data.confirm_command)


def _namespaces(data: PageData) -> Iterator[Item]:
    """Yield an item for each cause; the namespaces of a cause share a sentence and a command for the first one."""
    groups: dict[tuple[str, ...], list[NamespaceView]] = {}
    details: dict[tuple[str, ...], Finding] = {}
    for namespace in data.namespaces:
        if namespace.state == CopyState.FAILING:
            groups.setdefault(("failing", namespace.reason), []).append(namespace)
        for secret in [copy.secret for copy in namespace.copies if copy.state is CopyState.CONFLICTING]:
            groups.setdefault((FindingReason.COPY_CONFLICT, secret), []).append(namespace)
        for finding in namespace.findings:
            cause = (finding.reason, finding.secret, finding.service_account)
            details.setdefault(cause, finding)
            groups.setdefault(cause, []).append(namespace)
        if namespace.mistyped:
            groups.setdefault(("mistyped", namespace.mistyped), []).append(namespace)
    for key, views in groups.items():
        names = [view.name for view in views]
        title = f"Namespace {names[0]}" if len(names) == 1 else counted(len(names), "namespace")
        if key in details:
            yield _finding(title, names, details[key])
        elif key[0] == "failing":
            yield _failing(data, title, names, key[1])
        elif key[0] == "mistyped":
            yield _mistyped(data, title, names, key[1])
        else:
            yield _conflicting(title, names, key[1])


def _conflicting(title: str, names: Sequence[str], secret: str) -> Item:
    remedy = sentence(advice(FindingReason.COPY_CONFLICT))
    text = f"Secret {secret} was not made by this release, so it is left alone. {remedy}"
    return Item(Kind.BAD, title, text, rename_command(names[0], secret), FindingReason.COPY_CONFLICT, names)


def _failing(data: PageData, title: str, names: Sequence[str], result: str) -> Item:
    """Return the item for failed writes; if they are refused, with the answer that an Event about the first one has."""
    denials = (event for event in data.events if event.reason == "CopyDenied" and event.namespace == names[0])
    # Only an Event has the API server's own sentence, and only those that this process sent are known.
    event = next(denials, None) if result in REFUSALS else None
    example = "" if len(names) == 1 else f"In {names[0]}: "
    meaning = WRITE_RESULTS[result].meaning if result in WRITE_RESULTS else result
    text = f"{example}{event.message}" if event is not None else f"the last write failed: {_plain(meaning)}"
    command = f"kubectl -n {names[0]} get events --field-selector source=pull-secret-webhook"
    if result in TRANSIENT_RESULTS:
        text = f"{text.removesuffix('.')}. It is retried"
    kind = Kind.MIND if result in TRANSIENT_RESULTS else Kind.BAD
    return Item(kind, title, sentence(text), command, result if result in WRITE_RESULTS else "", names)


def _mistyped(data: PageData, title: str, names: Sequence[str], label: str) -> Item:
    direction = "out" if data.everywhere else "in"
    text = f"The label {label} may have a typing error: the label to opt {direction} is {data.opt_in}."
    overwrite = " --overwrite" if label.partition("=")[0] == data.opt_in.partition("=")[0] else ""
    command = f"kubectl label namespace {names[0]} {data.opt_in}{overwrite}"
    return Item(Kind.MIND, title, text, command, "", names)


def _finding(title: str, names: Sequence[str], finding: Finding) -> Item:
    text = CATALOG[finding.reason]
    account = finding.service_account
    resource = f"serviceaccount {account}" if account else f"secret {finding.secret}"
    subject = f"ServiceAccount {account}" if account else f"Secret {finding.secret}"
    message = f"{subject}: {_plain(text.meaning)}. {sentence(_plain(text.advice))}"
    return Item(Kind.MIND, title, message, f"kubectl -n {names[0]} describe {resource}", finding.reason, names)


def _contended(status: SyncStatus) -> Iterator[Item]:
    number = sum(status.contended_objects.values())
    if not number:
        return
    text = f"Another writer keeps changing {counted(number, 'object')} back, so these are written less often."
    first = next(iter(status.contended), None)
    if first is None:
        yield Item(Kind.MIND, "Another writer", text)
        return
    # Not the whole object: a Secret would be shown with its credential.
    output_option = "-o jsonpath='{.metadata.managedFields}'"
    command = f"kubectl -n {first.namespace} get {first.kind.lower()} {first.name} {output_option}"
    names = tuple(dict.fromkeys(obj.namespace for obj in status.contended))
    yield Item(Kind.MIND, f"{first.kind} {first.name} in {first.namespace}", text, command, namespaces=names)


def _healing(status: SyncStatus) -> Iterator[Item]:
    """Yield what keeps the leader from evictions, and the owners at which healing has stopped."""
    evictions = status.evictions
    if evictions is None or not status.leader.leading:
        return
    if evictions.message:
        command = f"kubectl -n {status.release_namespace} get events"
        yield Item(Kind.BAD, "Healing", sentence(evictions.message), command)
    if evictions.stopped:
        first = evictions.stopped[0]
        number = counted(evictions.stopped_owners, "controller")
        text = (
            f"Pods of {number} are not evicted any more, because a Pod that was recreated lacks the reference, too. "
            f"The first is {first.owner} in namespace {first.namespace}."
        )
        command = f"kubectl pullsecrets explain {first.owner.lower()} -n {first.namespace}"
        names = tuple(dict.fromkeys(owner.namespace for owner in evictions.stopped))
        yield Item(Kind.MIND, "Healing", text, command, HealingReason.STOPPED, names)


def _certificates(data: PageData) -> Iterator[Item]:
    for title, validity in (
        ("The serving certificate", data.certificate.serving),
        ("The certificate authority", data.certificate.authority),
    ):
        if validity is not None and (kind := certificate_kind(validity, data.now)) is not Kind.GOOD:
            remaining_time = remaining(validity.end, data.now)
            command = f"kubectl -n {data.status.release_namespace} get events"
            yield Item(kind, title, f"It should have been renewed: {remaining_time}.", command)


def certificate_kind(validity: Validity, now: datetime) -> Kind:
    """Return the urgency of a certificate."""
    if validity.end <= now:
        return Kind.BAD
    return Kind.MIND if validity.is_overdue(now) else Kind.GOOD


def remaining(expiry: datetime, now: datetime) -> str:
    """Return the remaining time of a certificate in words."""
    return f"{span(expiry - now)} left" if expiry > now else "expired"


def span(time: timedelta) -> str:
    """Return a positive time in its largest units: ``20 days``, ``3 h 2 min``, ``5 min``, ``40 s``."""
    if time.days:
        return counted(time.days, "day")
    hours, minutes = time.seconds // 3600, time.seconds % 3600 // 60
    parts = [f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes)
    return " ".join(parts) or f"{time.seconds} s"


def _seconds(seconds: float) -> str:
    return span(timedelta(seconds=max(1.0, seconds)))


def _plain(text: str) -> str:
    return text.replace("`", "")
