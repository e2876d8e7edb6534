"""What the loop tells people, by Events: each finding once when it appears, not at every pass."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from webhook.core.plan import Finding, FindingReason
from webhook.errors import Conflict, Forbidden, Invalid
from webhook.kube.events import Notice, Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from webhook.core.dockerconfig import Clash
    from webhook.errors import ApiError
    from webhook.kube.events import EventRecorder
    from webhook.sync.release import Release
    from webhook.sync.sources import Source

log = structlog.get_logger(__name__)


class Notices:
    """Remembers the findings of each namespace and records the new ones."""

    def __init__(self, recorder: EventRecorder, release: Release) -> None:
        self._recorder = recorder
        self._release = release
        self._lock = threading.Lock()
        self._findings: dict[str, frozenset[Finding]] = {}

    def conflicts(self, secrets: Iterable[str]) -> dict[str, int]:
        """Return for each of these pull secrets in how many namespaces a foreign Secret has its name."""
        with self._lock:
            found = [finding for findings in self._findings.values() for finding in findings]
        return {name: found.count(Finding(FindingReason.COPY_CONFLICT, name)) for name in secrets}

    def found(self, namespace: str, findings: Iterable[Finding]) -> None:
        """Take the findings of a namespace for all it has."""
        now = frozenset(findings)
        with self._lock:
            before = self._findings.get(namespace, frozenset())
            if now:
                self._findings[namespace] = now
            else:
                self._findings.pop(namespace, None)
        for finding in now - before:
            # That a source is missing is said on the source itself, once, not in each of its namespaces.
            if finding.reason is FindingReason.COPY_CONFLICT:
                log.warning("copy conflict", namespace=namespace, secret=finding.secret)
                message = (
                    f'Secret "{finding.secret}" was not made by release {self._release.namespace}/{self._release.name} '
                    f"and is left alone: delete or rename it to get the copy"
                )
                self._record(namespace, "CopyConflict", message)

    def failed(self, namespace: str, error: ApiError) -> None:
        """Record that a namespace refuses a write, where a person has to act."""
        if isinstance(error, Forbidden | Invalid) and not isinstance(error, Conflict):
            self._record(namespace, "CopyDenied", f"the API server refused a write: {error}")

    def source_changed(self, source: Source) -> None:
        """Record that a source cannot be used, or that it can."""
        if source.problem is None:
            log.info("source read", source=source.name, registries=sorted(source.credentials or ()))
            return
        log.warning("source refused", source=source.name, reason=source.problem.reason, cause=str(source.problem))
        regarding = Reference("v1", "Secret", self._release.namespace, source.name, source.uid)
        reason = "SourceMissing" if not source.uid else "SourceInvalid"
        self._recorder.record(Notice(regarding, reason, f"{source.problem}; copies stay as they are"))

    def clashed(self, secret: str, clashes: Sequence[Clash]) -> None:
        """Record which registries several sources of a pull secret name, and whose credentials are taken."""
        for clash in clashes:
            losers = ", ".join(clash.losers)
            log.warning("sources clash", secret=secret, registry=clash.registry, taken=clash.winner, passed_over=losers)
            message = (
                f'pull secret "{secret}": {clash.registry} is named more than once; the credential of {clash.winner} '
                f"is taken, not that of {losers}"
            )
            self._record(self._release.namespace, "SourcesClash", message)

    def _record(self, namespace: str, reason: str, message: str) -> None:
        regarding = Reference("v1", "Namespace", namespace, namespace)
        self._recorder.record(Notice(regarding, reason, message))
