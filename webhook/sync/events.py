"""Report problems to people by Events: each once when it appears, not at every check.

Only the leader writes Events; a new leader reports the problems of the sources again.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from webhook.errors import ApiError, Forbidden, Refused
from webhook.kube.events import Notice, Reference
from webhook.kube.resources import SECRETS, SERVICE_ACCOUNTS
from webhook.report.explain.commands import recreate_command
from webhook.report.reasons import advice
from webhook.report.rollout import request_command, rollout_notice
from webhook.rules.actions import Finding, FindingReason
from webhook.rules.backfill import MAX_REFERENCES
from webhook.rules.brake import confirm_command
from webhook.rules.expiry import ExpiryReason, named_first
from webhook.rules.healing import HealingReason
from webhook.rules.renewing import format_time
from webhook.rules.text import listed, some
from webhook.sync.selections import CALM_SECONDS, FLIPS, PAUSE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Literal

    from webhook.errors import CredentialsNotIssued, SourceInvalid
    from webhook.kube.events import EventRecorder
    from webhook.kube.resources import Collection
    from webhook.rules.configuration import PullSecret
    from webhook.rules.dockerconfig import Clash
    from webhook.rules.healing import DuePod, PodOwner, ReportedPod
    from webhook.rules.ownership import Release
    from webhook.rules.renewing import IssuedCredential, RenewingSource
    from webhook.rules.rollout import Rollout
    from webhook.sync.configuration import HeldConfiguration
    from webhook.sync.contention import ContendedObject
    from webhook.sync.credential_watch import ExpiryGroup, RefusedLogin
    from webhook.sync.source import Source

log = structlog.get_logger(__name__)

NAMESPACE_FINDINGS = frozenset(FindingReason) - {FindingReason.SOURCE_UNAVAILABLE}
"""Findings that are reported in the namespace. A missing source is reported on the source itself, once."""

_SHOWN = 3
"""Registries that one message names; the others are counted."""

_LAST_GOOD = "copies keep the last good content, if there ever was one"


class EventReporter:
    """Remembers the reports about each namespace, pull secret and source, and records the new ones."""

    def __init__(self, recorder: EventRecorder, release: Release) -> None:
        self._recorder = recorder
        self._release = release
        # Guards the findings, which the status reads while workers replace them. The entries of _denied need no lock,
        # because one worker at a time handles a namespace.
        self._lock = threading.Lock()
        self._leading = False
        self._refused: set[str] = set()
        self._not_renewed: set[str] = set()
        self._findings: dict[str, frozenset[Finding]] = {}
        self._denied: dict[str, tuple[tuple[int, str, str, Reference], str]] = {}
        self._paused = ""
        self._pause_reported = False

    def set_leading(self, leading: bool) -> None:
        """Start to write Events, or stop."""
        self._leading = leading
        # The first failure of a new term would otherwise count as the second in a row, with the message of the old one.
        # Both ends of a term clear it, because a write of the last term can still fail after its end.
        self._denied.clear()
        self._paused, self._pause_reported = "", False

    def report_findings(self, namespace: str, findings: Iterable[Finding]) -> None:
        """Replace all findings of a namespace with these."""
        now = frozenset([finding for finding in findings if finding.reason in NAMESPACE_FINDINGS])
        # Without the lock, because nearly every plan has no findings.
        if not now and namespace not in self._findings:
            return
        with self._lock:
            before = self._findings.pop(namespace, frozenset())
            if now:
                self._findings[namespace] = now
        # Without the lock, because each report queues an Event.
        for finding in now - before:
            if finding.reason is FindingReason.COPY_CONFLICT:
                self._conflict(namespace, finding)
            elif finding.reason is FindingReason.REFERENCES_TOO_MANY:
                self._too_many(namespace, finding)
            elif finding.reason is FindingReason.COPY_TERMINATING:
                self._kept_by_finalizer(namespace, finding)
            elif finding.reason is FindingReason.TOKEN_ACCOUNT_ABSENT:
                self._token_account_absent(namespace, finding)
            else:
                self._reference_required(namespace, finding)

    def count(self, reason: FindingReason) -> int:
        """Return the current number of findings of namespaces with this reason."""
        with self._lock:
            return sum(finding.reason is reason for findings in self._findings.values() for finding in findings)

    def findings(self) -> dict[str, frozenset[Finding]]:
        """Return the current findings by namespace."""
        with self._lock:
            return self._findings.copy()

    def _conflict(self, namespace: str, finding: Finding) -> None:
        message = (
            f'Secret "{finding.secret}" was not made by release {self._release.namespace}/{self._release.name} '
            f"and is left alone: {advice(FindingReason.COPY_CONFLICT)}. "
            f"The command is shown by: pullsecrets explain secret/{finding.secret} -n {namespace}"
        )
        self._report("copy conflict", namespace, finding, "CopyConflict", message)

    def _kept_by_finalizer(self, namespace: str, finding: Finding) -> None:
        secret, finalizers = finding.secret, finding.detail
        message = (
            f'Secret "{secret}" is being deleted, and keeps its credential while it has the finalizer {finalizers}. '
            f"If the owner of the finalizer is gone, run: kubectl patch secret {secret} --namespace {namespace} "
            f"""--type json --patch '[{{"op":"remove","path":"/metadata/finalizers"}}]'"""
        )
        self._report(
            "copy kept by a finalizer", namespace, finding, "CopyKeptByFinalizer", message, finalizers=finalizers
        )

    def _token_account_absent(self, namespace: str, finding: Finding) -> None:
        account = finding.service_account
        message = (
            f'"{finding.secret}" holds a token of ServiceAccount "{account}" of its namespace, which does not exist. '
            f"Create it with: kubectl create serviceaccount {account} --namespace {namespace}"
        )
        self._report(
            "service account for a token absent",
            namespace,
            finding,
            "TokenAccountAbsent",
            message,
            service_account=account,
        )

    def _too_many(self, namespace: str, finding: Finding) -> None:
        account = finding.service_account
        message = (
            f'ServiceAccount "{account}" has more than {MAX_REFERENCES:,} references, so "{finding.secret}" is not '
            f"added: remove references from it, or exclude it by serviceAccounts.exclude"
        )
        self._report("too many references", namespace, finding, "TooManyReferences", message, service_account=account)

    def _reference_required(self, namespace: str, finding: Finding) -> None:
        account = finding.service_account
        message = (
            f'ServiceAccount "{account}" enforces its references, is labelled disabled and does not reference '
            f'"{finding.secret}": the API server refuses its Pods that get this reference at admission. Take the label '
            f"away, or exclude the ServiceAccount by serviceAccounts.exclude"
        )
        self._report("reference required", namespace, finding, "ReferenceRequired", message, service_account=account)

    def _report(self, logged: str, namespace: str, finding: Finding, event: str, message: str, **fields: str) -> None:
        """Log a finding, and write its Event about the namespace."""
        log.warning(logged, namespace=namespace, secret=finding.secret, reason=finding.reason.value, **fields)
        self._record(_namespace(namespace), event, message)

    def write_refused(self, namespace: str, error: ApiError) -> None:
        """Record that a namespace refuses a write, if a person has to act.

        It is reported from the second time in a row. The data that a policy (our guard's too) has of the namespace may
        be milliseconds older than a label that was just set.
        """
        if error.is_general:
            self._writes_paused(error)
        if not isinstance(error, Refused):
            return
        regarding = _reference(namespace, error.plural, error.name)
        kind = (error.status, error.reason, error.denied_by, regarding)
        earlier = self._denied.get(namespace)
        if earlier is None or earlier[0] != kind:
            # The first message stands for all of its kind: one that counts usage would be new each time.
            self._denied[namespace] = (kind, f"the API server refused a write: {error}")
            return
        self._record(regarding, "CopyDenied", earlier[1])

    def _writes_paused(self, error: ApiError) -> None:
        """Record that writes pause, from the second failure in a row; the first message stands for all."""
        if not self._paused:
            self._paused = f"all writes pause, and one is tried after each pause, because the last ones failed: {error}"
            return
        self._pause_reported = True
        self._record(_namespace(self._release.namespace), "WritesPaused", self._paused)

    def writes_resumed(self) -> None:
        """Note that the API server carries out writes."""
        if not self._paused:
            return
        # A pause with only one failure was not reported, so its end is not reported either.
        reported, self._paused, self._pause_reported = self._pause_reported, "", False
        if reported:
            self._record(_namespace(self._release.namespace), "WritesResumed", "writes continue", "Normal")

    def selection_flapping(self, namespace: str) -> None:
        """Record that a namespace opts in and out repeatedly, so that it is followed less often."""
        message = (
            f"the pull secrets that this namespace is selected for have changed more than {FLIPS} times, each time "
            f"within {CALM_SECONDS:.0f} s of the last. Changes, also an opt-out, are followed with "
            f"pauses of up to {PAUSE_SECONDS:.0f} s until the selection stays the same for {CALM_SECONDS:.0f} s. Find "
            f"out who changes its labels: kubectl get namespace {namespace} --output yaml --show-managed-fields"
        )
        self._record(_namespace(namespace), "SelectionFlapping", message)

    def namespace_done(self, namespace: str) -> None:
        """Note that no write is refused in a namespace any more."""
        self._denied.pop(namespace, None)

    def write_reverted(self, contended: ContendedObject) -> None:
        """Record that our write is reverted repeatedly."""
        kind, name, pause = contended.kind, contended.name, contended.pause
        log.warning("write undone", namespace=contended.namespace, kind=kind, object=name, pause=pause)
        how_often = f"it is repaired once in {pause:.0f} s at most"
        if kind == SERVICE_ACCOUNTS.kind:
            content = ", ".join(sorted(contended.content))
            message = (
                f'somebody keeps taking {content} out of the imagePullSecrets of ServiceAccount "{name}": {how_often}. '
                "Its managedFields name the writer; if this is intended, exclude the ServiceAccount by "
                "serviceAccounts.exclude"
            )
            self._record(
                _reference(contended.namespace, SERVICE_ACCOUNTS.plural, name), "ReferenceRemovedRepeatedly", message
            )
        else:
            message = (
                f'somebody keeps changing or deleting Secret "{name}": {how_often}. Its managedFields may name them'
            )
            self._record(_reference(contended.namespace, SECRETS.plural, name), "CopyChangedRepeatedly", message)

    def source_changed(self, source: Source) -> None:
        """Record that a source cannot be used, or that it can again."""
        regarding = Reference("v1", "Secret", self._release.namespace, source.name, source.uid)
        if source.problem is None:
            log.info("source read", source=source.name, registries=sorted(source.credentials or ()))
            self._source_entries(regarding, source)
            if source.name in self._refused:
                self._refused.discard(source.name)
                message = f'source Secret "{source.name}" can be used again'
                self._record(regarding, "SourceRecovered", message, "Normal")
            return
        # Also by a standby: if it leads when the source can be used again, it must report the recovery.
        self._refused.add(source.name)
        log.warning(
            "source refused",
            source=source.name,
            reason=str(source.problem.reason),
            finding=FindingReason.SOURCE_UNAVAILABLE.value,
            cause=str(source.problem),
        )
        # A Secret that does not exist has no UID.
        reason = "SourceInvalid" if source.uid else "SourceMissing"
        self._record(regarding, reason, f"{source.problem}; {_LAST_GOOD}")

    def _source_entries(self, regarding: Reference, source: Source) -> None:
        """Record entries that are left out of the copies, and those that are copied with a warning."""
        if source.credentials is None:
            return
        left_out, warnings = source.credentials.left_out, source.credentials.warnings
        if not left_out and not warnings:
            return
        log.warning("source entries", source=source.name, left_out=str(left_out), warnings=str(warnings))
        message = f'source Secret "{source.name}": {source.credentials.remark}'
        self._record(regarding, "SourceEntries", message)

    def login_refused(self, refused: RefusedLogin) -> None:
        """Record that a registry refuses the credential of a source; no copy is removed because of that."""
        log.warning("login refused", source=refused.source, registry=refused.registry, cause=refused.message)
        regarding = Reference("v1", "Secret", self._release.namespace, refused.source)
        message = f'source Secret "{refused.source}": {refused.message}; no copy is removed because of that'
        self._record(regarding, "CredentialRefused", message)

    def renewed(self, source: RenewingSource, credential: IssuedCredential) -> None:
        """Record that a credential was renewed after a failure; every renewal is logged."""
        if credential.ignored:
            log.warning("parts of an answer ignored", source=source.name, ignored="; ".join(credential.ignored[:3]))
        if source.secret in self._not_renewed:
            self._not_renewed.discard(source.secret)
            message = f'source "{source.name}": its credential was renewed, until {format_time(credential.expires_at)}'
            self._record(self._secret(source.secret), "CredentialRenewed", message, "Normal")

    def not_renewed(self, source: RenewingSource, error: CredentialsNotIssued, kept: str) -> None:
        """Record that the credential of a source could not be renewed."""
        self._not_renewed.add(source.secret)
        message = f'source "{source.name}": its credential was not renewed, and {kept}: {error} ({error.reason})'
        self._record(self._secret(source.secret), "CredentialNotRenewed", message)

    def _secret(self, name: str) -> Reference:
        return Reference("v1", "Secret", self._release.namespace, name)

    def credentials_expire(self, source: str, registries: Sequence[str], expiring: ExpiryGroup) -> None:
        """Log that credentials of a source expire soon, or have expired; record it if that is urgent."""
        reason = expiring.reason
        log.warning("credential expires", source=source, registries=list(registries[:_SHOWN]), reason=reason.value)
        if reason is ExpiryReason.SOON:
            return
        subject = named_first(some(registries, _SHOWN), differ=expiring.differ)
        todo = "sync should have renewed it" if expiring.renews else "it must be renewed"
        message = f'source Secret "{source}": {subject} {expiring.text}: {todo}'
        event = "CredentialExpired" if reason is ExpiryReason.EXPIRED else "CredentialExpiresSoon"
        self._record(Reference("v1", "Secret", self._release.namespace, source), event, message)

    def credentials_renewed(self, source: str, registries: Sequence[str]) -> None:
        """Record that credentials that were reported are not known to expire soon any more."""
        log.info("credential expiry resolved", source=source, registries=list(registries[:_SHOWN]))
        named = some(registries, _SHOWN)
        message = f'source Secret "{source}": the credential for {named} is not known to expire soon any more'
        regarding = Reference("v1", "Secret", self._release.namespace, source)
        self._record(regarding, "CredentialExpiryResolved", message, "Normal")

    def expiry_unreadable(self, source: str, problem: str) -> None:
        """Record times of expiry that cannot be used; the credentials are copied nevertheless."""
        log.warning("expiry unreadable", source=source, reason=ExpiryReason.UNREADABLE.value, cause=problem)
        message = f'source Secret "{source}": {problem}; the credential is copied nevertheless'
        regarding = Reference("v1", "Secret", self._release.namespace, source)
        self._record(regarding, "CredentialExpiryUnreadable", message)

    def sources_clash(self, secret: str, clashes: Sequence[Clash]) -> None:
        """Record registries that occur in several sources of a pull secret, and the source that is used for each."""
        for clash in clashes:
            losers = ", ".join(clash.losers)
            log.warning("sources clash", secret=secret, registry=clash.registry, taken=clash.winner, passed_over=losers)
            message = (
                f'pull secret "{secret}": {clash.registry} is named more than once; the credential of {clash.winner} '
                f"is taken, not that of {losers}"
            )
            self._record(_namespace(self._release.namespace), "SourcesClash", message)

    def copy_refused(self, secret: str, problem: SourceInvalid) -> None:
        """Record that sources that are valid by themselves make no valid copy together."""
        log.warning("copy refused", secret=secret, reason=str(problem.reason), cause=str(problem))
        message = f'pull secret "{secret}": {problem}; {_LAST_GOOD}'
        self._record(_namespace(self._release.namespace), "CopyRefused", message)

    def pull_secrets_forgotten(self, names: Sequence[str]) -> None:
        """Record that names were removed from the configuration without being retired."""
        # Without the name, the right to the copies is gone too: only a person can correct this.
        log.warning("pull secrets forgotten: list them under retired to have their copies removed", names=list(names))
        message = (
            f"{', '.join(names)}: no sources in pullSecrets any more, so the copies stay; list them under retired to "
            "remove them"
        )
        self._record(_namespace(self._release.namespace), "PullSecretForgotten", message)

    def removal_held(self, secret: str, held: HeldConfiguration | None) -> None:
        """Record that a configuration is held because it would remove many copies, or that none is held any more."""
        regarding = _namespace(self._release.namespace)
        if held is None:
            log.info("no removals held")
            self._record(regarding, "RemovalReleased", "no configuration is held any more", "Normal")
            return
        copies, total, command = held.removals.copies, held.removals.total, self._confirm_command(secret, held.digest)
        log.warning("removals held", copies=copies, total=total, configuration=held.digest, confirm=command)
        message = (
            f"the configuration would remove {copies} of {total} copies, so none of these is removed: correct it (is "
            f"optIn, excludedNamespaces or a namespaceSelector mistyped?), or confirm the removals: {command}"
        )
        self._record(regarding, "RemovalHeld", message)

    def _confirm_command(self, secret: str, digest: str) -> str:
        return confirm_command(self._release.namespace, secret, digest)

    def rollout_moved(self, entry: PullSecret, before: Rollout | None, after: Rollout) -> None:
        """Record another stage of a rollout."""
        if after.reason is None:
            log.info("rotation moved", pull_secret=entry.name, stage=after.stage.value)
        else:
            log.warning("rotation held", pull_secret=entry.name, reason=after.reason.value, cause=after.detail)
        # A person may put the request on any of its sources; the command names the first.
        namespace, source = self._release.namespace, entry.sources[0]
        notice = rollout_notice(
            entry.name, before, after, lambda verb: request_command(namespace, source, verb, after.id)
        )
        if notice is not None:
            kind: Literal["Normal", "Warning"] = "Warning" if notice.is_warning else "Normal"
            self._record(_namespace(namespace), notice.event, notice.message, kind)

    def state_unreadable(self, secret: str, problem: str) -> None:
        """Record that parts of the stored state cannot be used; they are replaced.

        Somebody may have changed them, or a newer version of this program has written them.
        """
        log.warning("state unreadable", secret=secret, cause=problem)
        message = (
            f'Secret "{secret}", which keeps the last good contents, has parts that this version cannot read: '
            f"{problem}. They are replaced by what sync knows now; a part that it does not know is removed"
        )
        self._record(_namespace(self._release.namespace), "StateUnreadable", message)

    def state_not_stored(self, secret: str, problem: str) -> None:
        """Record that the last good contents cannot be stored, so that a restart forgets them."""
        log.warning("state not stored", secret=secret, cause=problem)
        message = f'the last good contents cannot be kept in Secret "{secret}": {problem}'
        self._record(_namespace(self._release.namespace), "StateNotStored", message)

    def pod_evicted(self, due: DuePod) -> None:
        """Record that healing has evicted a Pod, about the owner that recreates it."""
        pod, owner = due.pod, due.pod.owner
        message = (
            f'Pod "{pod.name}" could not pull {pod.failing[0]} and lacked the reference to {listed(due.names)}: it was '
            f"evicted, so that it is recreated with it"
        )
        regarding = _namespace(pod.namespace) if owner is None else _owner_reference(pod.namespace, owner)
        self._record(regarding, "PodEvicted", message, "Normal")

    def healing_needs_person(self, reported: ReportedPod) -> None:
        """Record a Pod that fails to pull without a due reference, and that healing must not or cannot evict."""
        pod, reason = reported.pod, reported.gate.reason
        log.warning("pod not healed", namespace=pod.namespace, pod=pod.name, reason=reason.value)
        todo = advice(reason)
        if reason is HealingReason.BARE:
            todo = f"recreate it with: {recreate_command(pod.namespace, '', pod.name)}"
        regarding = Reference("v1", "Pod", pod.namespace, pod.name, pod.uid)
        # Healing has stopped for all Pods of this owner, and each new Pod would have an Event of its own.
        if reason is HealingReason.STOPPED and pod.owner is not None:
            regarding = _owner_reference(pod.namespace, pod.owner)
        message = f'Pod "{pod.name}" cannot pull {pod.failing[0]}, and is not evicted, because {reported.fact}: {todo}'
        self._record(regarding, "PodNotHealed", message)

    def eviction_refused(self, due: DuePod, error: ApiError) -> None:
        """Record that the API server refuses to evict a Pod; it is tried again."""
        pod = due.pod
        regarding = Reference("v1", "Pod", pod.namespace, pod.name, pod.uid)
        # Without the request in front of it: the Event is about the Pod already.
        cause = str(error).partition(": ")[2]
        self._record(regarding, "EvictionRefused", f'Pod "{pod.name}" is not evicted now: {cause}')

    def watch_broke(self, collection: Collection, cause: str) -> None:
        """Record that a watch is forbidden; other interruptions of a watch are routine."""
        if cause == Forbidden.__name__:
            message = f"the API server does not let {collection} be watched: check the rights of the sync loop"
            self._record(_namespace(self._release.namespace), "WatchForbidden", message)

    def _record(
        self, regarding: Reference, reason: str, message: str, kind: Literal["Normal", "Warning"] = "Warning"
    ) -> None:
        if self._leading:
            self._recorder.record(Notice(regarding, reason, message, kind))


def _owner_reference(namespace: str, owner: PodOwner) -> Reference:
    """Return the reference to a controller of Pods that healing evicts: all are of these two API groups."""
    return Reference(f"{owner.group}/v1" if owner.group else "v1", owner.kind, namespace, owner.name, owner.uid)


def _namespace(name: str) -> Reference:
    return Reference("v1", "Namespace", name, name)


def _reference(namespace: str, plural: str, name: str) -> Reference:
    """Return the reference to a copy or ServiceAccount, or to the namespace for another object."""
    for resource in (SECRETS, SERVICE_ACCOUNTS):
        if plural == resource.plural and name:
            return Reference("v1", resource.kind, namespace, name)
    return _namespace(namespace)
