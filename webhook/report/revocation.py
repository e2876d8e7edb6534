"""Predict the pulls that fail on a fresh node after a credential is revoked at its registry.

The Secrets still have the credential then. The kubelet tries it, and all others that cover an image. So a pull fails
if no other credential works, even if the registry would serve the image to everyone: the kubelet pulls without a
credential only if no Secret covers the image.

Without answers of the registries, a pull that another credential covers is unknown, and one that no other credential
covers fails. Credentials of the node itself are not visible, so a pull that is predicted to fail can succeed with one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from webhook.report.pod_groups import Keyrings
from webhook.report.protocol import Severity
from webhook.report.usage import SHOWN, ImageReport, ImageResult
from webhook.rules.keyring import SecretState, is_same_login
from webhook.rules.registry_key import read_key
from webhook.rules.text import counted, listed, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from webhook.report.pod_groups import Owners, PodGroup
    from webhook.rules.credential import Credential
    from webhook.rules.keyring import Offer

REVOKE_RESULTS = {Severity.FAULT: "fails", Severity.UNKNOWN: "unknown", Severity.OK: "works"}
"""The expected results of a pull on a fresh node after the revocation, in words."""


class PullAnswer(Enum):
    """The answer of a registry to the request for an image."""

    ACCEPTED = auto()
    """With this credential, or without one although the Secrets have a wrong one."""
    PUBLIC = auto()
    """Only without a credential, and the kubelet does not try that while a Secret covers the image."""
    REFUSED = auto()
    UNKNOWN = auto()
    """The registry did not answer."""


class Question(NamedTuple):
    """An image, and the credential to request it with; None for a request without one."""

    image: str
    key: str
    credential: Credential | None

    def __repr__(self) -> str:
        return f"Question({self.image!r}, {self.key!r})"


@dataclass(frozen=True, slots=True)
class RevokedCredential:
    """The credential that is revoked, by key; ``name`` is its source."""

    name: str
    credentials: Mapping[str, Credential] = field(repr=False)

    def covers(self, image: str) -> bool:
        """Return whether the kubelet tries it for an image if a Secret has it."""
        return any(read_key(key).covers(image) for key in self.credentials)

    def split(self, offers: Iterable[Offer], image: str) -> tuple[list[Offer], list[Offer]]:
        """Return the offers that are this credential, and the others."""
        revoked: list[Offer] = []
        others: list[Offer] = []
        for offer in offers:
            (revoked if is_same_login(offer, image, self.credentials) else others).append(offer)
        return revoked, others


@dataclass(frozen=True, slots=True)
class Prediction(ImageResult):
    """The expected result for one image of one workload; ``tried`` has the other credentials."""

    words = REVOKE_RESULTS
    is_public: bool | None = None
    """True if the image can be pulled when no Secret covers it; None if the registry has not answered that."""


class Revocation(ImageReport[Prediction], frozen=True):
    """The predictions for all images for which the kubelet tries a credential."""

    credentials = "OTHERS"
    is_asked: bool
    """True if the registries were asked."""

    def titles(self) -> list[str]:
        """Return the workloads that would fail."""
        return list(dict.fromkeys(prediction.workload for prediction in self.having(Severity.FAULT)))

    def document(self) -> dict[str, object]:
        """Return everything for programs."""
        return {
            "name": self.name,
            "askedRegistries": self.is_asked,
            "images": [
                {**prediction.document(), "others": list(prediction.tried), "public": prediction.is_public}
                for prediction in self.images
            ],
            "summary": self.numbers(REVOKE_RESULTS),
        }

    def summary(self) -> str:
        """Return the result as one line."""
        everything = _workloads(self.images)
        if not everything:
            return f"no running workload is pulled with {self.name}"
        fails, unknown = _workloads(self.having(Severity.FAULT)), self.having(Severity.UNKNOWN)
        asks = "" if self.is_asked else ": --ask-registry tests the other credentials"
        more = f"; {counted(len(unknown), 'image')} unknown{asks}" if unknown else ""
        return (
            f"{len(fails)} of {counted(len(everything), 'workload')} with {self.name} would fail on a fresh node{more}"
        )

    @property
    def fails(self) -> bool:
        """True if a pull would fail."""
        return bool(self.having(Severity.FAULT))

    @property
    def is_undecided(self) -> bool:
        """True if the result of a pull is unknown."""
        return bool(self.having(Severity.UNKNOWN))


def _workloads(predictions: Iterable[Prediction]) -> set[tuple[str, str]]:
    return {(prediction.namespace, prediction.workload) for prediction in predictions}


def questions(groups: Iterable[PodGroup], revoked: RevokedCredential) -> list[Question]:
    """Return the requests to registries that decide about the pulls, each once."""
    keyrings = Keyrings()
    requests: dict[Question, None] = {}
    for group in groups:
        for image in group.images:
            mine, others = revoked.split(keyrings.offers(group.secrets, image), image)
            if mine:
                requests |= dict.fromkeys(Question(image, offer.key, offer.credential) for offer in others)
                requests[Question(image, "", None)] = None
    return list(requests)


def predict(
    groups: Iterable[PodGroup],
    revoked: RevokedCredential,
    owners: Owners,
    answers: Mapping[Question, PullAnswer] | None = None,
) -> Revocation:
    """Return the predictions, failures first. ``answers`` has one for each question; None if no registry was asked."""
    keyrings = Keyrings()
    pods: Counter[Prediction] = Counter()
    for group in groups:
        for image in group.images:
            mine, others = revoked.split(keyrings.offers(group.secrets, image), image)
            unread = group.in_state(SecretState.UNREAD) if revoked.covers(image) else []
            if mine or unread:
                case = _Case(group, image, others, unread, owners, answers)
                pods[case.prediction(is_certain=bool(mine))] += group.pods
    predictions = [replace(prediction, pods=number) for prediction, number in pods.items()]
    order = list(REVOKE_RESULTS)
    predictions.sort(
        key=lambda prediction: (
            order.index(prediction.severity),
            prediction.namespace,
            prediction.workload,
            prediction.image,
        )
    )
    return Revocation(revoked.name, tuple(predictions), answers is not None)


_PUBLIC = {
    PullAnswer.ACCEPTED: True,
    PullAnswer.PUBLIC: True,
    PullAnswer.REFUSED: False,
    PullAnswer.UNKNOWN: None,
}
"""True if an image can be pulled without any credential, by the answer to a request without one."""


class _Case(msgspec.Struct, frozen=True):
    """One image of one group, with the credentials that remain, and the Secrets that could not be read."""

    group: PodGroup
    image: str
    others: Sequence[Offer]
    unread: Sequence[str]
    owners: Owners
    answers: Mapping[Question, PullAnswer] | None

    def prediction(self, *, is_certain: bool) -> Prediction:
        """Return the prediction. It ``is_certain`` that the kubelet tries the revoked credential, or it may do so."""
        severity, message = self._judge() if is_certain else (Severity.UNKNOWN, self._unread("may have the credential"))
        credentials = tuple(f"{self.owners.origin(offer)} ({offer.key})" for offer in self.others)
        where = (self.group.namespace, self.group.workload, self.image)
        return Prediction(*where, severity, message, credentials, is_public=_PUBLIC[self._access()])

    def _judge(self) -> tuple[Severity, str]:
        malformed = self.group.in_state(SecretState.MALFORMED)
        if malformed:
            return Severity.FAULT, f"it fails already: the kubelet cannot decode Secret {malformed[0]}"
        if self.answers is None:
            return self._judge_unasked()
        return self._judge_answers(self.answers)

    def _judge_unasked(self) -> tuple[Severity, str]:
        if self.others:
            names, is_one = self._names(self.others), len({*map(self.owners.origin, self.others)}) == 1
            verbs = ("covers", "was") if is_one else ("cover", "were")
            return Severity.UNKNOWN, f"{names} also {verbs[0]} it, and {verbs[1]} not tested"
        if self.unread:
            return Severity.UNKNOWN, self._unread("may also cover it")
        return Severity.FAULT, "no other Secret of the Pods covers it"

    def _judge_answers(self, answers: Mapping[Question, PullAnswer]) -> tuple[Severity, str]:
        results = [(offer, answers[Question(self.image, offer.key, offer.credential)]) for offer in self.others]
        accepted = [offer for offer, answer in results if answer is PullAnswer.ACCEPTED]
        unknown = [offer for offer, answer in results if answer is PullAnswer.UNKNOWN]
        if accepted:
            return Severity.OK, f"the registry accepts {self._names(accepted[:1])}"
        if self._access() is PullAnswer.ACCEPTED:
            return Severity.OK, "the registry does not require a login for it"
        if unknown:
            covers = "covers" if len({*map(self.owners.origin, unknown)}) == 1 else "cover"
            return Severity.UNKNOWN, f"{self._names(unknown)} also {covers} it, and the registry did not answer"
        if self.unread:
            return Severity.UNKNOWN, self._unread("may also cover it")
        message = (
            f"the registry refuses {self._names(self.others)}"
            if self.others
            else "no other Secret of the Pods covers it"
        )
        if self._access() is PullAnswer.PUBLIC:
            message += "; it is public, and the kubelet can pull it when no Secret covers it"
        return Severity.FAULT, message

    def _access(self) -> PullAnswer:
        return (self.answers or {}).get(Question(self.image, "", None), PullAnswer.UNKNOWN)

    def _names(self, offers: Iterable[Offer]) -> str:
        names: Iterator[str] = (str(self.owners.origin(offer)) for offer in offers)
        return some(list(dict.fromkeys(names)), SHOWN)

    def _unread(self, clause: str) -> str:
        secrets = "Secret" if len(self.unread) == 1 else "Secrets"
        return f"{secrets} {listed(self.unread)} {clause}, and cannot be read with your rights"
