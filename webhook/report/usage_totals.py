"""Count the Pods, workloads and images of every credential, and of the images that need none.

Docker Hub limits the pulls without a credential by address. A node that starts Pods of many such images reaches that
limit, so their Pods are counted for each image.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from webhook.report.protocol import RESULT, Line, Severity
from webhook.report.usage import Keyrings, Origin
from webhook.rules.images import DOCKER_HUB, image_name
from webhook.rules.keyring import SecretState
from webhook.rules.text import counted, some

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence

    from webhook.report.usage import Owners, PodGroup
    from webhook.rules.configuration import Configuration

SHOWN = 5
"""Workloads and namespaces that one cell of the wider table has; the others are counted."""

TOTAL_RESULTS = {Severity.OK: "used", Severity.SKIPPED: "unused", Severity.UNKNOWN: "unknown"}
"""The use of a credential, in words."""

ANONYMOUS_RESULTS = {Severity.NOTE: "anonymous", Severity.UNKNOWN: "unknown"}
"""The way the kubelet pulls an image of Docker Hub, in words."""

NONE = "<none>"

_K = TypeVar("_K", bound="Hashable")


class Where(NamedTuple):
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
        return some(names, SHOWN) if names else NONE

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


NOWHERE = Where(0, {}, frozenset())


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

    def where(self) -> Where:
        workloads = {name: frozenset(workloads) for name, workloads in self._workloads.items()}
        return Where(self._pods, workloads, frozenset(self._images))


def tallied(groups: Iterable[PodGroup], headings: Callable[[PodGroup, str], Iterable[_K]]) -> dict[_K, Where]:
    """Return what falls under each of the headings of the images of each group."""
    found: defaultdict[_K, _Tally] = defaultdict(_Tally)
    for group in groups:
        images: defaultdict[_K, list[str]] = defaultdict(list)
        for image in group.images:
            for heading in headings(group, image):
                images[heading].append(image)
        for heading, those in images.items():
            found[heading].add(group, those)
    return {heading: tally.where() for heading, tally in found.items()}


@dataclass(frozen=True, slots=True)
class Total:
    """One line: what it is about, its result, and its Pods."""

    about: tuple[str, ...]
    severity: Severity
    result: str
    where: Where

    def line(self) -> Line:
        """Return the line for a table."""
        return Line((*self.about, self.result, *self.where.cells), self.severity.value)

    def wide_line(self) -> Line:
        """Return the line for a table that names workloads, too."""
        cells, colour = self.line()
        return Line((*cells, self.where.text()), colour)


@dataclass(frozen=True, slots=True)
class Totals:
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


_NO_CREDENTIAL = Origin("", "")


def credential_totals(groups: Iterable[PodGroup], owners: Owners, configuration: Configuration) -> Totals:
    """Return the numbers for each credential: of pull secrets, then of Secrets of namespaces, then without one."""
    names, keyrings = {entry.name for entry in configuration.pull_secrets}, Keyrings()

    def origins(group: PodGroup, image: str) -> Iterable[tuple[Origin, bool]]:
        tried, unread = keyrings.offers(group.secrets, image), group.in_state(SecretState.UNREAD)
        yield from ((owners.origin(offer), True) for offer in tried)
        yield from ((Origin(name, "") if name in names else Origin("", name), False) for name in unread)
        if not tried and not unread:
            yield _NO_CREDENTIAL, True

    found = tallied(groups, lambda group, image: dict.fromkeys(origins(group, image)))
    unread = {origin for origin, known in found if not known}
    configured = [Origin(entry.name, source) for entry in configuration.pull_secrets for source in entry.sources]
    used = sorted((origin for origin, known in found if known), key=lambda each: (not any(each), not each[0], each))
    totals = [_total(each, found.get((each, True), NOWHERE), unread) for each in dict.fromkeys((*configured, *used))]
    totals += [_line(each, Severity.UNKNOWN, found[each, False]) for each in sorted(unread)]
    number = len([each for each in used if any(each)])
    more = f"; {counted(len(unread), 'name')} of Secrets that cannot be read with your rights" if unread else ""
    sentence = f"Pods use {counted(number, 'credential')}{more}"
    return Totals("credentials", {"pullSecret": "PULL SECRET", "credential": "CREDENTIAL"}, tuple(totals), sentence)


def _total(origin: Origin, where: Where, unread: Collection[Origin]) -> Total:
    if where.pods:
        return _line(origin, Severity.OK, where)
    is_open = origin._replace(source="") in unread
    return _line(origin, Severity.UNKNOWN if is_open else Severity.SKIPPED, where)


def _line(origin: Origin, severity: Severity, where: Where) -> Total:
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

    found = tallied(groups, of_docker_hub)
    order = sorted(found.items(), key=lambda item: (-item[1].pods, item[0][0], item[0][1].value))
    totals = tuple(Total((image,), severity, ANONYMOUS_RESULTS[severity], where) for (image, severity), where in order)
    return Totals("images", {"image": "IMAGE"}, totals, _anonymous_summary(totals))


def _anonymous_summary(totals: Sequence[Total]) -> str:
    known = [total for total in totals if total.severity is Severity.NOTE]
    unknown = len(totals) - len(known)
    more = f"; {counted(unknown, 'image')} unknown, because Secrets cannot be read with your rights" if unknown else ""
    pulls = sum(total.where.pods for total in known)
    is_one = len(known) == 1
    return (
        f"{counted(len(known), 'image')} of Docker Hub {'is' if is_one else 'are'} pulled without a credential, in "
        f"{counted(pulls, 'pull')} if every Pod starts on a fresh node{more}"
    )
