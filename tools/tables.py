"""Generate the tables of the documentation from the code.

The pages have blocks of cog such as ``[[[cog cog.out(tables.events(cog.previous)) ]]]``. ``make fix`` replaces their
output; ``make check`` fails if a page is outdated. The code has names, types, defaults and numbers. Columns that it
does not have are written by hand in the last columns of the page, and kept from ``previous``.
"""

from __future__ import annotations

import ast
import functools
import json
import re
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer.core
import typer.main
import yaml

from tests.chart.declared import in_configuration, values
from tests.chart.rendered import FULLNAME, NAMESPACE, SAMPLE, render
from tests.cluster.helm import CHART
from tests.unit.ops.statuses import STATUS
from tests.unit.ops.uvicorn_parts import ATTRIBUTES, METHODS
from webhook.cli import EXIT_BUG, EXIT_USAGE, app
from webhook.cli.plan import EXIT_UNDECIDED
from webhook.http.counters import PortCounters
from webhook.http.limits import ADMISSION, METRICS, Deadlines
from webhook.http.rejections import CAUSES
from webhook.inspect.checks.codes import CODES, PAGE, link
from webhook.inspect.checks.result import RESULTS as CHECK_RESULTS
from webhook.ops.metrics import AdmissionMetrics, ProcessMetrics
from webhook.ops.sync_metrics import SyncMetrics
from webhook.ops.sync_status import SyncStatus
from webhook.report.coverage import RESULTS as COVERAGE_RESULTS
from webhook.report.preview.row import Effect, PreviewReason
from webhook.report.reasons import CATALOG, WRITE_RESULTS
from webhook.report.revocation import REVOKE_RESULTS
from webhook.report.usage import ANONYMOUS_RESULTS, TOTAL_RESULTS, USE_RESULTS
from webhook.rules.actions import FindingReason
from webhook.rules.configuration import Reason
from webhook.rules.copy_status import CopyState
from webhook.rules.credential import SourceReason
from webhook.rules.expiry import ExpiryReason
from webhook.rules.gates import MAX_IMAGES
from webhook.rules.healing import HealingReason
from webhook.rules.rollout import HoldReason
from webhook.rules.subject import MAX_ENTRIES
from webhook.serve.endpoint import LARGEST_BODY, MAX_HELD_BYTES
from webhook.serve.handler import ReviewReply
from webhook.serve.review import LONGEST_NUMBER, LONGEST_UID, MAX_CONSPICUOUS
from webhook.sync.status_index import Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.chart.declared import Value

__all__ = [
    "ANONYMOUS_RESULTS",
    "CHECK_RESULTS",
    "COVERAGE_RESULTS",
    "REVOKE_RESULTS",
    "TOTAL_RESULTS",
    "USE_RESULTS",
    "CopyState",
    "Effect",
    "ExpiryReason",
    "FindingReason",
    "HealingReason",
    "HoldReason",
    "PreviewReason",
    "Reason",
    "Result",
    "SourceReason",
]
"""Enumerations and words that blocks pass to :func:`reasons`, :func:`states` and :func:`sentence`."""

ROOT = Path(__file__).parents[1]
KIB, MIB = 1024, 1024 * 1024

_CELLS = re.compile(r"(?<!\\)\|")


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    previous: str = "",
    *,
    key: int = 1,
    ordered_by_hand: bool = False,
    new: Mapping[str, str] | None = None,
) -> str:
    """Return a Markdown table, with a blank line before and after it.

    Cells that a row lacks at its end are kept from the row of ``previous`` with the same first ``key`` cells, or are
    that of ``new``. ``ordered_by_hand`` keeps the order of ``previous``, too. Raise ValueError without such a cell.
    """
    kept = {tuple(cells[:key]): cells for cells in map(_cells, previous.strip().splitlines()[2:])}
    ordered_rows = [tuple(row) for row in rows]
    if ordered_by_hand:
        order = {cells: position for position, cells in enumerate(kept)}
        ordered_rows.sort(key=lambda row: order.get(row[:key], len(order)))
    lines = [_completed(row, len(head) - len(row), kept.get(row[:key]), new or {}) for row in ordered_rows]
    body = "\n".join("".join(f"| {cell} " if cell else "| " for cell in cells) + "|" for cells in lines)
    return f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}\n{body}\n\n"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in _CELLS.split(line)[1:-1]]


