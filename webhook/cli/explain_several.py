"""Implement the part of ``pullsecrets explain`` that explains all objects of a kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from webhook.cli.cluster import reading, usual_namespace
from webhook.cli.printing import standard_output, tell
from webhook.cli.progress import progress
from webhook.cli.render import Form, write_document, write_names
from webhook.cli.verdict import Output, write_explanation, write_verdict
from webhook.errors import UsageError
from webhook.inspect.release import find_release
from webhook.inspect.selection import Selection, explain_selection

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

    from webhook.inspect.release import Wanted
    from webhook.report.explain.selected import Selected


class Asked(msgspec.Struct, frozen=True):
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
    asked: Asked, whose: Wanted, kubeconfig: Path | None, context: str, output: Output, *, verbose: bool
) -> bool:
    """Print the explanation of each object; return True if one of them needs attention."""
    selection = Selection(asked.kind, asked.namespace_in(kubeconfig, context), asked.selector)
    with progress() as seen, reading(kubeconfig, context, seen) as reader:
        found = explain_selection(reader, find_release(reader, whose), selection)
    with standard_output() as file:
        _write(found, output, file, verbose=verbose)
    tell(found.summary())
    return bool(found.needing_attention)


def _write(found: Selected, output: Output, file: TextIO, *, verbose: bool) -> None:
    if output in (Output.JSON, Output.YAML):
        write_document(found.document(), Form(output), file)
    elif output is Output.NAME:
        write_names((each.title for each in found.needing_attention), file)
    elif verbose or output is Output.WIDE:
        for at, each in enumerate(found.explanations):
            file.write("\n" if at else "")
            write_explanation(replace(each, verbose=True), file, wide=output is Output.WIDE)
    else:
        for each in found.explanations:
            write_verdict(each, file)
