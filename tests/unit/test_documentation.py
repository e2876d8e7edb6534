"""The documentation and the program tell the same: each list is compared both ways."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import typer.core
import typer.main
import yaml

from tests.unit.observe.statuses import STATUS
from webhook.admission.handler import Answer
from webhook.cli import app, main
from webhook.config.document import API_VERSION, KIND, parse
from webhook.core.model import Reason
from webhook.core.standing import CopyState
from webhook.live.check.codes import TITLES
from webhook.observe.metrics import AdmissionMetrics, ProcessMetrics
from webhook.observe.sync_metrics import SyncMetrics
from webhook.observe.sync_status import SyncStatus
from webhook.observe.traffic import Traffic
from webhook.sync.outcome import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "charts").rglob("*.md")])
README = ROOT / "README.md"

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CAMEL_CASE = re.compile(r"([A-Z][a-z]+){2,}")
TARGET = re.compile(r"^([a-z0-9-]+):.*## ", re.MULTILINE)

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def section(page: Path, heading: str) -> str:
    (found,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", page.read_text(), re.MULTILINE | re.DOTALL)
    return str(found)


def rows(markdown: str) -> list[list[str]]:
    """Return the cells of each row of the first table, without the head."""
    table = re.search(r"(?:^\|.*\n)+", markdown, re.MULTILINE)
    assert table
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[0].splitlines()[2:]]


def in_code(text: str) -> list[str]:
    """Return what stands in code: the words of `…`, of "```" blocks whole."""
    return [*FENCE.findall(text), *re.findall(r"`([^`\n]+)`", FENCE.sub("", text))]


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


# Metrics


def metrics_of(metrics: ProcessMetrics) -> dict[str, tuple[str, frozenset[str]]]:
    """Return type and labels of each metric of a role, by the name that Prometheus knows it by."""
    suffixes = {"counter": "_total", "info": "_info"}
    labels = {known[0]: collector._labelnames for collector, known in _collectors(metrics)}
    return {
        family.name + suffixes.get(family.type, ""): (
            family.type,
            # What is collected anew for each scrape, and the build, say their labels only by their samples.
            frozenset(labels.get(family.name) or (family.samples[0].labels if family.samples else ())) - {"le"},
        )
        for family in metrics.registry.collect()
        if not family.name.startswith("process_")
    }


def _collectors(metrics: ProcessMetrics) -> Iterator[tuple[Any, list[str]]]:
    """Yield the collectors that have labels, with their names; prometheus_client has no public way to them."""
    for collector, known in metrics.registry._collector_to_names.items():
        if hasattr(collector, "_labelnames"):
            yield collector, known


def documented_metrics(heading: str) -> dict[str, tuple[str, frozenset[str]]]:
    return {
        name.strip("`"): (kind, frozenset(names(labels)))
        for name, kind, labels, meaning in rows(section(DOCS / "metrics.md", heading))
        if meaning and not name.startswith("`process_")
    }


def serve_metrics() -> AdmissionMetrics:
    metrics = AdmissionMetrics(Traffic())
    metrics.answered(Answer(b"", "pods", "CREATE", Reason.INJECTED), 0.001)
    return metrics


def sync_metrics() -> SyncMetrics:
    metrics = SyncMetrics()
    metrics.follow_state(lambda: STATUS)
    return metrics


@pytest.mark.parametrize(
    ("role", "metrics"),
    [pytest.param("serve", serve_metrics(), id="serve"), pytest.param("sync", sync_metrics(), id="sync")],
)
def test_the_documented_metrics_are_those_of_the_role(role: str, metrics: ProcessMetrics) -> None:
    assert documented_metrics("Both roles") | documented_metrics(role) == metrics_of(metrics)


def test_the_metrics_of_both_roles_are_those_that_every_process_has() -> None:
    assert documented_metrics("Both roles") == metrics_of(ProcessMetrics())


def test_the_metrics_of_the_process_are_documented_where_there_are_any() -> None:
    documented = {cells[0].strip("`") for cells in rows(section(DOCS / "metrics.md", "Both roles"))}
    families = [family for family in ProcessMetrics().registry.collect() if family.name.startswith("process_")]
    exported = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    assert exported <= documented


def test_the_documented_actions_are_those_that_the_executor_counts() -> None:
    (meaning,) = (cells[3] for cells in rows(section(DOCS / "metrics.md", "sync")) if "sync_writes" in cells[0])
    words = {"copy", "references"}
    counted = {text for text in _texts(ROOT / "webhook/sync/writes.py") if re.fullmatch(r"\w+ \w+ed", text)}
    assert {name for name in names(meaning) if name.split()[0] in words} == counted - {"copy applied"}


# Status


def shape_of(kind: Any, path: str = "") -> dict[str, str]:  # noqa: ANN401 - msgspec's own types
    """Return the JSON type of each field of a msgspec type, by its path as ``pullSecrets[].name``."""
    match kind:
        case msgspec.inspect.StructType():
            found = {} if not path else {path: "object"}
            for field in kind.fields:
                found |= shape_of(field.type, f"{path}.{field.encode_name}" if path else field.encode_name)
            return found
        case msgspec.inspect.VarTupleType(item_type=item):
            return {path: "list"} | {
                name: what for name, what in shape_of(item, f"{path}[]").items() if name != f"{path}[]"
            }
        case msgspec.inspect.UnionType(types=types):
            (only,) = (each for each in types if not isinstance(each, msgspec.inspect.NoneType))
            found = shape_of(only, path)
            return found | {path: f"{found[path]} or null"}
        case msgspec.inspect.DictType():
            return {path: "object"}
        case msgspec.inspect.StrType() | msgspec.inspect.EnumType():
            return {path: "text"}
        case msgspec.inspect.BoolType():
            return {path: "boolean"}
    return {path: "number"}


def test_the_documented_fields_of_the_status_are_those_that_it_has() -> None:
    documented = {cells[0].strip("`"): cells[1] for cells in rows(section(DOCS / "status.md", "Fields"))}
    assert documented == shape_of(msgspec.inspect.type_info(SyncStatus))


def test_the_documented_states_of_a_copy_are_those_that_there_are() -> None:
    assert [cells[0].strip("`") for cells in rows(section(DOCS / "status.md", "States"))] == list(CopyState)


def test_the_documented_results_of_a_write_are_those_that_there_are() -> None:
    assert [cells[0].strip("`") for cells in rows(section(DOCS / "metrics.md", "Results of a write"))] == list(Result)


# Commands


def commands() -> dict[str, typer.core.TyperCommand]:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    return {name: command for name, command in group.commands.items() if isinstance(command, typer.core.TyperCommand)}


def flags_of(command: typer.core.TyperCommand) -> list[tuple[set[str], str, str]]:
    """Return names, environment variable and default of each flag."""
    return [({*flag.opts, *flag.secondary_opts}, str(flag.envvar or ""), _default(flag)) for flag in command.params]


def _default(flag: Any) -> str:  # noqa: ANN401 - typer's own parameter class is not public
    if flag.required:
        return "required"
    if flag.secondary_opts:
        return str((flag.opts if flag.default else flag.secondary_opts)[0])
    return "" if flag.default is None or callable(flag.default) else str(flag.default)


def test_every_command_is_documented_and_no_other() -> None:
    headings = re.findall(r"^## pullsecrets (\w+)$", (DOCS / "commands.md").read_text(), re.MULTILINE)
    assert headings == list(commands())


@pytest.mark.parametrize("name", list(commands()))
def test_the_documented_flags_are_those_of_the_command(name: str) -> None:
    table = rows(section(DOCS / "commands.md", f"pullsecrets {name}"))
    documented = [(names(flag), env.strip("`"), default.strip("`")) for flag, env, default, _ in table]
    assert documented == flags_of(commands()[name])
    assert all(meaning for *_, meaning in table)


@pytest.mark.parametrize("name", ["serve", "sync"])
def test_every_flag_of_a_process_is_an_environment_variable_of_the_same_name(name: str) -> None:
    for command_flags, env, _ in flags_of(commands()[name]):
        assert f"--{env.removeprefix('PULLSECRETS_').lower().replace('_', '-')}" in command_flags


@pytest.mark.parametrize("name", list(commands()))
def test_the_help_of_each_command_has_examples_that_are_flags_of_it(name: str) -> None:
    command = commands()[name]
    known = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    lines = [
        line.strip().removeprefix("source <(")
        for line in (command.help or "").splitlines()
        if line.strip().startswith(("pullsecrets ", "source <(pullsecrets "))
    ]
    assert lines
    for line in lines:
        assert line.split()[1] == name
        assert set(re.findall(r"(?<=\s)--?[a-zA-Z][a-z-]*", line)) <= known


def test_every_check_has_a_section_and_no_other_has() -> None:
    headings = re.findall(r"^## (PSW\d+): (.+)$", (DOCS / "check.md").read_text(), re.MULTILINE)
    assert headings == list(TITLES.items())


def test_every_section_of_a_check_says_what_to_do() -> None:
    sections = re.split(r"^## ", (DOCS / "check.md").read_text(), flags=re.MULTILINE)
    for text in sections:
        if text.startswith("PSW"):
            assert "\n**What to do:** " in text, text


# Events


def _texts(module: Path) -> set[str]:
    tree = ast.parse(module.read_text())
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_the_documented_events_are_those_that_sync_writes() -> None:
    modules = (ROOT / "webhook/sync").glob("*.py")
    written = {text for module in modules for text in _texts(module) if CAMEL_CASE.fullmatch(text)}
    assert {cells[0].strip("`") for cells in rows(section(DOCS / "sync.md", "Events"))} == written


# What a person types


def test_every_make_target_in_the_documentation_exists() -> None:
    targets = set(TARGET.findall((ROOT / "Makefile").read_text()))
    named = {
        target
        for page in PAGES
        for code in in_code(page.read_text())
        for target in re.findall(r"(?:^|\s)make ([a-z0-9-]+)", code)
    }
    assert named <= targets


def test_every_make_target_is_in_contributing() -> None:
    listed = {cells[0].strip("`") for cells in rows(section(ROOT / "CONTRIBUTING.md", "Setting up"))}
    assert listed == {f"make {target}" for target in TARGET.findall((ROOT / "Makefile").read_text())}


def test_the_readme_begins_with_the_two_commands() -> None:
    commands_first = [line for line in FENCE.findall(README.read_text())[0].splitlines() if line.startswith("make ")]
    assert [" ".join(line.split("#")[0].split()) for line in commands_first] == ["make run ONCE=1", "make test"]


def test_the_plan_in_the_readme_is_what_plan_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (shown,) = (block for block in FENCE.findall(README.read_text()) if "pullsecrets plan" in block)
    command, *expected = shown.splitlines()[1:-1]
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("PULLSECRETS_NAMESPACE", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(command.partition("pullsecrets ")[2].split())
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert (printed.out + printed.err).splitlines() == expected


def test_the_values_in_the_readme_are_a_valid_configuration() -> None:
    (values,) = (block for block in FENCE.findall(README.read_text()) if block.startswith("```yaml"))
    loaded = yaml.safe_load("\n".join(values.splitlines()[1:-1]))
    document = {"apiVersion": API_VERSION, "kind": KIND, "pullSecrets": loaded["pullSecrets"]}
    assert parse(yaml.safe_dump(document), "README.md").pull_secrets


# Pages


@every_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@every_page
def test_no_page_names_a_path_of_one_machine(page: Path) -> None:
    text = page.read_text()
    for own in (ROOT, Path.home()):
        assert not re.search(rf"(?<![\w.~/-]){re.escape(str(own))}(?![\w-])", text)
    assert not re.search(r"(?<![\w.~/-])/(?:home|Users)/", text)
