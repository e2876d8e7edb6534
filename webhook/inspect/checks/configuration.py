"""Check the configuration, the labels for it, the copies and references that it requires, and the stored state of sync.

A write that the controller still has to make is a finding.
"""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from functools import partial
from typing import TYPE_CHECKING

from webhook.errors import Forbidden
from webhook.inspect.checks.result import Check, CheckResult, Context, finding, lacking, note, unknown
from webhook.inspect.checks.sources import unread_sources
from webhook.inspect.healing import read_records
from webhook.inspect.namespaces import opt_in_labels
from webhook.inspect.obstacles import is_written_since, read_reports
from webhook.inspect.secrets import read_facts, read_state
from webhook.kube.objects import decode_secret, to_namespace
from webhook.kube.resources import NAMESPACES, SECRETS, Collection
from webhook.kube.wire import PartialObjectMetadata
from webhook.report.explain.commands import conflict_command, create_source, retire_command
from webhook.report.explain.obstacle import nearest_obstacle, standing_reports
from webhook.report.preview.copies import METADATA_DIFFERS
from webhook.report.preview.row import Effect, PreviewReason
from webhook.report.rollout import describe_rollout, hold_sentence
from webhook.rules.actions import FindingReason
from webhook.rules.brake import confirm_command, digest
from webhook.rules.credential import SourceReason
from webhook.rules.gates import selected_pull_secrets
from webhook.rules.healing import Trial
from webhook.rules.mistyped import mistyped_opt_in
from webhook.rules.names import without_hash
from webhook.rules.namespace_tokens import hash_for_copies
from webhook.rules.ownership import labels_for
from webhook.rules.renewing import ISSUED_BY_LABEL
from webhook.rules.rollout import Stage
from webhook.rules.state_document import STATE_SUFFIX, decode_document
from webhook.rules.text import counted, listed, some
from webhook.sync.state_keeper import problem_of, remedy_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from webhook.inspect.reader import Reader
    from webhook.inspect.release import InstalledRelease
    from webhook.report.explain.obstacle import EventReport, Target
    from webhook.report.preview.row import Row
    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import Namespace
    from webhook.rules.state_document import HeldRemovals, StoredRollout


def _look_at_namespaces(context: Context) -> Iterator[CheckResult]:
    configuration = context.installed.configuration
    others = opt_in_labels(context.reader)
    unused = {entry.name for entry in configuration.pull_secrets}
    for item in context.reader.items(Collection(NAMESPACES), PartialObjectMetadata):
        namespace = to_namespace(item)
        unused -= {entry.name for entry in selected_pull_secrets(configuration, namespace)}
        if not namespace.terminating:
            yield from _labels(namespace, configuration, others)
    for name in sorted(unused):
        yield note("PSW032", f"no namespace is selected for {name}")


def _look_at_names(context: Context) -> Iterator[CheckResult]:
    yield from _dropped(context)
    for name in context.installed.configuration.source_names:
        if (stem := without_hash(name)) is not None:
            yield note("PSW036", f"the name of source {name} ends with a hash: name it {stem}, and turn the hash off")
    yield from _issued_before(context)


def _dropped(context: Context) -> Iterator[CheckResult]:
    """Yield the names of copies that the configuration does not contain any more."""
    installed = context.installed
    labels = labels_for(installed.release.name, installed.release.namespace)
    selector = {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())}
    configured = set(installed.configuration.secret_names)
    dropped: Counter[str] = Counter()
    try:
        for secret in context.reader.items(Collection(SECRETS), PartialObjectMetadata, selector):
            if secret.metadata.namespace != installed.release.namespace:
                dropped.update({secret.metadata.name} - configured)
    except Forbidden:
        yield note(
            "PSW034", "copies of dropped names were not looked for: you lack the right to list Secrets", "list secrets"
        )
    retired = sorted({*installed.configuration.retired, *dropped})
    for name, number in sorted(dropped.items()):
        copies = "1 copy is" if number == 1 else f"{number:,} copies are"
        retire = retire_command(installed.release.name, installed.release.namespace, retired)
        yield finding("PSW034", f"the configuration makes no copies of {name} any more, and {copies} left", retire)


