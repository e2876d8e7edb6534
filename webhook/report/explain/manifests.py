"""Explain objects in manifests, as if they were created now."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from webhook.report.coverage import registries_for
from webhook.report.explain.explanation import (
    Scene,
    explain_namespace,
    explain_other,
    explain_subject,
    explain_unreadable,
)
from webhook.report.preview.objects import is_subject, read_subject
from webhook.report.preview.world import NO_NAMESPACES, survey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook.report.explain.step import Explanation
    from webhook.report.preview.manifest import Manifest
    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import Namespace


def explain_manifest(
    manifests: Sequence[Manifest],
    configuration: Configuration,
    release_namespace: str,
    kind: str,
    name: str,
    namespace: str,
    known: Mapping[str, Namespace] = NO_NAMESPACES,
) -> Explanation | None:
    """Return each gate for one object of ``manifests``, for a workload that of its Pods; None if it is absent.

    ``known`` are namespaces from other sources. A Service of Knative takes precedence over a Service of its name.
    """
    where = name if kind == "Namespace" else namespace
    fitting = sorted((each for each in reversed(manifests) if _is(each, kind, name, where)), key=_is_of_no_interest)
    if not fitting:
        return None
    found = fitting[0]
    world = survey(manifests, configuration, release_namespace, known)
    scene = Scene(world, registries=registries_for(world.configuration, world.sources))
    if found.is_core("Namespace") and name in world.states:
        return explain_namespace(scene, name)
    if found.is_core("Namespace"):
        return explain_unreadable(found.kind, name, name)
    if not is_subject(found):
        return explain_other(found.kind, name, namespace)
    subject = read_subject(found)
    if subject is None:
        return explain_unreadable(found.kind, name, namespace)
    return replace(explain_subject(scene, subject), title=found.title)


def _is_of_no_interest(manifest: Manifest) -> bool:
    return not (is_subject(manifest) or manifest.is_core("Namespace"))


def _is(manifest: Manifest, kind: str, name: str, namespace: str) -> bool:
    same_kind = manifest.kind.lower() in (kind.lower(), kind.lower().removesuffix("s"))
    return same_kind and (manifest.name, manifest.namespace) == (name, namespace)