def _completed(row: tuple[str, ...], lacking: int, kept: list[str] | None, new: Mapping[str, str]) -> tuple[str, ...]:
    if not lacking:
        return row
    if kept is not None:
        return (*row, *kept[-lacking:])
    if lacking == 1 and row[0] in new:
        return (*row, new[row[0]])
    raise ValueError(f"the page has no text for {row[0]}: add the row to the table by hand, then run `make fix`")


def _code(*words: str) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _one_of(words: Sequence[str]) -> str:
    *others, last = (f"`{word}`" for word in words)
    return f"{', '.join(others)} or {last}" if others else last


def sentence(subject: str, words: Iterable[str]) -> str:
    """Return a sentence that lists every value: "`effect` is `a`, `b` or `c`."."""
    return f"\n{subject} {_one_of(list(words))}.\n\n"


def texts(module: Path) -> set[str]:
    """Return the text constants of a module."""
    tree = ast.parse(module.read_text())
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


# Commands


@functools.cache
def commands() -> dict[str, typer.core.TyperCommand]:
    """Return the commands by their names."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    return {name: command for name, command in group.commands.items() if isinstance(command, typer.core.TyperCommand)}


def flags(command: str, previous: str) -> str:
    """Return the flags of a command. A new flag gets the words of ``--help``, without the capital and the full stop."""
    parameters: list[Any] = list(commands()[command].params)
    return table(
        ("flag", "environment", "default", "value", "meaning"),
        [(_names(flag), _code(*filter(None, [flag.envvar])), _default(flag), _value(flag)) for flag in parameters],
        previous,
        new={_names(flag): f"{flag.help[:1].lower()}{flag.help[1:].rstrip('.')}" for flag in parameters},
    )


def _names(flag: Any) -> str:  # noqa: ANN401 - typer's own parameter class is not public
    return _code(*flag.opts, *flag.secondary_opts)


def _default(flag: Any) -> str:  # noqa: ANN401
    if flag.required:
        return "required"
    if flag.secondary_opts:
        return _code((flag.opts if flag.default else flag.secondary_opts)[0])
    return "" if flag.default in (None, False, "") or callable(flag.default) else _code(str(flag.default))


def _value(flag: Any) -> str:  # noqa: ANN401
    kind = flag.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        words = _one_of(list(kind))
    elif flag.max is not None:
        words = f"{flag.min} to {flag.max}"
    else:
        words = "" if kind is bool else _code(flag.metavar or "TEXT")
    return f"{words}, repeatable" if flag.multiple else words


def exit_codes(previous: str) -> str:
    """Return the exit codes of all commands."""
    return table(("code", "meaning"), [(str(code),) for code in (0, 1, EXIT_USAGE, EXIT_BUG, EXIT_UNDECIDED)], previous)


def targets(previous: str) -> str:
    """Return the targets of the Makefile that ``make help`` lists."""
    names = re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return table(("target", "purpose"), [(_code(f"make {name}"),) for name in names], previous, ordered_by_hand=True)


# Words that a person may meet


def reasons(*kinds: Iterable[str]) -> str:
    """Return reason ids with their meaning and advice, in the order of the catalogue."""
    chosen = {str(reason) for kind in kinds for reason in kind}
    rows = [(_code(reason), text.meaning, text.advice) for reason, text in CATALOG.items() if reason in chosen]
    return table(("id", "meaning", "what to do"), rows)


def states(head: Sequence[str], kind: Iterable[str], previous: str) -> str:
    """Return the members of an enumeration, or words; their meaning is written by hand."""
    return table(head, [(_code(str(state)),) for state in kind], previous, ordered_by_hand=True)


def write_results() -> str:
    """Return the results of a write with their meaning."""
    meanings = {"ok": "the write succeeded"} | {result: text.meaning for result, text in WRITE_RESULTS.items()}
    return table(("result", "meaning"), [(_code(str(result)), meanings[result]) for result in Result])


def check_codes() -> str:
    """Return the codes of ``check``, with a link to the section of each."""
    anchors = {code: link(code).removeprefix(PAGE) for code in CODES}
    return table(("code", "checked"), [(f"[{code}]({anchors[code]})", check.title) for code, check in CODES.items()])


def events(previous: str) -> str:
    """Return the Events of the controller: each text in CamelCase of its modules is the reason of one."""
    modules = (ROOT / "webhook/sync").glob("*.py")
    names = {text for module in modules for text in texts(module) if re.fullmatch(r"([A-Z][a-z]+){2,}", text)}
    return table(("reason", "on", "when"), [(_code(name),) for name in sorted(names)], previous, ordered_by_hand=True)


def causes() -> str:
    """Return the causes of rejections at a port."""
    return table(("cause", "meaning"), [(_code(cause), meaning) for cause, meaning in CAUSES.items()])


# Metrics and status


def metrics_of(metrics: ProcessMetrics) -> dict[str, tuple[str, list[str], str]]:
    """Return type, labels and help of each metric of a role, by its name in Prometheus; the process's own left out."""
    suffixes = {"counter": "_total", "info": "_info"}
    # Collectors that build their metrics for each scrape have labels only in their samples.
    declared = {
        names[0]: list(collector._labelnames)
        for collector, names in metrics.registry._collector_to_names.items()
        if hasattr(collector, "_labelnames")
    }
    return {
        family.name + suffixes.get(family.type, ""): (
            family.type,
            [label for label in declared.get(family.name) or _labels(family) if label != "le"],
            family.documentation,
        )
        for family in metrics.registry.collect()
        if not family.name.startswith("process_")
    }