def _issued_before(context: Context) -> Iterator[CheckResult]:
    """Yield the issued Secrets of sources that the configuration does not contain any more."""
    release, issued_names = context.installed.release, context.installed.configuration.issued_names
    selector = {"labelSelector": f"{ISSUED_BY_LABEL}={release.name}"}
    try:
        for secret in context.reader.items(Collection(SECRETS, release.namespace), PartialObjectMetadata, selector):
            if secret.metadata.name not in issued_names:
                name = secret.metadata.name
                detail = (
                    f"Secret {release.namespace}/{name} has a credential of a source that is not in the configuration"
                )
                yield finding("PSW034", detail, f"kubectl -n {release.namespace} delete secret {name}")
    except Forbidden:
        right = f"list secrets in namespace {release.namespace}"
        yield note("PSW034", "issued Secrets were not looked for: you lack the right to list Secrets", right)


def _labels(namespace: Namespace, configuration: Configuration, others: frozenset[str]) -> Iterator[CheckResult]:
    """Yield the suspicious opt-in labels of one namespace."""
    opt_in = configuration.opt_in
    label = opt_in.deciding_label
    if configuration.excludes(namespace.name):
        if namespace.labels.get(opt_in.label) == opt_in.deciding_value:
            command = f"kubectl label namespace {namespace.name} {opt_in.label}-"
            yield finding("PSW033", f"namespace {namespace.name} is excluded and has the label {label}", command)
        return
    typed = mistyped_opt_in(namespace.labels, opt_in, others)
    if typed is not None:
        command = f"kubectl label --overwrite namespace {namespace.name} {label}"
        detail = f"namespace {namespace.name} has the label {'='.join(typed)}: was {label} meant?"
        yield finding("PSW031", detail, command)


OPT_IN = Check(("PSW031", "PSW032", "PSW033"), _look_at_namespaces)

NAMES = Check(("PSW034", "PSW036"), _look_at_names)


SHOWN = 5
"""Findings of the same kind, or names in one finding, that are shown; the others are counted."""

_SOURCES = frozenset({*map(str, SourceReason), PreviewReason.SOURCE_NAME_HASHED.value})
_SENTENCES = {
    "PSW050": "the copy {0} is not there",
    "PSW051": "the copy {0} is not as it must be now",
    "PSW052": "the Secret {0} was not made by this release, and has the name of a copy",
    "PSW053": "the ServiceAccount {0} lacks a reference that is due",
    "PSW054": "{0}, or a reference in it, has not been removed yet",
    "PSW055": "the ServiceAccount {0} enforces its references, is labelled disabled, and lacks one that its Pods get",
    "PSW056": "the copy {0} needs a token of a ServiceAccount of its namespace, which does not exist",
}


class _Causes:
    """The controller's reports about the objects of these rows, read from the cluster on first use."""

    def __init__(self, context: Context, rows: Iterable[Row]) -> None:
        self._context = context
        self._wrong = {(row.namespace, _target(row)) for row in rows}
        self._reports: dict[str, list[EventReport]] | None = None

    def of(self, row: Row) -> str:
        """Return the text that follows the sentence about a row."""
        targets = {_target(row), *(("Secret", name) for name in row.added)}
        reports = standing_reports(
            self._in(row.namespace),
            self._context.now,
            lambda target: (row.namespace, target) not in self._wrong,
            partial(is_written_since, self._context.reader),
        )
        obstacle = nearest_obstacle(reports, targets)
        return "" if obstacle is None else f"{':' if obstacle.is_cause else ';'} {obstacle.message}"

    def _in(self, namespace: str) -> list[EventReport]:
        if self._reports is None:
            self._reports = defaultdict(list)
            for report in read_reports(self._context.reader, None):
                self._reports[report.namespace].append(report)
        return self._reports.get(namespace, [])


def _target(row: Row) -> Target:
    kind, _, name = row.title.partition("/")
    return kind, name


def _look_at_copies(context: Context) -> Iterator[CheckResult]:
    yield from _unseen(context)
    rows_by_code: dict[str, list[Row]] = defaultdict(list)
    for row in context.forecast().rows:
        if row.reason in _SOURCES and row.effect is Effect.PROBLEM:
            yield _of_source(row)
        elif row.reason == PreviewReason.COPY_KEPT:
            yield note("PSW051", f"{row.title.partition('/')[2]}: {row.message}")
        elif code := _code(row):
            rows_by_code[code].append(row)
    causes = _Causes(context, [row for rows in rows_by_code.values() for row in rows])
    for code, rows in sorted(rows_by_code.items()):
        if code == "PSW054" and _holds_removals(context):
            removals = "1 removal is" if len(rows) == 1 else f"{len(rows)} removals are"
            yield note(code, f"{removals} due; those that the configuration alone causes are held (PSW035)")
        else:
            yield from _findings(context.reader, code, rows, causes)


