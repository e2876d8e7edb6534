"""The pages of the documentation, as far as tests compare them with the code."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "charts").rglob("*.md")])

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def section(page: Path, heading: str) -> str:
    (found,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", page.read_text(), re.MULTILINE | re.DOTALL)
    return str(found)


def rows(markdown: str) -> list[list[str]]:
    """Return the cells of each row of the first table, without the head."""
    table = re.search(r"(?:^\|.*\n)+", markdown, re.MULTILINE)
    assert table
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[0].splitlines()[2:]]


def first_column(page: str, heading: str) -> list[str]:
    """Return what the rows of the table of a section are about."""
    return [cells[0].strip("`") for cells in rows(section(DOCS / page, heading))]


def in_code(text: str) -> list[str]:
    """Return what stands in code: the words of `…`, of "```" blocks whole."""
    return [*FENCE.findall(text), *re.findall(r"`([^`\n]+)`", FENCE.sub("", text))]


def blocks(page: Path, language: str) -> list[str]:
    """Return the blocks of code of a page in one language, in their order, without the indentation of a list."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for _, block in found]


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def texts(module: Path) -> set[str]:
    """Return the text constants of a module."""
    tree = ast.parse(module.read_text())
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