def _labels(family: Any) -> list[str]:  # noqa: ANN401 - prometheus_client's own
    return list(family.samples[0].labels) if family.samples else []


def roles() -> dict[str, ProcessMetrics]:
    """Return the metrics of each role, with a value for those that have none before the first time."""
    serve, sync = AdmissionMetrics(PortCounters()), SyncMetrics()
    serve.answered(ReviewReply(b"", "pods", "CREATE", Reason.INJECTED), 0.001)
    sync.follow_state(lambda: STATUS)
    return {"both": ProcessMetrics(), "serve": serve, "sync": sync}


def metrics(role: str, previous: str) -> str:
    """Return the metrics of "serve", of "sync" or of "both"; a new one gets its help text without the full stop."""
    of_role, shared = (metrics_of(roles()[name]) for name in (role, "both"))
    rows = {name: metric for name, metric in of_role.items() if role == "both" or name not in shared}
    return table(
        ("name", "type", "labels", "meaning"),
        [(_code(name), kind, _code(*labels)) for name, (kind, labels, _) in rows.items()],
        previous,
        ordered_by_hand=True,
        new={_code(name): f"{text[:1].lower()}{text[1:].rstrip('.')}" for name, (_, _, text) in rows.items()},
    )


def status_fields(previous: str) -> str:
    """Return the fields of ``/status`` with their JSON types."""
    shape = _shape(msgspec.inspect.type_info(SyncStatus))
    return table(("field", "type", "meaning"), [(_code(path), kind) for path, kind in shape.items()], previous)


def _shape(kind: Any, path: str = "") -> dict[str, str]:  # noqa: ANN401 - msgspec's own types
    """Return the JSON type of each field of a msgspec type, by its path as ``pullSecrets[].name``."""
    match kind:
        case msgspec.inspect.StructType():
            types_by_path = {} if not path else {path: "object"}
            for field in kind.fields:
                types_by_path |= _shape(field.type, f"{path}.{field.encode_name}" if path else field.encode_name)
            return types_by_path
        case msgspec.inspect.VarTupleType(item_type=item):
            inside = _shape(item, f"{path}[]")
            return {path: "list"} | {name: json_type for name, json_type in inside.items() if name != f"{path}[]"}
        case msgspec.inspect.UnionType(types=types):
            (only,) = (member for member in types if not isinstance(member, msgspec.inspect.NoneType))
            types_by_path = _shape(only, path)
            return types_by_path | {path: f"{types_by_path[path]} or null"}
        case msgspec.inspect.DictType():
            return {path: "object"}
        case msgspec.inspect.StrType() | msgspec.inspect.EnumType() | msgspec.inspect.DateTimeType():
            return {path: "text"}
        case msgspec.inspect.BoolType():
            return {path: "boolean"}
    return {path: "number"}


