"""Find the images that credentials cover, as the kubelet matches them.

An image of a running Pod is covered if one of the references of the Pod has a credential for its registry. It is not
known whether an image needs a credential. It probably does if a configured pull secret has one for its registry.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from webhook.report.protocol import RESULT, Line, Severity
from webhook.rules.credential import decode_base64
from webhook.rules.dockerconfig import COPY_KEY, LEGACY_KEY
from webhook.rules.go_json import JsonObject, decode
from webhook.rules.registry_key import UnusableKey, read_key
from webhook.rules.text import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from webhook.report.preview.secrets import Sources
    from webhook.rules.configuration import Configuration


def registries_in(payload: bytes) -> frozenset[str]:
    """Return the registries in a ``.dockerconfigjson``; none when it is unreadable."""
    # A tenant can write it, and the API server accepts deeper nesting than msgspec, and text that is not UTF-8.
    document = decode(payload)
    auths = document.named("auths") if isinstance(document, JsonObject) else ()
    keys = [key for value in auths if isinstance(value, JsonObject) for key, _ in value.pairs]
    return frozenset(registry for key in keys if (registry := _registry(key)) is not None)


def registries_of(data: Mapping[str, str]) -> frozenset[str]:
    """Return the registries in the ``data`` of a Secret of either type that nodes support."""
    whole, legacy = (decode_base64(data.get(key, "")) or b"" for key in (COPY_KEY, LEGACY_KEY))
    return registries_in(whole) if whole else registries_in(b'{"auths":%s}' % legacy)


def _registry(key: str) -> str | None:
    try:
        return str(read_key(key))
    except UnusableKey:
        return None


def uncovered(images: Collection[str], registries: Collection[str]) -> tuple[str, ...]:
    """Return the images for which the kubelet has no credential in the given keys."""
    keys = [read_key(registry) for registry in registries]
    return tuple(image for image in dict.fromkeys(images) if not any(key.covers(image) for key in keys))


def registries_for(configuration: Configuration, sources: Sources) -> dict[str, frozenset[str]]:
    """Return the registries of each pull secret whose sources are all known and valid."""
    credentials_by_name = {
        entry.name: [sources.credentials(name) for name in entry.sources] for entry in configuration.copied
    }
    tokens = {entry.name: [token.registry for token in entry.tokens] for entry in configuration.copied}
    return {
        name: frozenset((*(key for keys in credentials if keys for key in keys), *tokens[name]))
        for name, credentials in credentials_by_name.items()
        if all(keys is not None for keys in credentials)
    }


RESULTS = {Severity.OK: "covered", Severity.FAULT: "exposed", Severity.UNKNOWN: "unknown"}
"""The expected results of a pull on a fresh node, in words.

An image is exposed if no reference covers it, although a credential for its registry exists: the pull would fail. The
result is unknown if no credential for the registry is known, or if a Secret is unreadable.
"""


class Workload(msgspec.Struct, frozen=True):
    """The owner of a Pod, or the Pod itself, with the images and references of its Pods."""

    namespace: str
    title: str
    images: tuple[str, ...]
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImageExposure:
    """One image of one workload, and a sentence."""

    namespace: str
    workload: str
    image: str
    severity: Severity
    message: str
    references: tuple[str, ...] = field(default=(), compare=False)
    """Those of the Pods; Pods of one workload that differ only in these are one line."""

    @property
    def exposure(self) -> str:
        """The result in a word."""
        return RESULTS[self.severity]

    def line(self) -> Line:
        """Return the line for a table."""
        cells = (self.namespace, self.workload, self.exposure, self.image, self.message)
        return Line(cells, self.severity.value)

    def wide_line(self) -> Line:
        """Return the line for a table that has the references of the Pods, too."""
        cells, colour = self.line()
        return Line((*cells, ", ".join(self.references) or "<none>"), colour)


class Coverage(msgspec.Struct, frozen=True):
    """The images of all workloads."""

    images: tuple[ImageExposure, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The headings of the table."""
        return ("NAMESPACE", "WORKLOAD", RESULT, "IMAGE", "WHY")

    def lines(self) -> list[Line]:
        """Return the lines of the table."""
        return [image.line() for image in self.images]

    @property
    def wide_columns(self) -> tuple[str, ...]:
        """The headings of the wider table."""
        return (*self.columns, "REFERENCES")

    def wide_lines(self) -> list[Line]:
        """Return the lines of the wider table."""
        return [image.wide_line() for image in self.images]

    def titles(self) -> list[str]:
        """Return the workloads that a fresh node could not start."""
        return list(dict.fromkeys(exposure.workload for exposure in self.exposed))

    def document(self) -> dict[str, object]:
        """Return everything for programs."""
        total = Counter(image.severity for image in self.images)
        return {
            "images": [
                {
                    "namespace": exposure.namespace,
                    "workload": exposure.workload,
                    "image": exposure.image,
                    "result": exposure.exposure,
                    "why": exposure.message,
                    "references": list(exposure.references),
                }
                for exposure in self.images
            ],
            "summary": {word: total[severity] for severity, word in RESULTS.items()},
        }

    def summary(self) -> str:
        """Return the result as one line."""
        exposed = {(exposure.namespace, exposure.workload) for exposure in self.exposed}
        everything = {(exposure.namespace, exposure.workload) for exposure in self.images}
        unknown = sum(exposure.severity is Severity.UNKNOWN for exposure in self.images)
        more = f"; {counted(unknown, 'image')} without a known credential" if unknown else ""
        return f"{len(exposed)} of {counted(len(everything), 'workload')} would fail on a fresh node{more}"

    @property
    def exposed(self) -> list[ImageExposure]:
        """The images that a fresh node could not pull."""
        return [exposure for exposure in self.images if exposure.severity is Severity.FAULT]


def exposures(
    workload: Workload,
    credentials: Mapping[str, Collection[str] | None],
    configured: Mapping[str, Collection[str]],
) -> Iterator[ImageExposure]:
    """Yield the exposure of each image of a workload.

    ``credentials`` has for each reference the registries of the Secret that it names in the namespace. The value is
    empty without such a Secret, and None if it is unreadable. ``configured`` has the registries of each configured pull
    secret.
    """
    for image in workload.images:
        severity, message = _judge(image, workload.references, credentials, configured)
        yield ImageExposure(workload.namespace, workload.title, image, severity, message, workload.references)


def _judge(
    image: str,
    references: Sequence[str],
    credentials: Mapping[str, Collection[str] | None],
    configured: Mapping[str, Collection[str]],
) -> tuple[Severity, str]:
    covering = [name for name in references if not uncovered([image], credentials.get(name) or ())]
    if covering:
        return Severity.OK, f"by {covering[0]}"
    unread = [name for name in references if credentials.get(name, ()) is None]
    if unread:
        return Severity.UNKNOWN, f"Secret {unread[0]} cannot be read with your rights"
    could = [name for name, registries in configured.items() if not uncovered([image], registries)]
    if not could:
        return Severity.UNKNOWN, "no credential for its registry is known: it may be public"
    if could[0] not in references:
        return Severity.FAULT, f"{could[0]} has a credential for its registry, and the Pods do not reference it"
    return Severity.FAULT, f"the Secret {could[0]} that the Pods reference is missing, or has no credential for it"
