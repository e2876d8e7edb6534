"""Read when the credentials of a source expire, as far as the source shows it.

A registry does not announce that a credential is about to expire: the next pull fails. These places name the time:

- an annotation of the source, for all of its credentials: ours, or that of msi-acrpull
  (github.com/Azure/msi-acrpull, internal/controller: ``token.expiry`` and ``token.refresh``);
- the ``exp`` claim of a password, ``identitytoken`` or ``registrytoken`` that is a JWT (RFC 7519, section 4.1.4). The
  signature is not checked, because it does not decide about access;
- the ``expiration`` in a password of Amazon ECR, which is a JSON document in base64. AWS does not document it.

External Secrets writes no such annotation by itself (external-secrets v1, apis/externalsecrets/v1): a template of an
ExternalSecret can write ours.

If several places name a time, the earliest one counts: a token is refused after its ``exp``, whatever an annotation
states. A time that is wrong or absurd is a problem to report, and the other places still count.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NoReturn

import msgspec

from webhook.rules.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from webhook.rules.credential import Credential

EXPIRES_ANNOTATION = "pullsecrets.webhook/expires-at"
"""On a source: the time when its credentials expire, as RFC 3339 writes it."""

ISSUED_ANNOTATION = "pullsecrets.webhook/issued-at"
"""On a source: the time when its credentials were issued. With it, the lifetime is known."""

SOON, VERY_SOON = timedelta(days=14), timedelta(days=3)
"""Remaining times that are worth a warning, and an urgent one."""

SOON_SHARE, VERY_SOON_SHARE = 4, 8
"""The same for short lifetimes: a quarter and an eighth of it. Issuers renew at half, so both are overdue renewals."""

ECR_LIFETIME = timedelta(hours=12)
"""Source: Amazon ECR API Reference, GetAuthorizationToken."""

LONGEST_TOKEN = 16 * 1024
"""Characters of a token that is decoded. Tokens have one or two thousand."""

EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
"""Times outside are mistakes: zero values, milliseconds in place of seconds."""

_SECOND = timedelta(seconds=1)

SHOWN_PROBLEMS = 3
"""Problems that a message quotes; the others are counted."""

_LONGEST_TIME = 64
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_JWT = re.compile(r"[\w-]+\.([\w-]+)\.[\w-]*", re.ASCII)
_LEAP_SECOND = "60"
_OBJECT, _ECR_TYPE = "eyJ", "DATA_KEY"
"""The first letters of a JSON object in base64, and the type of the one that is a password of Amazon ECR."""

_URL_SAFE = str.maketrans("+/", "-_")


class ExpiryOrigin(StrEnum):
    """The place that names the time: an annotation, or a field of the entry."""

    ANNOTATION = EXPIRES_ANNOTATION
    MSI_ACRPULL = "acr.microsoft.com/token.expiry"
    PASSWORD = "password"  # noqa: S105 - the name of the field
    IDENTITY_TOKEN = "identitytoken"  # noqa: S105
    REGISTRY_TOKEN = "registrytoken"  # noqa: S105


_ISSUED_BY = {ExpiryOrigin.ANNOTATION: ISSUED_ANNOTATION, ExpiryOrigin.MSI_ACRPULL: "acr.microsoft.com/token.refresh"}
"""The annotations with a time of expiry, best first, each with its partner for the time of issue."""


class ExpiryReason(StrEnum):
    """The stable ids for what the time of expiry means; metrics, Events and reports use them."""

    SOON = "credential-expires-soon"
    VERY_SOON = "credential-expires-very-soon"
    EXPIRED = "credential-expired"
    UNREADABLE = "credential-expiry-unreadable"


class WrongTime(Exception):
    """A time that cannot be used: the end of a sentence about it, which does not quote it."""


class Expiry(msgspec.Struct, frozen=True):
    """When a credential expires, which place names the time, and when it was issued if that is known."""

    expires_at: datetime
    origin: ExpiryOrigin
    issued_at: datetime | None = None

    @property
    def lifetime(self) -> timedelta | None:
        """The time from issue to expiry; None if the time of issue is unknown."""
        return None if self.issued_at is None else self.expires_at - self.issued_at

    @property
    def warned_at(self) -> tuple[datetime, datetime]:
        """The times from which it expires soon, and very soon."""
        soon, very_soon = SOON, VERY_SOON
        if self.lifetime is not None:
            # The shorter times, or a credential with a lifetime of an hour would always expire very soon.
            soon, very_soon = min(soon, self.lifetime / SOON_SHARE), min(very_soon, self.lifetime / VERY_SOON_SHARE)
        return self.expires_at - soon, self.expires_at - very_soon

    def reason(self, now: datetime) -> ExpiryReason | None:
        """Return the reason to act at this time; None if there is none yet."""
        soon, very_soon = self.warned_at
        if now >= self.expires_at:
            return ExpiryReason.EXPIRED
        if now >= very_soon:
            return ExpiryReason.VERY_SOON
        return ExpiryReason.SOON if now >= soon else None

    def next_change(self, now: datetime) -> datetime | None:
        """Return the next time at which :meth:`reason` changes; None once it has expired."""
        return min((time for time in (*self.warned_at, self.expires_at) if time > now), default=None)

    def describe(self, now: datetime) -> str:
        """Return the end of a sentence about it: see :func:`describe`."""
        return describe(self.expires_at, now)


class Expiries(msgspec.Struct, frozen=True):
    """The known times of expiry by registry, of one source or of several together; and problems as clauses.

    Those of one source are sorted, the earliest first.
    """

    by_registry: Mapping[str, Expiry] = msgspec.field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def earliest(self) -> Expiry | None:
        """The credential that expires first; None if no time is known."""
        return earliest(self.by_registry.values())

    @property
    def remark(self) -> str:
        """The first problems as text; empty without one."""
        more = len(self.problems) - SHOWN_PROBLEMS
        return "; ".join(self.problems[:SHOWN_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")


NO_EXPIRIES = Expiries()


def describe(expires_at: datetime, now: datetime) -> str:
    """Return the end of a sentence: ``expires in 3 days (2026-12-01 10:00 UTC)``, ``expired 2 hours ago (…)``."""
    left = expires_at - now
    if left > timedelta():
        text = f"expires in {_span(left)}" if left >= _SECOND else "expires now"
    else:
        text = f"expired {_span(-left)} ago" if -left >= _SECOND else "expired just now"
    return f"{text} ({expires_at:%Y-%m-%d %H:%M} UTC)"


def named_first(registries: str, *, differ: bool) -> str:
    """Return the subject of such a sentence: the credential for some registries, or the first if their times differ."""
    return f"the first of the credentials for {registries}" if differ else f"the credential for {registries}"


def earliest(expiries: Iterable[Expiry]) -> Expiry | None:
    """Return the one that expires first; None if there is none."""
    return min(expiries, key=lambda expiry: expiry.expires_at, default=None)


def read_expiries(credentials: Mapping[str, Credential], annotations: Mapping[str, str]) -> Expiries:
    """Return when the credentials of a source with these annotations expire; never raises."""
    # An annotation is about the whole source, so it counts for each of its registries.
    annotated, problems = _read_annotations(annotations)
    by_registry: dict[str, Expiry] = {}
    for registry, credential in credentials.items():
        read, wrong = _read_tokens(credential)
        problems += [f"registry {registry}: {problem}" for problem in wrong]
        # A registry refuses a token after its own time, even if an annotation names a later one.
        expiry = earliest([*annotated, *read])
        if expiry is not None:
            by_registry[registry] = expiry
    # Sorted, because status and metrics take only the first ones.
    return Expiries(dict(sorted(by_registry.items(), key=_first)), tuple(problems))


def _first(item: tuple[str, Expiry]) -> tuple[datetime, str]:
    return item[1].expires_at, item[0]


def _read_annotations(annotations: Mapping[str, str]) -> tuple[list[Expiry], list[str]]:
    """Return what the best annotation with a usable time states, in a list, and the problems of all."""
    expiries: list[Expiry] = []
    problems: list[str] = []
    for origin, issued_by in _ISSUED_BY.items():
        expires, issued = (_annotated(annotations, name, problems) for name in (origin, issued_by))
        if expires is None:
            continue
        if issued is not None and expires <= issued:
            problems.append(f"the annotation {origin} is not later than {issued_by}")
        # Later annotations are read for their problems, too.
        elif not expiries:
            expiries.append(Expiry(expires, origin, issued))
    return expiries, problems


def _annotated(annotations: Mapping[str, str], name: str, problems: list[str]) -> datetime | None:
    text = annotations.get(name)
    if text is None:
        return None
    try:
        return parse_time(text)
    except WrongTime as error:
        problems.append(f"the annotation {name} {error}")
        return None


def parse_time(text: str) -> datetime:
    """Return a time as RFC 3339 writes it, in UTC and whole seconds. Raises WrongTime for anything else."""
    read = _TIME.fullmatch(text.strip()) if len(text) <= _LONGEST_TIME else None
    if read is None:
        _refuse_text()
    day, minute, second, zone = read.groups()
    # RFC 3339 allows second 60, and datetime does not.
    second = "59" if second == _LEAP_SECOND else second
    try:
        time = datetime.fromisoformat(f"{day}T{minute}:{second}{'+00:00' if zone in 'Zz' else zone}")
    except ValueError:
        _refuse_text()
    # Before the conversion to UTC, which overflows in the first and the last year of the calendar.
    if not EARLIEST.year <= time.year < LATEST.year:
        raise WrongTime(f"is a time before {EARLIEST.year} or after {LATEST.year - 1}")
    return time.astimezone(UTC)


def _refuse_text() -> NoReturn:
    raise WrongTime("is not a time as RFC 3339 writes it, for example 2026-12-01T10:00:00Z") from None


def _read_tokens(credential: Credential) -> tuple[list[Expiry], list[str]]:
    """Return what the tokens of a credential state, and the problems."""
    expiries: list[Expiry] = []
    problems: list[str] = []
    for origin, token in (
        (ExpiryOrigin.PASSWORD, credential.password),
        (ExpiryOrigin.IDENTITY_TOKEN, credential.identity_token),
        (ExpiryOrigin.REGISTRY_TOKEN, credential.registry_token),
    ):
        try:
            expiries += _read_token(origin, token)
        except WrongTime as error:
            problems.append(f"the {origin} is a token whose time of expiry {error}")
    return expiries, problems


def _read_token(origin: ExpiryOrigin, token: str) -> Iterator[Expiry]:
    """Yield the expiry of a JWT or of a password of Amazon ECR; nothing for other text. Raises WrongTime."""
    # A line break from echo does not change when the token expires.
    token = token.strip()
    if len(token) > LONGEST_TOKEN:
        return
    jwt = _JWT.fullmatch(token)
    # A JWT begins with "eyJ" as well, so it is tested first.
    if jwt is not None:
        claims = _decode_object(jwt[1])
        expires = _numeric_date(claims.get("exp"))
        if expires is not None:
            yield Expiry(expires, origin, _issued_before(expires, claims.get("iat")))
    elif token.startswith(_OBJECT):
        document = _decode_object(token)
        expires = _numeric_date(document.get("expiration")) if document.get("type") == _ECR_TYPE else None
        if expires is not None:
            # The document has no time of issue, but the lifetime is fixed.
            yield Expiry(expires, origin, expires - ECR_LIFETIME)


def _decode_object(text: str) -> dict[str, object]:
    """Return a JSON object in base64 of either alphabet; empty for anything else."""
    text = text.rstrip("=").translate(_URL_SAFE)
    try:
        decoded = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        # Numbers as floats: Python refuses to convert very long ones to an int. A time fits into a float.
        value = json.loads(decoded.decode(), parse_int=float)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _numeric_date(seconds: object) -> datetime | None:
    """Return a NumericDate of RFC 7519; None if it is absent. Raises WrongTime for anything else."""
    if seconds is None:
        return None
    # All numbers are floats here (see _decode_object), and a boolean is not one.
    if not isinstance(seconds, float):
        raise WrongTime("is not a number")
    if not EARLIEST.timestamp() <= seconds < LATEST.timestamp():
        raise WrongTime(f"is before {EARLIEST.year} or after {LATEST.year - 1}: it must be in seconds since 1970")
    return datetime.fromtimestamp(int(seconds), UTC)


def _issued_before(expires: datetime, seconds: object) -> datetime | None:
    """Return the time of issue; None if it is unknown or unusable. Raises WrongTime if it is not before the expiry."""
    try:
        issued = _numeric_date(seconds)
    # The time of expiry counts without it.
    except WrongTime:
        return None
    if issued is not None and expires <= issued:
        raise WrongTime("is not later than its time of issue")
    return issued


def _span(time: timedelta) -> str:
    """Return a time in one unit, of which there are at least two: ``3 days``, ``47 hours``, ``1 second``."""
    seconds = int(time.total_seconds())
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size:
            return counted(seconds // size, unit)
    return counted(seconds, "second")


OVERDUE_SHARE = 0.25
"""The share of the lifetime with which a certificate is overdue: it is renewed with a third left. The alerts agree."""


class Validity(msgspec.Struct, frozen=True):
    """The validity period of a certificate."""

    begin: datetime
    end: datetime

    def is_overdue(self, now: datetime) -> bool:
        """Return True if it should have been renewed before ``now``."""
        return self.end - now < (self.end - self.begin) * OVERDUE_SHARE
