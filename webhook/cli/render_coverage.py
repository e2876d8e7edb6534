"""Print the coverage of images: as a table, as JSON, or as one HTML page to share."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from webhook.cli.output import Form, PageForm, write_document
from webhook.cli.table import Table
from webhook.report.coverage import Exposure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from webhook.report.coverage import ImageExposure

HEADER = ("NAMESPACE", "WORKLOAD", "RESULT", "IMAGE", "WHY")
_COLOURS = {Exposure.COVERED: "green", Exposure.EXPOSED: "bold red", Exposure.UNKNOWN: "yellow"}
_CLASSES = {Exposure.COVERED: "state-current", Exposure.EXPOSED: "state-failing", Exposure.UNKNOWN: "state-missing"}
_ORDER = {exposure: place for place, exposure in enumerate((Exposure.EXPOSED, Exposure.UNKNOWN, Exposure.COVERED))}


def render(found: Sequence[ImageExposure], form: PageForm, file: TextIO) -> None:
    """Write the coverage to ``file``."""
    if form is PageForm.JSON:
        write_document(_document(found), Form.JSON, file)
    elif form is PageForm.HTML:
        file.write(_page(found))
    else:
        Table(
            header=HEADER,
            rows=[(each.namespace, each.workload, str(each.exposure), each.image, each.why) for each in found],
            colours=[_COLOURS[each.exposure] for each in found],
            coloured=2,
            identity=2,
        ).write(file)


def summary(found: Sequence[ImageExposure]) -> str:
    """Return the result as one line."""
    exposed = {(each.namespace, each.workload) for each in found if each.exposure is Exposure.EXPOSED}
    everything = {(each.namespace, each.workload) for each in found}
    unknown = sum(each.exposure is Exposure.UNKNOWN for each in found)
    more = f"; {unknown} images without a known credential" if unknown else ""
    return f"{len(exposed)} of {len(everything)} workloads would fail on a fresh node{more}"


def _document(found: Sequence[ImageExposure]) -> dict[str, object]:
    counted = Counter(str(each.exposure) for each in found)
    return {
        "images": [
            {
                "namespace": each.namespace,
                "workload": each.workload,
                "image": each.image,
                "result": str(each.exposure),
                "why": each.why,
            }
            for each in found
        ],
        "summary": {str(exposure): counted[exposure] for exposure in Exposure},
    }


def _page(found: Sequence[ImageExposure]) -> str:
    from webhook.ops.html import render as render_template  # noqa: PLC0415 - loads Jinja2

    return render_template(
        "coverage",
        summary=summary(found),
        columns=[name.capitalize() for name in HEADER],
        rows=sorted(found, key=lambda each: _ORDER[each.exposure]),
        classes=_CLASSES,
    )
