"""Report who uses a credential: the workloads, images and namespaces of the Pods that would be pulled with it.

A use is one image of one workload for which the kubelet tries the credential. It tries all credentials that cover the
image, so a workload can use several: the first one, and the others if that is refused.

The totals count the Pods, workloads and images of every credential, and of the images that need none. Docker Hub limits
the pulls without a credential by address. A node that starts Pods of many such images reaches that limit, so their Pods
are counted for each image.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Generic, NamedTuple, TypeVar

import msgspec

from webhook.report.pod_groups import CredentialOrigin, Keyrings
from webhook.report.protocol import RESULT, Line, Severity
from webhook.rules.images import DOCKER_HUB, image_name
from webhook.rules.keyring import SecretState
from webhook.rules.text import counted, listed, some

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence

    from webhook.report.pod_groups import Owners, PodGroup
    from webhook.rules.configuration import Configuration
    from webhook.rules.keyring import Offer

SHOWN = 3
"""Names that one sentence has; the others are counted."""

USE_RESULTS = {Severity.OK: "used", Severity.NOTE: "fallback", Severity.UNKNOWN: "unknown"}
"""The order in which the kubelet tries the credential for an image, in words."""


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The result for one image of one workload, and a sentence."""

    words: ClassVar[Mapping[Severity, str]]
    """The results in words, by severity."""

    namespace: str
    workload: str
    image: str
    severity: Severity
    message: str
    tried: tuple[str, ...] = ()
    """Credentials that the kubelet tries for the image, in its order."""
    pods: int = field(default=0, compare=False)

    @property
    def result(self) -> str:
        """The result in a word."""
        return self.words[self.severity]

    def line(self) -> Line:
        """Return the line for a table."""
        cells = (self.namespace, self.workload, f"{self.pods}", self.result, self.image, self.message)
        return Line(cells, self.severity.value)

    def wide_line(self) -> Line:
        """Return the line for a table that has the credentials, too."""
        cells, colour = self.line()
        return Line((*cells, ", then ".join(self.tried) or "<none>"), colour)

    def document(self) -> dict[str, object]:
        """Return everything about the image for programs, without the credentials."""
        return {
            "namespace": self.namespace,
            "workload": self.workload,
            "pods": self.pods,
            "image": self.image,
            "result": self.result,
            "why": self.message,
        }


class Use(ImageResult):
    """One image of one workload for which the kubelet tries a credential; ``tried`` has all of them."""

    __slots__ = ()
    words = USE_RESULTS


I = TypeVar("I", bound=ImageResult)  # noqa: E741 - an image


