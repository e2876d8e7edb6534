"""Report the state of the controller: as metrics for each scrape, and by namespace for the status page.

A scrape must stay cheap in a large cluster. The list of namespaces is made only when the page is requested.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import structs

from webhook import __version__
from webhook.ops.page_data import (
    NOT_LOOKED_AT,
    NOT_SELECTED,
    REFERENCES_ONLY,
    CertificateView,
    CopyView,
    EventView,
    NamespaceView,
    PageData,
)
from webhook.ops.sync_status import (
    MOST_EXPIRIES,
    ContendedStatus,
    ExpiryStatus,
    FailingStatus,
    LeaderStatus,
    PullSecretStatus,
    QueueStatus,
    RolloutStatus,
    SourceStatus,
    StaleCopy,
    SyncStatus,
    TokensStatus,
    UnreconciledStatus,
)
from webhook.report.preview.row import PreviewReason
from webhook.report.rollout import describe_rollout
from webhook.rules.actions import FindingReason
from webhook.rules.configuration import Reason
from webhook.rules.copy_status import CopyState
from webhook.rules.credential import SourceReason
from webhook.rules.expiry import ExpiryReason
from webhook.rules.gates import decide_namespace
from webhook.rules.mistyped import mistyped_opt_in
from webhook.rules.namespace_tokens import is_urgent
from webhook.rules.rollout import HoldReason
from webhook.sync.events import NAMESPACE_FINDINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from webhook.kube.events import EventRecorder, Reference
    from webhook.kube.lease import LeaseElection
    from webhook.ops.certificate_metrics import IssuedCertificateMetrics
    from webhook.ops.health import Health
    from webhook.rules.configuration import Configuration, PullSecret
    from webhook.rules.gates import Decision
    from webhook.rules.ownership import Release
    from webhook.sync.controller import SyncController
    from webhook.sync.queue import QueueState
    from webhook.sync.renewal import RenewalState
    from webhook.sync.status_index import Expected

_WORST_FIRST = (
    CopyState.FAILING,
    CopyState.CONFLICTING,
    CopyState.MISSING,
    CopyState.STALE,
    CopyState.LEAVING,
    CopyState.KEPT,
    CopyState.CURRENT,
)
_REASONS: Mapping[CopyState, str] = {
    CopyState.CONFLICTING: "copy-conflict",
    CopyState.MISSING: PreviewReason.COPY_DUE,
    CopyState.STALE: PreviewReason.COPY_DUE,
    CopyState.KEPT: PreviewReason.COPY_KEPT,
    CopyState.LEAVING: PreviewReason.COPY_NOT_WANTED,
}
_WAITING: Mapping[CopyState, str] = {
    CopyState.MISSING: FindingReason.SOURCE_UNAVAILABLE,
    CopyState.STALE: PreviewReason.COPY_OUTDATED,
}
"""Reasons of copies that are not written until a source can be used again."""


def page_data(
    controller: SyncController,
    status: SyncStatus,
    health: Health,
    recorder: EventRecorder,
    certificates: IssuedCertificateMetrics,
) -> PageData:
    """Return the data of the status page, without what only the settings of the process have."""
    opt_in = controller.configuration.opt_in
    return PageData(
        now=controller.expiry.now(),
        status=status,
        unready="" if health.ready else health.report(),
        namespaces=list(_namespaces(controller)),
        events=[
            EventView(
                at,
                notice.reason,
                _title(notice.regarding),
                notice.message,
                notice.type == "Warning",
                notice.regarding.namespace,
            )
            for at, notice in recorder.recent()
        ],
        certificate=CertificateView(certificates.serving, certificates.authority),
        opt_in=opt_in.deciding_label,
        everywhere=opt_in.is_everywhere,
    )


def _title(reference: Reference) -> str:
    prefix = "" if reference.kind == "Namespace" else f"{reference.namespace}/"
    return f"{reference.kind} {prefix}{reference.name}"


def _namespaces(controller: SyncController) -> Iterator[NamespaceView]:
    hashes = controller.sources.hashes()
    leading = controller.leading_for is not None
    last_good = controller.sources.last_good_hashes()
    copies = controller.status_index.by_namespace(hashes, last_good) if leading else {}
    failing = controller.status_index.failing() if leading else {}
    findings = controller.reporter.findings() if leading else {}
    configuration = controller.configuration
    # Most namespaces have equal copies, so only the different ones are turned into views.
    views = {rows: tuple(CopyView(*copy) for copy in rows) for rows in {(), *copies.values()}}
    for name in sorted(controller.caches.namespaces.names()):
        namespace = controller.caches.namespaces.get(name)
        if namespace is None:
            continue
        shown = views[copies.get(name, ())]
        mistyped = mistyped_opt_in(namespace.labels, configuration.opt_in)
        typed = "" if mistyped is None else "=".join(mistyped)
        state: str
        if name in failing:
            state, reason = CopyState.FAILING, str(failing[name])
        elif shown:
            state, reason = _worst_state(shown, partial(_is_waiting, controller, name))
        else:
            state, reason = _state_without_copies(decide_namespace(namespace, configuration), configuration)
        # A copy in the wrong place is a state of its own.
        others = tuple(
            finding for finding in findings.get(name, ()) if finding.reason is not FindingReason.COPY_CONFLICT
        )
        yield NamespaceView(name, state, reason, shown, typed, others)


def _is_waiting(controller: SyncController, namespace: str, pull_secret: str) -> bool:
    """Return True if a copy is not written until its sources can be used again."""
    return controller.sources.is_waiting(pull_secret, controller.caches.copy(namespace, pull_secret))


def _state_without_copies(decision: Decision, configuration: Configuration) -> tuple[str, str]:
    if decision.reason is not Reason.INJECTED:
        return NOT_SELECTED, decision.reason
    has_copies = not set(decision.added).issubset(configuration.tenant_names)
    return NOT_LOOKED_AT if has_copies else REFERENCES_ONLY, PreviewReason.NAMESPACE_SELECTED


def _worst_state(copies: tuple[CopyView, ...], is_waiting: Callable[[str], bool]) -> tuple[str, str]:
    """Return the worst state of copies, and its reason id; ``is_waiting`` judges the copy of a pull secret."""
    worst = min((copy.state for copy in copies), key=_WORST_FIRST.index)
    if worst is CopyState.CURRENT:
        return worst, PreviewReason.COPY_CURRENT
    of_worst = [copy for copy in copies if copy.state is worst]
    if worst in _WAITING and all(is_waiting(copy.secret) for copy in of_worst):
        return worst, _WAITING[worst]
    return worst, _REASONS.get(worst) or of_worst[0].reason


def leader_status(controller: SyncController, lease: str, election: LeaseElection | None) -> LeaderStatus:
    """Return the state of the election; without one, this process leads as soon as it has taken over."""
    leading = controller.leading_for is not None
    if election is None:
        return LeaderStatus(leading, taking_over=not leading)
    return LeaderStatus(
        leading, lease, election.identity, election.holder, not leading and election.is_leading(), election.unread
    )


EXAMPLES = 20
"""Examples of each kind in ``/status``; its counts include all."""


def controller_status(
    controller: SyncController, release: Release, leader: LeaderStatus, paused: float, examples: int = EXAMPLES
) -> SyncStatus:
    """Return the state of the controller, with up to so many ``examples`` in each list that grows with the cluster."""
    hashes = controller.sources.hashes()
    # The findings of a process from its time as the leader are outdated once it is not.
    leading, queue = controller.leading_for is not None, controller.queue.state()
    failing = controller.status_index.failing() if leading else {}
    contended = controller.contention.contended() if leading else []
    pull_secrets = _pull_secrets(controller, hashes, examples)
    held = controller.brake.held if controller.brake is not None and leading else None
    renewals = controller.renewer.states()
    sources = tuple(
        _with_renewal(_source(controller, name), renewals.get(name)) for name in controller.configuration.source_names
    )
    return SyncStatus(
        version=__version__,
        release=release.name,
        release_namespace=release.namespace,
        leader=leader,
        pull_secrets=pull_secrets,
        sources=sources,
        watches=(*controller.caches.watches(), *controller.healing.watches()),
        queue=_queue(queue),
        oldest_unreconciled=_oldest(queue, controller.leading_for),
        last_full_pass_seconds=controller.resync.seconds_since if leading else 0.0,
        failing_namespaces=len(failing),
        failing=tuple(FailingStatus(namespace, reason) for namespace, reason in islice(failing.items(), examples)),
        contended_objects=dict(Counter(item.kind for item in contended)),
        contended=tuple(
            ContendedStatus(item.kind, item.namespace, item.name, item.pause) for item in contended[:examples]
        ),
        undone_writes=controller.contention.reverts,
        paused_seconds=paused,
        held_removals=held.removals.copies if held else 0,
        held_configuration=held.digest if held else "",
        problems=_problems(controller, pull_secrets, sources),
        evictions=controller.healing.status(),
    )


def _problems(
    controller: SyncController, pull_secrets: Iterable[PullSecretStatus], sources: Iterable[SourceStatus]
) -> dict[str, int]:
    """Return the current number of sources, copies and references for each reason id, including zeros."""
    counts = Counter({str(reason): 0 for reason in (*SourceReason, *ExpiryReason, *HoldReason, *FindingReason)})
    sources = tuple(sources)
    counts.update(reason for source in sources for reason in (source.reason, source.expiry_reason) if reason)
    counts[ExpiryReason.UNREADABLE] += sum(bool(source.expiry_problem) for source in sources)
    for entry in pull_secrets:
        counts[FindingReason.COPY_CONFLICT] += entry.copies[CopyState.CONFLICTING]
        counts[FindingReason.SOURCE_UNAVAILABLE] += bool(entry.problem)
        # Problems of a single source were counted with the source.
        counts[SourceReason.COPY_TOO_LARGE] += entry.problem == SourceReason.COPY_TOO_LARGE
        if entry.rollout is not None and entry.rollout.reason:
            counts[entry.rollout.reason] += 1
    if controller.leading_for is not None:
        for reason in NAMESPACE_FINDINGS - {FindingReason.COPY_CONFLICT}:
            counts[reason] = controller.reporter.count(reason)
    return {str(reason): number for reason, number in counts.items()}


def _pull_secrets(controller: SyncController, hashes: Expected, examples: int) -> tuple[PullSecretStatus, ...]:
    configuration, problems = controller.configuration, controller.sources.problems()
    last_good = controller.sources.last_good_hashes()
    counts = controller.status_index.counts(hashes, last_good) if controller.leading_for is not None else {}
    # By the hashes of the counts: an example that is counted but not there would be searched in all namespaces.
    named = _examples(controller, hashes, last_good, counts, examples)

    def status(name: str, entry: PullSecret | None) -> PullSecretStatus:
        # Copies from before it belonged to the namespaces are those of the retired name.
        tenant_owned = entry is not None and entry.tenant_owned
        copies = {state: 0 if tenant_owned else counts.get((name, state), 0) for state in CopyState}
        return PullSecretStatus(
            name=name,
            retired=entry is None,
            ready=name in hashes or tenant_owned,
            problem=problems[name].reason if name in problems else "",
            sources=entry.sources if entry else (),
            selected_namespaces=sum(copies.values()) - copies[CopyState.LEAVING],
            copies=copies,
            not_current=() if tenant_owned else tuple(named.get(name, ())),
            last_good=name in last_good,
            content_since="" if (since := controller.sources.since(name)) is None else since.isoformat(),
            rotation_seconds=controller.rotations.seconds(name),
            rollout=_rollout(controller, name),
            tokens=_tokens(controller, name) if entry is not None and entry.tokens else None,
            tenant_owned=tenant_owned,
        )

    return (
        *(status(entry.name, entry) for entry in configuration.pull_secrets),
        *(status(name, None) for name in configuration.retired),
    )


def _rollout(controller: SyncController, name: str) -> RolloutStatus | None:
    rollouts = controller.sources.rollouts
    rollout, progress = rollouts.state(name), rollouts.progress(name)
    if rollout is None:
        return None
    return RolloutStatus(
        stage=rollout.stage,
        since=rollout.since,
        reason=rollout.reason or "",
        message=describe_rollout(rollout, progress),
        canary_namespaces=progress.canary,
        canary_reached=progress.canary_reached,
        canary_watched=progress.watched,
        canary_unwatched=progress.unwatched,
        copies=progress.total,
        copies_reached=progress.total - progress.remaining,
        unused_since=rollout.unused_since,
    )


def _examples(
    controller: SyncController,
    hashes: Expected,
    last_good: Mapping[str, str],
    counts: Mapping[tuple[str, CopyState], int],
    limit: int,
) -> dict[str, list[StaleCopy]]:
    """Return up to ``limit`` copies of each state by pull secret; stops reading as early as possible."""
    # The walk over the copies ends as soon as each state has its examples: a scrape must not read 10,000 namespaces.
    missing = {key: min(number, limit) for key, number in counts.items() if key[1] is not CopyState.CURRENT}
    examples: dict[str, list[StaleCopy]] = {}
    for namespace, copy in controller.status_index.not_current(hashes, last_good) if any(missing.values()) else ():
        if missing.get((copy.secret, copy.state), 0) > 0:
            missing[copy.secret, copy.state] -= 1
            examples.setdefault(copy.secret, []).append(StaleCopy(namespace, copy.state, copy.reason))
            if not any(missing.values()):
                break
    return examples


def _tokens(controller: SyncController, name: str) -> TokensStatus:
    now, caches = controller.expiry.now(), controller.caches
    copies = [caches.copy(namespace, name) for namespace in caches.namespaces_with_copies(name)]
    issued = [copy.issued for copy in copies if copy is not None and copy.issued.expires_at is not None]
    earliest = min((token.expires_at for token in issued if token.expires_at is not None), default=None)
    return TokensStatus(earliest, sum(is_urgent(token, now) for token in issued))


def _with_renewal(source: SourceStatus, renewal: RenewalState | None) -> SourceStatus:
    if renewal is None:
        return source
    return structs.replace(
        source,
        renews=True,
        next_renewal="" if renewal.next_at is None else renewal.next_at.isoformat(timespec="seconds"),
        renewal_failures=renewal.failures,
        renewal_reason=renewal.reason,
        renewal_message=renewal.message,
    )


def _source(controller: SyncController, name: str) -> SourceStatus:
    source = controller.sources.source(name)
    if source is None:
        return SourceStatus(name, None)
    if source.problem is not None:
        problem = source.problem
        return SourceStatus(name, valid=False, reason=problem.reason, message=str(problem), created=source.created)
    leads = controller.leading_for is not None  # only the leader tests logins
    refused = tuple(controller.logins.refused(name)) if controller.logins is not None and leads else ()
    if source.credentials is None:
        return SourceStatus(name, valid=True, refused_by=refused, created=source.created)
    expiries = source.credentials.expiries
    first = expiries.earliest
    return SourceStatus(
        name,
        valid=True,
        registries=len(source.credentials),
        registry_names=tuple(islice(source.credentials, EXAMPLES)),
        created=source.created,
        refused_by=refused,
        left_out=source.credentials.left_out.number,
        remark=source.credentials.remark,
        expires_at=None if first is None else first.expires_at,
        expiry_reason=(None if first is None else first.reason(controller.expiry.now())) or "",
        expiries=tuple(
            ExpiryStatus(registry, expiry.expires_at, expiry.origin, expiry.issued_at)
            for registry, expiry in islice(expiries.by_registry.items(), MOST_EXPIRIES)
        ),
        expiry_problem=expiries.remark,
    )


def _queue(state: QueueState) -> QueueStatus:
    return QueueStatus(
        waiting=state.waiting,
        working=state.working,
        backing_off=state.failing,
        added=state.added,
        retried=state.retried,
        unfinished_seconds=state.unfinished,
        longest_seconds=state.longest,
    )


def _oldest(state: QueueState, leading_for: float | None) -> UnreconciledStatus | None:
    """Return the oldest waiting namespace; its wait counts from when this process began to lead at the earliest."""
    if state.oldest is None or leading_for is None:
        return None
    namespace, seconds = state.oldest
    return UnreconciledStatus(namespace, min(seconds, leading_for))
