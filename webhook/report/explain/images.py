"""Steps about the images of an object: the credentials that its pull secrets have for them, and their expiry."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from webhook.report.coverage import uncovered
from webhook.report.explain.commands import create_source, expiry_command
from webhook.report.explain.step import Step
from webhook.report.preview.row import PreviewReason
from webhook.report.protocol import Severity
from webhook.report.reasons import advice
from webhook.rules.expiry import NO_EXPIRIES, ExpiryReason
from webhook.rules.images import names_of
from webhook.rules.registry_key import read_key
from webhook.rules.text import listed, some

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from webhook.report.preview.cluster_view import ClusterView
    from webhook.report.preview.secrets import Expected
    from webhook.rules.expiry import Expiries, Expiry
    from webhook.rules.objects import Subject

CLOSE_REGISTRY = 0.75
"""Similarity from 0 to 1 at which a registry may be a typing error of another."""

_UNCOVERED_SHOWN = 3
_REGISTRIES_SHOWN = 5


class ExpiringCredential(msgspec.Struct, frozen=True):
    """A credential of a pull secret that expires."""

    pull_secret: str
    registry: str
    expiry: Expiry


def known_expiries(expected: Mapping[str, Expected]) -> dict[str, Expiries]:
    """Return the times of expiry of each pull secret whose sources are known and name any."""
    return {name: content.expiries for name, content in expected.items() if content.expiries.by_registry}


def images_expiry_step(
    cluster: ClusterView,
    subject: Subject,
    registries: Mapping[str, Collection[str]],
    expiries: Mapping[str, Expiries],
    now: datetime,
) -> Step | None:
    """Return the step about the credentials for a Pod's images, which ``registries`` has by pull secret.

    None if no time of expiry is known. The kubelet tries each credential that covers an image. So an image can be
    pulled until the last of them expires, and a Pod until that of its first image.
    """
    if subject.kind != "Pod":
        return None
    lasting = [expiring for image in subject.images if (expiring := _lasting(image, registries, expiries)) is not None]
    if not lasting:
        return None
    return _step(cluster, min(lasting, key=_end), now)


def _lasting(
    image: str, registries: Mapping[str, Collection[str]], expiries: Mapping[str, Expiries]
) -> ExpiringCredential | None:
    """Return the credential for an image that expires last; None if that is unknown."""
    candidates = []
    for name, keys in registries.items():
        expiring = expiries.get(name, NO_EXPIRIES).by_registry
        for key in keys:
            if not read_key(key).covers(image):
                continue
            if key not in expiring:
                return None
            candidates.append(ExpiringCredential(name, key, expiring[key]))
    return max(candidates, key=_end, default=None)


def pull_secret_expiry_step(
    cluster: ClusterView, pull_secret: str, expiries: Mapping[str, Expiries], now: datetime
) -> Step | None:
    """Return the step about the credential of a pull secret that expires first; None if no expiry is known."""
    expiries_by_registry = expiries.get(pull_secret, NO_EXPIRIES).by_registry
    candidates = [
        ExpiringCredential(pull_secret, registry, expiry) for registry, expiry in expiries_by_registry.items()
    ]
    return _step(cluster, min(candidates, key=_end), now) if candidates else None


def _end(expiring: ExpiringCredential) -> datetime:
    return expiring.expiry.expires_at


def _step(cluster: ClusterView, expiring: ExpiringCredential, now: datetime) -> Step:
    reason = expiring.expiry.reason(now)
    message = f"the credential for {expiring.registry} {expiring.expiry.describe(now)}"
    gate = "expiry"
    if reason is None:
        return Step(gate, Severity.OK, message, pull_secret=expiring.pull_secret)
    severity = Severity.FAULT if reason is ExpiryReason.EXPIRED else Severity.NOTE
    source, where = _source(cluster, expiring), cluster.release_namespace or "RELEASE_NAMESPACE"
    renews = source in cluster.configuration.issued_names
    command = expiry_command(where, source, expiring.registry, renews=renews) if source else ""
    return Step(gate, severity, message, reason, advice(reason), expiring.pull_secret, command=command)


def _source(cluster: ClusterView, expiring: ExpiringCredential) -> str:
    """Return the source of the credential: the first one that names the registry; empty if it cannot be read."""
    entry = next(entry for entry in cluster.configuration.pull_secrets if entry.name == expiring.pull_secret)
    return next((name for name in entry.sources if expiring.registry in (cluster.sources.credentials(name) or ())), "")


def coverage_step(subject: Subject, registries: Mapping[str, Collection[str]]) -> Step | None:
    """Return the step about the credentials for a Pod's images in its pull secrets; None if nothing is known."""
    if subject.kind != "Pod" or not registries or not subject.images:
        return None
    lacking = uncovered(subject.images, {registry for keys in registries.values() for registry in keys})
    gate = "images"
    if not lacking:
        return Step(gate, Severity.OK, f"{listed(tuple(registries))} {_has(registries)} a credential for each image")
    shown = [*lacking[:_UNCOVERED_SHOWN], *(["…"] if len(lacking) > _UNCOVERED_SHOWN else [])]
    severity = Severity.FAULT if len(lacking) == len(dict.fromkeys(subject.images)) else Severity.UNKNOWN
    message = f"{listed(tuple(registries))} {_has(registries)} no credential for {', '.join(shown)}"
    offered = sorted({key for keys in registries.values() for key in keys})
    subject_words = "it has" if len(registries) == 1 else "they have"
    message = f"{message}; {subject_words} {_offered(lacking[0], offered)}"
    reason = PreviewReason.REGISTRY_NOT_COVERED
    return Step(gate, severity, message, reason, advice(reason))


def about_registry(step: Step, cluster: ClusterView, subject: Subject, names: Sequence[str]) -> Step:
    """Return the step about a registry without a credential; with the source, if its registry has a typing error."""
    # Without the question in the sentence, the copies do not have the registry that looks like a typing error.
    if step.reason != PreviewReason.REGISTRY_NOT_COVERED or not step.message.endswith("?"):
        return step
    registries_by_source = {
        name: sorted(cluster.sources.credentials(name) or {})
        for entry in cluster.configuration.pull_secrets
        if entry.name in names
        for name in entry.sources
    }
    lacking = uncovered(subject.images, {key for keys in registries_by_source.values() for key in keys})
    if not lacking:
        return step  # the copies do not hold yet what the sources have
    host = _host(lacking[0])
    where = cluster.release_namespace or "RELEASE_NAMESPACE"
    for source, registries in registries_by_source.items():
        if len(registries) == 1 and get_close_matches(host, registries, n=1, cutoff=CLOSE_REGISTRY):
            message = f"{step.message} If not, source {source} has the typing error"
            return replace(step, message=message, command=create_source(where, source, host, exists=True))
    return step


def _host(image: str) -> str:
    """Return the registry of an image."""
    names = names_of([image])
    return names[0].partition("/")[0] if names else image.partition("/")[0]


def _offered(image: str, registries: Sequence[str]) -> str:
    """Return which registries there are credentials for, and a question if one is close to that of an image."""
    close = get_close_matches(_host(image), registries, n=1, cutoff=CLOSE_REGISTRY)
    there = some(registries, _REGISTRIES_SHOWN) if registries else "none at all"
    return f"{there}; did you mean {close[0]}?" if close else there


def _has(names: Collection[str]) -> str:
    return "has" if len(names) == 1 else "have"