# Limits


def limits(previous: str) -> str:
    """Return the limits of both ports."""
    both = (ADMISSION, METRICS)
    return table(
        ("limit", "admission port", "metrics port", "if exceeded"),
        [
            ("connections", *(f"{port.connections:,}" for port in both)),
            ("bytes of a head: request line and headers", *(f"{port.head_bytes // KIB} KiB" for port in both)),
            ("headers of one request", *(f"fewer than {port.headers}" for port in both)),
            ("bytes of path and query", *(f"{port.target_bytes // KIB} KiB" for port in both)),
            ("bytes of a body", f"{LARGEST_BODY // MIB} MiB", "not read"),
            ("bytes of all bodies", f"{MAX_HELD_BYTES // MIB} MiB", "not read"),
            (
                "framing of a chunked body: sizes, extensions, trailers",
                f"{ADMISSION.chunk_bytes // KIB} KiB more than the body",
                "not read",
            ),
            ("requests in progress on one connection", "1", "1"),
            (
                "bytes of requests that wait on one connection",
                *(f"{port.pipeline_bytes // KIB} KiB" for port in both),
            ),
            ("requests that the application answers in parallel", *(str(port.applications) for port in both)),
            ("bytes of answers that a client does not read", *(f"{port.unread_bytes // KIB} KiB" for port in both)),
            (
                "bytes of unfinished heads, waiting requests and unread answers, all connections",
                *(f"{port.buffered_bytes // MIB} MiB" for port in both),
            ),
        ],
        previous,
    )


def deadlines() -> str:
    """Return the times that a client has at a port."""
    client = Deadlines()
    return table(
        ("part", "seconds"),
        [
            ("TLS handshake", f"{client.handshake:g}"),
            ("head, from its first byte", f"{client.header:g}"),
            ("body", f"{client.body:g}"),
            (f"reading answers, once {ADMISSION.unread_bytes // KIB} KiB wait", f"{client.answer:g}"),
            ("idle", f"{client.idle:g}"),
            ("reading the last answer before the connection is cut", f"{client.close:g}"),
        ],
    )


def work(previous: str) -> str:
    """Return the limits of the work for one review."""
    return table(
        ("limit", "value", "if exceeded"),
        [
            ("`uid`", f"{LONGEST_UID} bytes"),
            ("distinct images of a Pod", f"{MAX_IMAGES:,} are looked at"),
            ("entries of labels, containers, volumes and references", f"{MAX_ENTRIES:,}"),
            ("characters of a number", f"{LONGEST_NUMBER:,}"),
            ("numbers with an exponent of three digits or hundreds of digits", f"{MAX_CONSPICUOUS:,}"),
        ],
        previous,
    )


def uvicorn_parts() -> str:
    """Return the parts of uvicorn's server that the listeners rely on."""
    methods = [(_code(f"{part.name}({part.parameters})"), part.use, part.meaning) for part in METHODS]
    attributes = [(_code(part.path), part.use, part.meaning) for part in ATTRIBUTES]
    return table(("part of `uvicorn.Server`", "our listener", "what it does"), [*methods, *attributes])


# The chart


def rights(component: str, previous: str) -> str:
    """Return the rights of one ServiceAccount of the chart, with the names of a sample as the values that hold them."""
    return table(
        ("scope", "API group", "resource", "names", "verbs", "purpose"),
        [_right(namespace, rule) for namespace, rule in render(RIGHTS_SAMPLE).rights(component)],
        previous,
        key=4,
        ordered_by_hand=True,
    )


