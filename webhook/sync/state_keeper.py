"""Store the state that must survive a restart and a change of leader in a Secret.

It has four parts. The first is the last good content of each pull secret: a namespace that opts in while a source is
missing gets a copy of it. The second is the configuration that is in force, with which
:mod:`webhook.sync.configuration` compares a new one. The third are the rollouts: see :mod:`webhook.sync.rollouts`.
The fourth are the evictions of the last minute: see :mod:`webhook.sync.healing`.

The leader reads the Secret before its first write of it, and writes it after a change. All other work continues without
it: the rights to it may be missing, or another object may have its name.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import structlog

from webhook.errors import ApiError, Conflict, NotFound
from webhook.kube.objects import decode_secret
from webhook.kube.resources import SECRETS
from webhook.report.explain.commands import rename_command
from webhook.rules.brake import CONFIRM_ANNOTATION
from webhook.rules.ownership import FIELD_MANAGER, MANAGED_BY, MANAGED_BY_LABEL, is_a_copy
from webhook.rules.state_document import (
    HEALING_KEY,
    ROLLOUTS_KEY,
    STATE_TYPE,
    StateDocument,
    decode_document,
    described,
    update,
)
from webhook.rules.timing import BASE_SECONDS, delay
from webhook.sync.configuration import HELD_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.kube.client import Client
    from webhook.kube.objects import SecretObject
    from webhook.rules.ownership import Release
    from webhook.rules.state_document import StateUpdate
    from webhook.sync.configuration import Brake
    from webhook.sync.events import EventReporter
    from webhook.sync.healing import Healing
    from webhook.sync.sources import SourceStore

log = structlog.get_logger(__name__)

READ_SECONDS = 600.0
"""Seconds between two reads of the Secret without a cause. Then a deleted or changed Secret is restored."""

UNUSABLE_SECONDS = 15.0
"""Seconds between two reads while another object has its name."""

CONFLICT_SECONDS = 0.2
"""Seconds after the first conflict; then the Secret is read again."""


class StateKeeper:
    """Reads and writes the Secret ``name`` of the release namespace, while this process leads."""

    def __init__(  # noqa: PLR0913 - all that is stored
        self,
        client: Client,
        release: Release,
        name: str,
        sources: SourceStore,
        brake: Brake,
        may_write: Callable[[], bool],
        reporter: EventReporter,
        cache_accepted: Callable[[], None],
        *,
        healing: Healing,
    ) -> None:
        self._client = client
        self._namespace = release.namespace
        self._name = name
        self._sources = sources
        self._brake = brake
        self._cache_accepted = cache_accepted
        self._healing = healing
        healing.stored_soon = self.changed
        self._may_write = may_write
        self._reporter = reporter
        self._wake = threading.Event()
        self._leading = False
        self._failures = 0
        self._reported = ""
        self._unreadable = ""
        self._present: SecretObject | None = None
        self._read_at = 0.0
        self._stored: StateDocument | None = None
        """None until the Secret has been read, and when it has to be read again."""

    def set_leading(self, leading: bool) -> None:
        """Start to read and write, or stop."""
        self._leading = leading
        self._sources.forget_rollouts()
        self._healing.set_leading(leading)
        if leading:
            # It then counts as not loaded, so that _load() reads the Secret again. The thread may have slept while this
            # process was a standby, and still have what was stored before.
            self._brake.forget()
            self.changed()

    def changed(self) -> None:
        """Check soon whether a write is due."""
        self._wake.set()

    def run(self, stopping: threading.Event) -> None:
        """Read and write until ``stopping`` is set, and :meth:`changed` is called once more."""
        pause: float | None = None
        while not stopping.is_set():
            self._wake.wait(pause)
            self._wake.clear()
            if not self._leading or stopping.is_set():
                # A standby's copy would be outdated when it takes over, so it reads the Secret again then.
                self._stored, pause = None, None  # other processes write it now
                continue
            reading = self._attempt(self._load, "state not read")
            judging = self._brake.judge()
            storing = READ_SECONDS
            if self._stored is not None:
                storing = self._attempt(self._store, "state not stored")
            pause = min(reading, storing, READ_SECONDS if judging is None else judging)

    def _attempt(self, operation: Callable[[], float], failure: str) -> float:
        """Read or write; return the seconds until the next try. ``failure`` is the log message after an error."""
        try:
            pause = operation()
        except ApiError as error:
            self._stored = None
            self._failures += 1
            base = CONFLICT_SECONDS if isinstance(error, (Conflict, NotFound)) else BASE_SECONDS
            pause = max(delay(self._failures, random.random(), base=base), error.retry_after or 0.0)  # noqa: S311
            log.info(failure, secret=self._name, cause=str(error), retry_in=round(pause, 2))
            if error.is_lasting:
                # Without the right to the Secret, the brake must still reach a judgement, or no removal would ever be
                # made.
                self._brake.load(None, "")
                self._report(str(error))
        return pause

    def _load(self) -> float:
        """Read the Secret, if it is time."""
        max_age = HELD_SECONDS if self._brake.held is not None else READ_SECONDS
        # A held configuration is read more often, because a person confirms it by an annotation on this Secret.
        fresh = self._stored is not None and time.monotonic() - self._read_at < max_age
        if fresh and self._brake.is_loaded:
            return max_age
        self._stored = self._read()
        self._read_at = time.monotonic()
        self._sources.restore(self._stored)
        annotations = self._present.metadata.annotations if self._present is not None else None
        self._brake.load(self._stored.accepted, (annotations or {}).get(CONFIRM_ANNOTATION, ""))
        self._healing.load(self._stored.other.get(HEALING_KEY))
        if not self._brake.is_settled():
            # Both configurations are judged by the caches, which keep only the labels that they were configured for.
            self._cache_accepted()
        return max_age

    def _store(self) -> float:
        """Write the parts that are due."""
        if self._stored is None:
            return READ_SECONDS
        if self._present is not None and (problem := problem_of(self._present)):
            self._report(f"{problem}: {remedy_of(self._present)}")
            self._stored = None
            return UNUSABLE_SECONDS
        contents, rollouts = self._sources.to_store()
        due = update(self._stored, contents, {**self._brake.values(), **rollouts, **self._healing.values()})
        if due.values and self._may_write():
            self._write(due)
        # The value that is stored, not the one that was due: evictions, and Pods that hold a rollout, wait for it.
        self._healing.confirm(self._stored.other.get(HEALING_KEY))
        self._sources.rollouts.confirm(self._stored.other.get(ROLLOUTS_KEY))
        self._report(_too_large(due.left_out) if due.left_out else "")
        self._failures = 0
        return READ_SECONDS

    def _read(self) -> StateDocument:
        try:
            self._present = decode_secret(self._client.get(SECRETS, self._name, self._namespace))
        except NotFound:
            self._present = None
            return StateDocument()
        if problem_of(self._present):
            return StateDocument()
        document = decode_document(self._present.data or {})
        problem = described(sorted(document.problems)[:3], document.problems)
        # Once, although the Secret is read again every few minutes.
        if problem and problem != self._unreadable:
            self._reporter.state_unreadable(self._name, problem)
        self._unreadable = problem
        return document

    def _write(self, due: StateUpdate) -> None:
        # null removes a key in a merge patch (RFC 7386). A creation has none of these.
        data = {key: None if value is None else b64encode(value).decode() for key, value in due.values.items()}
        present = self._present
        stored = self._create(data) if present is None else self._update(present, data)
        self._present = decode_secret(stored)
        self._stored = decode_document(self._present.data or {})
        log.info("state stored", secret=self._name, pull_secrets=sorted(self._stored.last_good))

    def _create(self, data: dict[str, str | None]) -> bytes:
        # As a certificate is created: RBAC can limit only server-side apply to a name. There is no force, and the field
        # manager is unique. So a Secret that was created in the meantime is a conflict.
        metadata = {"namespace": self._namespace, "name": self._name, "labels": {MANAGED_BY_LABEL: MANAGED_BY}}
        body: dict[str, Any] = {"metadata": metadata, "type": STATE_TYPE, "data": data}
        return self._client.apply(SECRETS, body, field_manager=f"{FIELD_MANAGER}-{uuid.uuid4()}", force=False)

    def _update(self, present: SecretObject, data: dict[str, str | None]) -> bytes:
        patch = {"metadata": {"resourceVersion": present.metadata.resource_version}, "data": data}
        return self._client.merge_patch(SECRETS, self._name, patch, self._namespace, field_manager=FIELD_MANAGER)

    def _report(self, problem: str) -> None:
        """Report a problem once, until it changes or is solved."""
        if problem and problem != self._reported:
            self._reporter.state_not_stored(self._name, problem)
        self._reported = problem


def problem_of(secret: SecretObject) -> str:
    """Return why a Secret with the name cannot be ours; empty if it can."""
    if not is_a_copy(secret.metadata.labels or {}):
        return (
            "a Secret of this name is there that pull-secret-webhook has not made; rename it, which keeps its content"
        )
    if secret.type != STATE_TYPE or secret.immutable:
        return "it has another type, or is immutable; delete it, and it is made again"
    return ""


def remedy_of(secret: SecretObject) -> str:
    """Return the command that makes place for our Secret; the content of another one is kept."""
    name, namespace = secret.metadata.name, secret.metadata.namespace
    if not is_a_copy(secret.metadata.labels or {}):
        return rename_command(namespace, name)
    return f"kubectl -n {namespace} delete secret {name}"


def _too_large(names: tuple[str, ...]) -> str:
    return (
        f"all contents together are larger than 1 MB, so that of {', '.join(names)} is not kept: after a restart, new "
        "namespaces get no copy of it while a source is missing; remove registries from its sources"
    )