def _unseen(context: Context) -> Iterator[CheckResult]:
    """Yield what is not known about copies and references, because a right is missing."""
    yield from unread_sources(context, "PSW040", "PSW041", "PSW051")
    if not context.sources().is_state_read:
        yield from lacking(("PSW051",), _right_to_state(context))  # it has the content that is due in a rotation
    if names := context.forecast().unseen_copies:
        right = f"list secrets named {some(names, SHOWN)} across namespaces"
        yield from lacking(("PSW050", "PSW051", "PSW052", "PSW054", "PSW056"), right)
    if places := context.forecast().unseen_accounts:
        namespaces = f"in {'namespace' if len(places) == 1 else 'namespaces'} {some(places, SHOWN)}"
        right = f"list serviceaccounts {namespaces if all(places) else 'across namespaces'}"
        tokens = ("PSW056",) if context.installed.configuration.token_accounts else ()
        yield from lacking(("PSW053", "PSW054", "PSW055", *tokens), right)


def _right_to_state(context: Context) -> str:
    return f"get secrets/{context.installed.fullname}{STATE_SUFFIX} in namespace {context.installed.release.namespace}"


def _holds_removals(context: Context) -> bool:
    """Return whether sync holds removals of the present configuration."""
    held = read_state(context.reader, context.installed).held
    return held is not None and held.digest == digest(context.installed.configuration)


def _of_source(row: Row) -> CheckResult:
    name = row.title.partition("/")[2]
    if row.reason != SourceReason.ABSENT:
        code = "PSW040" if row.reason == PreviewReason.SOURCE_NAME_HASHED else "PSW041"
        return finding(code, f"{row.message} ({row.reason})", f"pullsecrets explain reason/{row.reason}")
    return finding("PSW040", f"{row.message} ({row.reason})", create_source(row.namespace, name, "REGISTRY"))


def _code(row: Row) -> str:
    if row.removed or row.effect is Effect.DELETE:
        return "PSW054"
    if row.reason == FindingReason.COPY_CONFLICT and row.is_copy:
        return "PSW052"
    if row.reason == PreviewReason.COPY_OUTDATED:
        return "PSW051"
    if row.reason == FindingReason.SOURCE_UNAVAILABLE:
        return "PSW050" if row.is_copy else "PSW053"
    if row.reason == FindingReason.REFERENCE_REQUIRED:
        return "PSW055"
    if row.reason == FindingReason.TOKEN_ACCOUNT_ABSENT:
        return "PSW056" if row.is_copy else ""  # the references wait for the copy
    if row.reason == FindingReason.REFERENCES_TOO_MANY:
        return "PSW053"
    return {Effect.CREATE: "PSW050", Effect.UPDATE: "PSW051", Effect.REFERENCES: "PSW053"}.get(row.effect, "")


def _findings(reader: Reader, code: str, rows: list[Row], causes: _Causes) -> Iterator[CheckResult]:
    """Yield the first findings, each with the controller's report about it or its namespace."""
    for row in rows[:SHOWN]:
        cause = causes.of(row) if row.effect.is_change else ""
        yield finding(code, f"{_SENTENCES[code].format(_named(row))}{cause}{_due(row)}", _command(reader, code, row))
    if len(rows) > SHOWN:
        yield finding(code, f"and {len(rows) - SHOWN} more")


def _due(row: Row) -> str:
    """Return why a copy is not right. It may wait for sync, or for its turn in a rotation."""
    if row.reason == PreviewReason.COPY_OUTDATED:
        return f"; {row.message}"
    if row.effect is not Effect.UPDATE or row.reason == PreviewReason.SOURCE_NOT_SEEN:
        return ""
    return f"; {METADATA_DIFFERS}" if row.message.endswith(METADATA_DIFFERS) else f"; it must be {row.message}"