def _right(namespace: str | None, rule: Mapping[str, Any]) -> tuple[str, ...]:
    scope = {None: "cluster", NAMESPACE: "release", CANARY: "canary"}[namespace]
    (group,), resource = rule["apiGroups"], ", ".join(rule["resources"])
    names = _code(*dict.fromkeys(map(_value_of, rule["resourceNames"]))) if "resourceNames" in rule else "any"
    return (scope, group or "core", resource, names, ", ".join(rule["verbs"]))


RENEWING_SOURCE = {
    "serviceAccountToken": {
        "name": "zot",
        "registry": "zot.example.com",
        "username": "jwt",
        "audience": "zot",
        "serviceAccountName": "puller",
    }
}
NAMESPACE_TOKEN = {
    "serviceAccountToken": {**RENEWING_SOURCE["serviceAccountToken"], "name": "own", "perNamespace": True}
}
CANARY = "payments-staging"
WATCHING_ROLLOUT = {
    "prove": {"imagesFromPods": True},
    "canary": {"namespaces": [CANARY, "staging-*"], "watchPods": True},
}
RIGHTS_SAMPLE = {
    **SAMPLE,
    "healing": {"enabled": True, "perMinute": 20},
    "pullSecrets": [
        *SAMPLE["pullSecrets"],
        {"name": "renewing", "sources": [RENEWING_SOURCE, NAMESPACE_TOKEN]},
        {"name": "watched", "sources": [{"secretName": "harbor"}], "rollout": WATCHING_ROLLOUT},
    ],
}


def _value_of(name: str) -> str:
    pull_secrets = RIGHTS_SAMPLE["pullSecrets"]
    if name == RENEWING_SOURCE["serviceAccountToken"]["serviceAccountName"]:
        return "serviceAccountName"
    if name == f"{FULLNAME}-issued-zot":
        return "<fullname>-issued-<name>"
    if name in SAMPLE["retired"]:
        return "retired[]"
    if name in {entry["name"] for entry in pull_secrets}:
        return "pullSecrets[].name"
    if name in {source.get("secretName") for entry in pull_secrets for source in entry["sources"]}:
        return "pullSecrets[].sources[].secretName"
    return name.replace(FULLNAME, "<fullname>")


def alerts(previous: str) -> str:
    """Return the alerts of the chart, each with the anchor that its ``runbook_url`` names."""
    rules = [
        rule
        for group in yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
        for rule in group["rules"]
    ]
    rows = [
        (
            f'<a id="{rule["alert"].lower()}"></a>{_code(rule["alert"])}',
            rule["labels"]["severity"],
            rule.get("for", "immediately"),
        )
        for rule in rules
    ]
    return table(("alert", "severity", "for", "what to do"), rows, previous)


def configuration(previous: str) -> str:
    """Return the fields of the configuration document, as the schema of the chart's values has them."""
    rows = [(_code(path),) for path in ("apiVersion", "kind", *in_configuration())]
    return table(("field", "meaning", "default", "must be"), rows, previous, ordered_by_hand=True)


GENERAL = "General"
_WIDEST_DEFAULT = 60


def chart_values() -> str:
    """Return the values of the chart with the comments of values.yaml: a section and a table for each group."""
    declared = sorted(values(), key=lambda value: _section(value) != GENERAL)
    return (
        "".join(
            f"\n### {heading}\n"
            + table(
                ("value", "default", "meaning"),
                [(_code(value.path), _shown(value.default), value.meaning.replace("|", "\\|")) for value in group],
            ).removesuffix("\n")
            for heading, group in groupby(declared, _section)
        )
        + "\n"
    )


def _section(value: Value) -> str:
    section, _, rest = value.path.partition(".")
    return section if rest else GENERAL


def _shown(default: Any) -> str:  # noqa: ANN401 (a value is any JSON)
    text = json.dumps(default, ensure_ascii=False)
    return f"`{text}`" if len(text) <= _WIDEST_DEFAULT else "see [values.yaml](values.yaml)"
