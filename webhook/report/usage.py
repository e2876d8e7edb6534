"""Report who uses a credential: the workloads, images and namespaces of the Pods that would be pulled with it.

A use is one image of one workload for which the kubelet tries the credential. It tries all credentials that cover the
image, so a workload can use several: the first one, and the others if that is refused.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Generic, NamedTuple, TypeVar

from webhook.report.protocol import RESULT, Line, Severity
from webhook.rules.keyring import SecretState, offers
from webhook.rules.registry_key import DOCKER_HUB_KEY, HUB_DOMAIN, read_key
from webhook.rules.text import counted, listed, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from webhook.rules.configuration import Configuration
    from webhook.rules.dockerconfig import Credentials
    from webhook.rules.keyring import Offer, ReferencedSecret

SHOWN = 3
"""Names that one sentence has; the others are counted."""

USE_RESULTS = {Severity.OK: "used", Severity.NOTE: "fallback", Severity.UNKNOWN: "unknown"}
"""The order in which the kubelet tries the credential for an image, in words."""


@dataclass(frozen=True, slots=True)
class PodGroup:
    """The Pods of one workload that pull the same images with the same Secrets, which are in their order."""

    namespace: str
    workload: str
    images: tuple[str, ...]
    secrets: tuple[ReferencedSecret, ...]
    pods: int = 1

    def in_state(self, state: SecretState) -> list[str]:
        """Return the names of the referenced Secrets in a state."""
        return [secret.name for secret in self.secrets if secret.state is state]


class Origin(NamedTuple):
    """The origin of a credential: a source of a pull secret, or a Secret of the namespace without a pull secret.

    ``source`` is empty if it is not known which source of the pull secret has the credential.
    """

    pull_secret: str
    source: str

    def __str__(self) -> str:
        if not self.pull_secret:
            return f"Secret {self.source} of the namespace" if self.source else "no credential"
        return f"{self.source or 'a source'} of {self.pull_secret}"

    def is_of(self, name: str) -> bool:
        """Return whether this is what a person calls ``name``: a source, a pull secret or a Secret."""
        return name in (self.pull_secret, self.source)


@dataclass(frozen=True, slots=True)
class Owners:
    """The source of each key of a pull secret. The first source that names a registry wins."""

    by_key: Mapping[tuple[str, str], str] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)
    """The source of all other keys of a pull secret: the only one whose keys are not known."""

    def origin(self, offer: Offer) -> Origin:
        """Return the origin of a credential in a Secret of a namespace."""
        pull_secret = offer.secret.copy_of
        if not pull_secret:
            return Origin("", offer.secret.name)
        return Origin(pull_secret, self.by_key.get((pull_secret, offer.key)) or self.others.get(pull_secret, ""))


def owners_of(configuration: Configuration, sources: Mapping[str, Credentials]) -> Owners:
    """Return the owner of each key, given the credentials of the sources that are known."""
    by_key: dict[tuple[str, str], str] = {}
    others: dict[str, str] = {}
    for entry in configuration.pull_secrets:
        for source in entry.sources:
            for key in sources.get(source, ()):
                by_key.setdefault((entry.name, key), source)
        for token in entry.tokens:
            by_key.setdefault((entry.name, str(read_key(token.registry))), f"token of {token.service_account}")
        if (hub := by_key.get((entry.name, HUB_DOMAIN))) is not None:
            by_key.setdefault((entry.name, DOCKER_HUB_KEY), hub)  # a copy has this spelling
        unknown = [source for source in entry.sources if source not in sources]
        if len(unknown) == 1:
            others[entry.name] = unknown[0]
    return Owners(by_key, others)


class Keyrings:
    """Looks up the credentials for the images of Pods; many Pods have the same images and Secrets."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[ReferencedSecret, ...], str], tuple[Offer, ...]] = {}

    def offers(self, secrets: tuple[ReferencedSecret, ...], image: str) -> tuple[Offer, ...]:
        """Return the credentials that the kubelet tries for an image, in its order."""
        found = self._known.get((secrets, image))
        if found is None:
            found = self._known[secrets, image] = offers(secrets, image)
        return found


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The result for one image of one workload, and a sentence."""

    words: ClassVar[Mapping[Severity, str]]
    """The results in words, by severity."""

    namespace: str
    workload: str
    image: str
    severity: Severity
    why: str
    tried: tuple[str, ...] = ()
    """Credentials that the kubelet tries for the image, in its order."""
    pods: int = field(default=0, compare=False)

    @property
    def result(self) -> str:
        """The result in a word."""
        return self.words[self.severity]

    def line(self) -> Line:
        """Return the line for a table."""
        cells = (self.namespace, self.workload, f"{self.pods}", self.result, self.image, self.why)
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
            "why": self.why,
        }


class Use(ImageResult):
    """One image of one workload for which the kubelet tries a credential; ``tried`` has all of them."""

    __slots__ = ()
    words = USE_RESULTS


I = TypeVar("I", bound=ImageResult)  # noqa: E741 - an image


@dataclass(frozen=True, slots=True)
class ImageReport(Generic[I]):
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
        return [each.line() for each in self.images]

    @property
    def wide_columns(self) -> tuple[str, ...]:
        """The headings of the wider table."""
        return (*self.columns, self.credentials)

    def wide_lines(self) -> list[Line]:
        """Return the lines of the wider table."""
        return [each.wide_line() for each in self.images]

    def numbers(self, words: Mapping[Severity, str]) -> dict[str, object]:
        """Return the number of images with each result, by its word."""
        return {word: len(self.having(severity)) for severity, word in words.items()}

    def having(self, severity: Severity) -> list[I]:
        """Return the images with a result."""
        return [each for each in self.images if each.severity is severity]


class Usage(ImageReport[Use]):
    """The uses of a source, of a pull secret, or of a Secret of namespaces."""

    __slots__ = ()
    credentials = "TRIED"

    def titles(self) -> list[str]:
        """Return the workloads that use it."""
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
    name: str, group: PodGroup, image: str, tried: Sequence[Offer], owners: Owners, copies: set[str]
) -> Use | None:
    origins = [owners.origin(offer) for offer in tried]
    texts = tuple(f"{origin} ({offer.key})" for origin, offer in zip(origins, tried, strict=True))
    positions = [position for position, origin in enumerate(origins) if origin.is_of(name)]
    unread = [secret for secret in group.in_state(SecretState.UNREAD) if secret in copies]
    if positions:
        severity, why = _judge(positions[0], origins, tried)
    elif unread:
        severity, why = Severity.UNKNOWN, f"Secret {unread[0]} cannot be read with your rights"
    else:
        return None
    return Use(group.namespace, group.workload, image, severity, why, texts)


def _judge(position: int, origins: Sequence[Origin], tried: Sequence[Offer]) -> tuple[Severity, str]:
    others = list(dict.fromkeys(str(each) for each in origins if each != origins[position]))
    if position:
        earlier = list(dict.fromkeys(map(str, origins[:position])))
        return Severity.NOTE, f"tried if it is refused with {listed(earlier)}"
    after = f", and {some(others, SHOWN)} if it is refused" if others else ""
    return Severity.OK, f"for {tried[position].key}{after}"