def _command(reader: Reader, code: str, row: Row) -> str:
    """Return the command that shows the cause, or that renames a foreign Secret."""
    kind, _, name = row.title.partition("/")
    if code == "PSW052":
        return conflict_command(row.namespace, name, read_facts(reader, name, row.namespace))
    if kind == "ServiceAccount":
        return f"pullsecrets explain sa/{name} -n {row.namespace}"
    return f"pullsecrets explain ns/{row.namespace}"


def _named(row: Row) -> str:
    return f"{row.namespace}/{row.title.partition('/')[2]}"


COPIES = Check(
    ("PSW040", "PSW041", "PSW050", "PSW051", "PSW052", "PSW053", "PSW054", "PSW055", "PSW056"), _look_at_copies
)


def _stopped(name: str, stored: StoredRollout) -> Iterator[CheckResult]:
    """Yield a rotation that does not go on: one that is held, or that a person has aborted."""
    rollout, command = stored.rollout, f"kubectl pullsecrets rotate {name}"
    if rollout.stage is Stage.HELD:
        yield finding("PSW037", f"the rotation of {name} is held: {hold_sentence(rollout)}", command)
    elif rollout.stage is Stage.ABORTED:
        yield note("PSW037", f"the rotation of {name} was aborted: {describe_rollout(rollout, stored.progress)}")


def _held(installed: InstalledRelease, held: HeldRemovals) -> CheckResult:
    """Return the finding about held removals; its command confirms those of the present configuration only."""
    share = f"{held.copies:,} of {counted(held.total, 'copy', 'copies')}"
    if held.digest != digest(installed.configuration):
        return finding(
            "PSW035",
            f"sync holds the removals of an earlier configuration, {share}, and has not "
            "stored what it decides about the present one",
        )
    return finding(
        "PSW035",
        f"the configuration would remove {share}, so the removal is held: correct it, or confirm the removals",
        confirm_command(installed.release.namespace, f"{installed.fullname}{STATE_SUFFIX}", held.digest),
    )


def _look_at_state(context: Context) -> Iterator[CheckResult]:
    installed = context.installed
    name, where = f"{installed.fullname}{STATE_SUFFIX}", installed.release.namespace
    content = context.reader.get(SECRETS, name, where)
    secret = None if content is None else decode_secret(content)
    if secret is not None and (problem := problem_of(secret)):
        command = remedy_of(secret)
        yield finding("PSW044", f"Secret {where}/{name}: {problem}", command)
        for code in ("PSW035", "PSW037"):
            yield unknown(code, f"Secret {where}/{name} has no state of sync (PSW044)")
        return
    stored = decode_document(secret.data or {} if secret is not None else {})
    if stored.held is not None:
        yield _held(installed, stored.held)
    sources = context.sources()
    yield from unread_sources(context, "PSW044")
    incomplete = []
    for entry in installed.configuration.copied:
        expected, kept = sources.expected(entry), stored.last_good.get(entry.name)
        rollout = stored.rollouts.get(entry.name) if entry.rollout is not None else None
        if rollout is not None:
            yield from _stopped(entry.name, rollout)
        needed = expected.hash if rollout is None else rollout.rollout.base
        same = kept is not None and kept.source_names == entry.sources
        same = same and kept is not None and hash_for_copies(entry, kept.payload) == needed
        if entry.sources and expected.hash is not None and not same:
            incomplete.append(entry.name)
    if incomplete:
        yield finding("PSW044", f"Secret {where}/{name} lacks the content of {some(incomplete, SHOWN)}")


STORED_STATE = Check(("PSW035", "PSW037", "PSW044"), _look_at_state)


def _look_at_healing(context: Context) -> Iterator[CheckResult]:
    installed = context.installed
    if not installed.configuration.healing.enabled:
        return
    records = read_records(context.reader, installed)
    if records is None:
        yield from lacking(("PSW072",), _right_to_state(context))
        return
    for record in sorted(records.values(), key=lambda owner_record: (owner_record.namespace, owner_record.owner)):
        if record.trial is Trial.REFUTED:
            detail = (
                f"healing evicts no further Pod of {record.owner} in namespace {record.namespace}: the Pod that "
                f"replaced an evicted one lacks {listed(record.names)}, too"
            )
            where = shlex.quote(record.namespace)
            yield finding("PSW072", detail, f"pullsecrets explain {shlex.quote(record.owner.lower())} -n {where}")


HEALING = Check(("PSW072",), _look_at_healing)
