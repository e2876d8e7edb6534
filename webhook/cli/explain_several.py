"""Implement the part of ``pullsecrets explain`` that explains all objects of a kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from webhook.cli.cluster import reading, usual_namespace
from webhook.cli.printing import standard_output, tell
from webhook.cli.progress import progress
from webhook.cli.render import Form, write_document, write_names
from webhook.cli.verdict import ExplainFormat, write_explanation, write_verdict
from webhook.errors import UsageError
from webhook.inspect.release import find_release
from webhook.inspect.selection import Selection, explain_selection

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

    from webhook.inspect.release import ReleaseQuery
    from webhook.report.explain.selected import Explanations


class SelectionFlags(msgspec.Struct, frozen=True):
    """The kind and the flags that choose its objects."""

    kind: str
    namespace: str
    selector: str
    everywhere: bool

    def namespace_in(self, kubeconfig: Path | None, context: str) -> str:
        """Return the namespace to read, empty for all. Raises UsageError for contradictory flags."""
        if self.namespace and self.everywhere:
            raise UsageError("-n selects one namespace, -A selects all: give one of them")
        if self.everywhere or self.kind == "Namespace":
            return ""
        return self.namespace or usual_namespace(kubeconfig, context)


def explain_several(
    flags: SelectionFlags,
    release_query: ReleaseQuery,
    kubeconfig: Path | None,
    context: str,
    output: ExplainFormat,
    *,
    verbose: bool,
) -> bool:
    """Print the explanation of each object; return True if one of them needs attention."""
    selection = Selection(flags.kind, flags.namespace_in(kubeconfig, context), flags.selector)
    with progress() as on_page, reading(kubeconfig, context, on_page) as reader:
        report = explain_selection(reader, find_release(reader, release_query), selection)
    with standard_output() as file:
        _write(report, output, file, verbose=verbose)
    tell(report.summary())
    return bool(report.needing_attention)


def _write(report: Explanations, output: ExplainFormat, file: TextIO, *, verbose: bool) -> None:
    if output in (ExplainFormat.JSON, ExplainFormat.YAML):
        write_document(report.document(), Form(output), file)
    elif output is ExplainFormat.NAME:
        write_names((explanation.title for explanation in report.needing_attention), file)
    elif verbose or output is ExplainFormat.WIDE:
        for at, explanation in enumerate(report.explanations):
            file.write("\n" if at else "")
            write_explanation(replace(explanation, verbose=True), file, wide=output is ExplainFormat.WIDE)
    else:
        for explanation in report.explanations:
            write_verdict(explanation, file)
