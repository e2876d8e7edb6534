"""Check that healing has not stopped at a controller: the Secret with the state of sync names these controllers."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from webhook.inspect.checks.result import Check, Context, Outcome, finding, unknown
from webhook.inspect.healing import read_records
from webhook.rules.healing import Trial
from webhook.rules.state_document import STATE_SUFFIX
from webhook.rules.text import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

CODE = "PSW072"


def _look(context: Context) -> Iterator[Outcome]:
    installed = context.installed
    if not installed.configuration.healing.enabled:
        return
    records = read_records(context.reader, installed)
    if records is None:
        right = f"get secrets/{installed.fullname}{STATE_SUFFIX} in namespace {installed.release.namespace}"
        yield unknown(CODE, f"you lack the right to {right}", right)
        return
    for record in sorted(records.values(), key=lambda each: (each.namespace, each.owner)):
        if record.trial is Trial.REFUTED:
            detail = (
                f"healing evicts no further Pod of {record.owner} in namespace {record.namespace}: the Pod that "
                f"replaced an evicted one lacks {listed(record.names)}, too"
            )
            where = shlex.quote(record.namespace)
            yield finding(CODE, detail, f"pullsecrets explain {shlex.quote(record.owner.lower())} -n {where}")


HEALING = Check((CODE,), _look)
