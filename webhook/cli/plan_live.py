"""Implement the part of ``pullsecrets plan`` that reads a cluster."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from webhook.cli.cluster import reading, release_query_of, usual_namespace
from webhook.cli.printing import tell
from webhook.cli.progress import progress
from webhook.cli.target import parse_target
from webhook.errors import UsageError
from webhook.inspect.forecast import NamespaceQuery, WhatIf, forecast, forecast_rotation, held_warning, unretired_names
from webhook.inspect.release import find_release
from webhook.report.preview.cluster import summarized

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from webhook.files.values import ChartValues
    from webhook.report.preview.preview import Preview
    from webhook.report.rotation_forecast import RotationForecast


class ScopeFlags(msgspec.Struct, frozen=True):
    """The flags for the namespaces to read and for assumptions."""

    namespace: str
    everywhere: bool
    selector: str
    label: tuple[str, ...]
    unlabel: tuple[str, ...]

    def scope(self, usual: str) -> NamespaceQuery:
        """Return the scope, by default the ``usual`` namespace. Raises UsageError for contradictory flags."""
        if self.namespace and (self.everywhere or self.selector):
            raise UsageError("-n selects one namespace, -A and -l select several: give one of them")
        what_if = WhatIf(_namespaces(self.label, "--label"), _namespaces(self.unlabel, "--unlabel"))
        if both := sorted(what_if.opted_in & what_if.opted_out):
            raise UsageError(f"--label and --unlabel both name namespace {both[0]}: give one of them")
        if self.everywhere or self.selector or len(what_if.names) > 1:
            return NamespaceQuery(selector=self.selector, what_if=what_if)
        return NamespaceQuery(self.namespace or next(iter(what_if.names), "") or usual, what_if=what_if)


def of_cluster(
    flags: ScopeFlags,
    config: Path | ChartValues | None,
    kubeconfig: Path | None,
    context: str,
    release_namespace: str,
    release: str,
) -> Preview:
    """Return the changes that would happen in a cluster."""
    scope = flags.scope(usual_namespace(kubeconfig, context))
    with progress() as on_page, reading(kubeconfig, context, on_page) as reader:
        installed = find_release(reader, release_query_of(config, release_namespace, release, scope.namespace))
        result = forecast(reader, installed, scope, datetime.now(UTC), issues=True)
        held = held_warning(reader, installed, result)
        result = replace(result, is_complete=not reader.missing)
    if not scope.namespace:
        result = summarized(result, installed.release.namespace, scope.lists_all_of)
    if held:
        tell(f"warning: {held}")
    if names := unretired_names(installed.running, installed.configuration):
        tell(f"warning: {', '.join(names)}: no sources in pullSecrets and not in retired, so their copies would stay")
    return result


def rotation_of(
    name: str,
    config: Path | ChartValues | None,
    kubeconfig: Path | None,
    context: str,
    release_namespace: str,
    release: str,
) -> RotationForecast:
    """Return the prediction for a rotation of a pull secret."""
    with progress() as on_page, reading(kubeconfig, context, on_page) as reader:
        installed = find_release(reader, release_query_of(config, release_namespace, release))
        return forecast_rotation(reader, installed, name)


def _namespaces(targets: Iterable[str], flag: str) -> frozenset[str]:
    parsed_targets = [parse_target(target, "ns/NAME") for target in targets]
    for target in parsed_targets:
        if target.kind != "Namespace":
            raise UsageError(f"{flag} {target.kind.lower()}/{target.name} is not a namespace: write ns/NAME")
    return frozenset(target.name for target in parsed_targets)
