"""The modules of the product import each other without a cycle, also where only types are imported."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import certs
import webhook
from webhook.cli.commands import OVERVIEW

MODULES = {
    ".".join(path.relative_to(folder.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in (Path(next(iter(package.__path__))) for package in (webhook, certs))
    for path in folder.rglob("*.py")
}


def imported_by(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else str(node.module) for name in names)


def test_no_module_imports_itself_through_others() -> None:
    graph = {name: {other for other in imported_by(path) if other in MODULES} for name, path in MODULES.items()}
    assert graph["webhook.cli"] >= {"webhook.cli.commands", "webhook.cli.completion"}
    # Commands are imported by name, when they run.
    graph["webhook.cli.commands"] |= {f"webhook.cli.{name}" for name in OVERVIEW} & set(MODULES)
    assert "webhook.cli.plan" in graph["webhook.cli.commands"]
    TopologicalSorter(graph).prepare()  # raises CycleError with the modules of a cycle