class ImageReport(msgspec.Struct, Generic[I], frozen=True):
    """The results for all images for which the kubelet tries what a person calls ``name``."""

    credentials: ClassVar[str]
    """The heading of the column with the credentials that are tried."""

    name: str
    images: tuple[I, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The headings of the table."""
        return ("NAMESPACE", "WORKLOAD", "PODS", RESULT, "IMAGE", "WHY")

    def lines(self) -> list[Line]:
        """Return the lines of the table."""
        return [image.line() for image in self.images]

    @property
    def wide_columns(self) -> tuple[str, ...]:
        """The headings of the wider table."""
        return (*self.columns, self.credentials)

    def wide_lines(self) -> list[Line]:
        """Return the lines of the wider table."""
        return [image.wide_line() for image in self.images]

    def numbers(self, words: Mapping[Severity, str]) -> dict[str, object]:
        """Return the number of images with each result, by its word."""
        return {word: len(self.having(severity)) for severity, word in words.items()}

    def having(self, severity: Severity) -> list[I]:
        """Return the images with a result."""
        return [image for image in self.images if image.severity is severity]


class Usage(ImageReport[Use], frozen=True):
    """The uses of a source, of a pull secret, or of a Secret of namespaces."""

    credentials = "TRIED"

    def titles(self) -> list[str]:
        """Return the workloads that use it, or may use it."""
        return list(dict.fromkeys(use.workload for use in self.images))

    def document(self) -> dict[str, object]:
        """Return everything for programs."""
        return {
            "name": self.name,
            "uses": [{**use.document(), "tried": list(use.tried)} for use in self.images],
            "summary": self.numbers(USE_RESULTS),
        }

    def summary(self) -> str:
        """Return the result as one line."""
        workloads = {(use.namespace, use.workload) for use in self.images if use.severity is not Severity.UNKNOWN}
        namespaces = {namespace for namespace, _ in workloads}
        unknown = len(self.having(Severity.UNKNOWN))
        more = f"; {counted(unknown, 'image')} unknown" if unknown else ""
        where = f" in {counted(len(namespaces), 'namespace')}" if namespaces else ""
        verb = "uses" if len(workloads) == 1 else "use"
        if unknown and not workloads:
            verb = "are known to use"
        return f"{counted(len(workloads), 'workload')}{where} {verb} {self.name}{more}"


def usage_of(name: str, groups: Iterable[PodGroup], owners: Owners, configuration: Configuration) -> Usage:
    """Return the uses of a source, of a pull secret, or of the Secrets of namespaces with this name."""
    copies = {entry.name for entry in configuration.pull_secrets if name == entry.name or name in entry.sources}
    pods: Counter[Use] = Counter()
    keyrings = Keyrings()
    for group in groups:
        for image in group.images:
            use = _use(name, group, image, keyrings.offers(group.secrets, image), owners, {name, *copies})
            if use is not None:
                pods[use] += group.pods
    uses = [replace(use, pods=number) for use, number in pods.items()]
    return Usage(name, tuple(sorted(uses, key=lambda use: (use.namespace, use.workload, use.image))))


def _use(
    name: str, group: PodGroup, image: str, offers: Sequence[Offer], owners: Owners, copies: set[str]
) -> Use | None:
    origins = [owners.origin(offer) for offer in offers]
    texts = tuple(f"{origin} ({offer.key})" for origin, offer in zip(origins, offers, strict=True))
    positions = [position for position, origin in enumerate(origins) if origin.is_of(name)]
    unread = [secret for secret in group.in_state(SecretState.UNREAD) if secret in copies]
    possible = [offer for offer in offers if name in owners.candidates(offer)]
    if positions:
        severity, message = _judge(positions[0], origins, offers)
    elif possible:
        pull_secret, key = possible[0].secret.copy_of, possible[0].key
        message = f"it is not known which source of {pull_secret} the credential for {key} is from"
        severity = Severity.UNKNOWN
    elif unread:
        severity, message = Severity.UNKNOWN, f"Secret {unread[0]} cannot be read with your rights"
    else:
        return None
    return Use(group.namespace, group.workload, image, severity, message, texts)


def _judge(position: int, origins: Sequence[CredentialOrigin], offers: Sequence[Offer]) -> tuple[Severity, str]:
    others = list(dict.fromkeys(str(origin) for origin in origins if origin != origins[position]))
    if position:
        earlier = list(dict.fromkeys(map(str, origins[:position])))
        return Severity.NOTE, f"tried if it is refused with {listed(earlier)}"
    after = f", and {some(others, SHOWN)} if it is refused" if others else ""
    return Severity.OK, f"for {offers[position].key}{after}"


WORKLOADS_SHOWN = 5
"""Workloads and namespaces that one cell of the wider table has; the others are counted."""

TOTAL_RESULTS = {Severity.OK: "used", Severity.SKIPPED: "unused", Severity.UNKNOWN: "unknown"}
"""The use of a credential, in words."""

ANONYMOUS_RESULTS = {Severity.NOTE: "anonymous", Severity.UNKNOWN: "unknown"}
"""The way the kubelet pulls an image of Docker Hub, in words."""

NONE = "<none>"

_K = TypeVar("_K", bound="Hashable")


class PodTotals(NamedTuple):
    """Some Pods: their number, their workloads by namespace, and their images."""

    pods: int
    workloads: Mapping[str, frozenset[str]]
    images: frozenset[str]

    @property
    def number(self) -> int:
        """The number of workloads."""
        return sum(map(len, self.workloads.values()))

    @property
    def cells(self) -> tuple[str, str, str]:
        """The numbers of namespaces, workloads and Pods."""
        return f"{len(self.workloads)}", f"{self.number}", f"{self.pods}"

    def text(self) -> str:
        """Return the first workloads with their namespaces."""
        names = [f"{name}/{workload}" for name in sorted(self.workloads) for workload in sorted(self.workloads[name])]
        return some(names, WORKLOADS_SHOWN) if names else NONE

    def titles(self) -> list[str]:
        """Return the workloads."""
        return [workload for namespace in sorted(self.workloads) for workload in sorted(self.workloads[namespace])]

    def document(self) -> dict[str, object]:
        """Return everything for programs."""
        return {
            "pods": self.pods,
            "workloads": {name: sorted(workloads) for name, workloads in sorted(self.workloads.items())},
            "images": sorted(self.images),
        }


NO_PODS = PodTotals(0, {}, frozenset())


class _Tally:
    """Counts the Pods, workloads and images that fall under a heading; a Pod counts once."""

    def __init__(self) -> None:
        self._pods = 0
        self._images: set[str] = set()
        self._workloads: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, group: PodGroup, images: Iterable[str]) -> None:
        self._pods += group.pods
        self._images.update(images)
        self._workloads[group.namespace].add(group.workload)

    def where(self) -> PodTotals:
        workloads = {name: frozenset(workloads) for name, workloads in self._workloads.items()}
        return PodTotals(self._pods, workloads, frozenset(self._images))


def tallied(groups: Iterable[PodGroup], headings: Callable[[PodGroup, str], Iterable[_K]]) -> dict[_K, PodTotals]:
    """Return what falls under each of the headings of the images of each group."""
    tallies: defaultdict[_K, _Tally] = defaultdict(_Tally)
    for group in groups:
        images: defaultdict[_K, list[str]] = defaultdict(list)
        for image in group.images:
            for heading in headings(group, image):
                images[heading].append(image)
        for heading, those in images.items():
            tallies[heading].add(group, those)
    return {heading: tally.where() for heading, tally in tallies.items()}


class Total(msgspec.Struct, frozen=True):
    """One line: what it is about, its result, and its Pods."""

    about: tuple[str, ...]
    severity: Severity
    result: str
    where: PodTotals

    def line(self) -> Line:
        """Return the line for a table."""
        return Line((*self.about, self.result, *self.where.cells), self.severity.value)

    def wide_line(self) -> Line:
        """Return the line for a table that names workloads, too."""
        cells, colour = self.line()
        return Line((*cells, self.where.text()), colour)


class Totals(msgspec.Struct, frozen=True):
    """Lines with the numbers of namespaces, workloads and Pods.

    ``fields`` are what the lines are about: the name of each field in a document, with its heading.
    """

    kind: str
    fields: Mapping[str, str]
    totals: tuple[Total, ...]
    sentence: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The headings of the table."""
        return (*self.fields.values(), RESULT, "NAMESPACES", "WORKLOADS", "PODS")

    def lines(self) -> list[Line]:
        """Return the lines of the table."""
        return [total.line() for total in self.totals]

    @property
    def wide_columns(self) -> tuple[str, ...]:
        """The headings of the wider table."""
        return (*self.columns, "WHERE")

    def wide_lines(self) -> list[Line]:
        """Return the lines of the wider table."""
        return [total.wide_line() for total in self.totals]

    def titles(self) -> list[str]:
        """Return the workloads of all lines, each once."""
        return list(dict.fromkeys(title for total in self.totals for title in total.where.titles()))

    def document(self) -> dict[str, object]:
        """Return everything for programs."""
        return {
            self.kind: [
                {
                    **dict(zip(self.fields, total.about, strict=True)),
                    "result": total.result,
                    **total.where.document(),
                }
                for total in self.totals
            ]
        }

    def summary(self) -> str:
        """Return the result as one line."""
        return self.sentence


_NO_CREDENTIAL = CredentialOrigin("", "")


def credential_totals(groups: Iterable[PodGroup], owners: Owners, configuration: Configuration) -> Totals:
    """Return the numbers for each credential: of pull secrets, then of Secrets of namespaces, then without one."""
    names, keyrings = {entry.name for entry in configuration.copied}, Keyrings()
    possible: set[CredentialOrigin] = set()

    def origins(group: PodGroup, image: str) -> Iterable[tuple[CredentialOrigin, bool]]:
        offers, unread = keyrings.offers(group.secrets, image), group.in_state(SecretState.UNREAD)
        possible.update(
            CredentialOrigin(offer.secret.copy_of, source) for offer in offers for source in owners.candidates(offer)
        )
        yield from ((owners.origin(offer), True) for offer in offers)
        yield from (
            (CredentialOrigin(name, "") if name in names else CredentialOrigin("", name), False) for name in unread
        )
        if not offers and not unread:
            yield _NO_CREDENTIAL, True

    where_by_origin = tallied(groups, lambda group, image: dict.fromkeys(origins(group, image)))
    unread = {origin for origin, is_known in where_by_origin if not is_known}
    configured = [
        CredentialOrigin(entry.name, source) for entry in configuration.pull_secrets for source in entry.sources
    ]
    used = sorted(
        (origin for origin, is_known in where_by_origin if is_known),
        key=lambda origin: (not any(origin), not origin[0], origin),
    )
    possible |= {origin for origin in configured if origin._replace(source="") in unread}
    totals = [
        _total(origin, where_by_origin.get((origin, True), NO_PODS), possible)
        for origin in dict.fromkeys((*configured, *used))
    ]
    totals += [_line(origin, Severity.UNKNOWN, where_by_origin[origin, False]) for origin in sorted(unread)]
    named = {origin.pull_secret for origin in used if origin.source}
    unnamed = {origin.pull_secret for origin in used if origin.pull_secret and not origin.source}
    number = len([origin for origin in used if origin.source]) + len(unnamed - named)
    more = f"; {counted(len(unread), 'name')} of Secrets that cannot be read with your rights" if unread else ""
    sentence = f"Pods use {'at least ' if unnamed else ''}{counted(number, 'credential')}{more}"
    return Totals("credentials", {"pullSecret": "PULL SECRET", "credential": "CREDENTIAL"}, tuple(totals), sentence)


def _total(origin: CredentialOrigin, where: PodTotals, possible: Collection[CredentialOrigin]) -> Total:
    if where.pods:
        return _line(origin, Severity.OK, where)
    return _line(origin, Severity.UNKNOWN if origin in possible else Severity.SKIPPED, where)


def _line(origin: CredentialOrigin, severity: Severity, where: PodTotals) -> Total:
    pull_secret, source = origin
    credential = source or ("<unknown>" if pull_secret else NONE)
    if source and not pull_secret:
        credential = f"Secret {source}"
    return Total((pull_secret or NONE, credential), severity, TOTAL_RESULTS[severity], where)


def anonymous_totals(groups: Iterable[PodGroup]) -> Totals:
    """Return the numbers for each image that the kubelet pulls from Docker Hub without a credential."""
    keyrings = Keyrings()

    def of_docker_hub(group: PodGroup, image: str) -> Iterable[tuple[str, Severity]]:
        if not (image_name(image) or "").startswith(f"{DOCKER_HUB}/") or group.in_state(SecretState.MALFORMED):
            return
        if not keyrings.offers(group.secrets, image):
            yield image, Severity.UNKNOWN if group.in_state(SecretState.UNREAD) else Severity.NOTE

    where_by_image = tallied(groups, of_docker_hub)
    order = sorted(where_by_image.items(), key=lambda item: (-item[1].pods, item[0][0], item[0][1].value))
    totals = tuple(Total((image,), severity, ANONYMOUS_RESULTS[severity], where) for (image, severity), where in order)
    return Totals("images", {"image": "IMAGE"}, totals, _anonymous_summary(totals))


def _anonymous_summary(totals: Sequence[Total]) -> str:
    anonymous = [total for total in totals if total.severity is Severity.NOTE]
    unknown = len(totals) - len(anonymous)
    more = f"; {counted(unknown, 'image')} unknown, because Secrets cannot be read with your rights" if unknown else ""
    pulls = sum(total.where.pods for total in anonymous)
    is_one = len(anonymous) == 1
    return (
        f"{counted(len(anonymous), 'image')} of Docker Hub {'is' if is_one else 'are'} pulled without a credential, in "
        f"{counted(pulls, 'pull')} if every Pod starts on a fresh node{more}"
    )
