"""Speak the kubelet's protocol with a credential provider, ``credentialprovider.kubelet.k8s.io/v1``.

The cloud vendors maintain plugins for this protocol, and the same programs run on nodes. Decoding is as strict as that
of the kubelet: an unknown or repeated field, another apiVersion or kind, or a missing ``cacheKeyType`` makes the whole
answer unusable. Beyond the kubelet, an entry for a registry that was not requested is not used, because a copy reaches
other images than the one of the request.

Source: k8s.io/kubelet v0.37, pkg/apis/credentialprovider/v1/types.go; k8s.io/kubernetes v1.37,
pkg/credentialprovider/plugin/plugin.go.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NoReturn

import msgspec

from webhook.errors import CredentialsNotIssued, SourceInvalid
from webhook.rules.credential import shown
from webhook.rules.decoding import NOT_DECODED
from webhook.rules.dockerconfig import LARGEST_COPY, read_document, render
from webhook.rules.expiry import read_expiries
from webhook.rules.go_json import JsonObject, decode
from webhook.rules.images import DOCKER_HUB_ALIASES
from webhook.rules.registry_key import UnusableKey, read_key
from webhook.rules.renewing import LONGEST_LIFETIME, IssuedCredential, IssueReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from webhook.rules.dockerconfig import Credentials
    from webhook.rules.registry_key import RegistryKey

API_VERSION = "credentialprovider.kubelet.k8s.io/v1"
REQUEST_KIND, RESPONSE_KIND = "CredentialProviderRequest", "CredentialProviderResponse"

MAX_ENTRIES = 100
"""Entries of one answer. Plugins send one or two."""

_DURATION_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_SECONDS_OF_UNIT = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_DURATION_TEXT = 100
_LARGEST_DURATION = float(2**63) / 1e9
"""Seconds that Go's 64 bits of nanoseconds hold."""


def parse_go_duration(text: str) -> float | None:
    """Return the seconds of a duration such as ``12h0m0s`` or ``-1.5h``; None for text that Go refuses.

    Source: Go 1.26, time.ParseDuration, which metav1.Duration of Kubernetes uses.
    """
    if len(text) > _LONGEST_DURATION_TEXT:
        return None
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    # Only zero needs no unit.
    if unsigned == "0":
        return 0.0
    parts = _DURATION_PART.findall(unsigned)
    if not parts or "".join(number + unit for number, unit in parts) != unsigned:
        return None
    seconds = sum(float(number) * _SECONDS_OF_UNIT[unit] for number, unit in parts)
    # ParseDuration refuses what overflows its 64 bits.
    if seconds >= _LARGEST_DURATION:
        return None
    return -seconds if text.startswith("-") else seconds


class CacheKeyType(StrEnum):
    """The images that an answer is valid for: the one of the request, those of its registry, or all."""

    IMAGE = "Image"
    REGISTRY = "Registry"
    GLOBAL = "Global"


class _Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return "_Login(…)"


class ProviderAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The answer of a provider; the repr shows only the type of its cache key."""

    api_version: str
    kind: Literal["CredentialProviderResponse"]
    cache_key_type: CacheKeyType
    cache_duration: str | None = None
    auth: dict[str, _Login] | None = None

    def __repr__(self) -> str:
        return f"ProviderAnswer({self.cache_key_type})"

    @property
    def lifetime(self) -> float | None:
        """Seconds for which the credentials can be kept; None if the answer names none or must not be cached."""
        seconds = None if self.cache_duration is None else parse_go_duration(self.cache_duration)
        # The kubelet does not cache an answer with 0. Here the default lifetime counts then.
        return seconds if seconds is not None and seconds > 0 else None


_decoder = msgspec.json.Decoder(ProviderAnswer)


def encode_request(image: str, token: str = "", annotations: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return a request for the credentials of an image, as the kubelet writes it."""
    request: dict[str, object] = {"kind": REQUEST_KIND, "apiVersion": API_VERSION, "image": image}
    # These fields have omitempty in types.go, and a plugin may refuse fields that its version does not have.
    if token:
        request["serviceAccountToken"] = token
    if named := dict(annotations):
        request["serviceAccountAnnotations"] = named
    return msgspec.json.encode(request)


def decode_answer(content: bytes) -> ProviderAnswer:
    """Return the answer on a plugin's standard output. Raises CredentialsNotIssued, which never quotes it."""
    _check_identity(content)
    try:
        answer = _decoder.decode(content)
        # A second pass, because msgspec takes the last of repeated fields. Floats, because int() refuses very long
        # numbers.
        json.loads(content, object_pairs_hook=_without_repeats, parse_int=float)
    except (msgspec.ValidationError, _Repeated):
        _refuse("has unknown, missing or repeated fields, or values of other types, such as no cacheKeyType")
    except (msgspec.DecodeError, ValueError, RecursionError):
        _refuse("is not JSON in UTF-8")
    if answer.cache_duration is not None and parse_go_duration(answer.cache_duration) is None:
        _refuse("has a cacheDuration that is not a duration such as 6h0m0s")
    if len(answer.auth or {}) > MAX_ENTRIES:
        _refuse(f"has more than {MAX_ENTRIES} entries")
    return answer


class _Header(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str = ""
    kind: str = ""


_header_decoder = msgspec.json.Decoder(_Header)


def _check_identity(content: bytes) -> None:
    """Check apiVersion and kind first, because they explain other differences."""
    try:
        header = _header_decoder.decode(content)
    except NOT_DECODED:
        _refuse("is not a JSON object with apiVersion and kind")
    if header.api_version != API_VERSION:
        _refuse(f"has another apiVersion than {API_VERSION}")
    if header.kind != RESPONSE_KIND:
        _refuse(f"has another kind than {RESPONSE_KIND}")


class _Repeated(Exception):
    """A field that occurs twice, so that two readers could see two values."""


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Repeated
    return members


def _refuse(problem: str) -> NoReturn:
    message = f"the answer of the provider {problem}"
    raise CredentialsNotIssued(IssueReason.PROVIDER_ANSWER_INVALID, message) from None


@dataclass(slots=True)
class Collected:
    """The answers about the images of one provider, collected one by one."""

    default_lifetime: float
    """Seconds, for answers without a lifetime."""
    entries: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    lifetime: float = LONGEST_LIFETIME
    ignored: list[str] = field(default_factory=list)
    _keys: dict[CacheKeyType, set[str]] = field(default_factory=dict)

    def covers(self, image: str) -> bool:
        """Return whether an earlier answer is valid for this image too, by its ``cacheKeyType``."""
        keys_by_type = self._keys
        return (
            CacheKeyType.GLOBAL in keys_by_type
            or registry_of(image) in keys_by_type.get(CacheKeyType.REGISTRY, ())
            or image in keys_by_type.get(CacheKeyType.IMAGE, ())
        )

    def add(self, image: str, answer: ProviderAnswer, images: Iterable[str]) -> None:
        """Add an answer about an image, one of all ``images`` of the provider.

        Raises:
            CredentialsNotIssued: no entry of the answer can be used for the image.
        """
        usable = False
        # Positions, because a key that may contain a credential is not shown.
        for position, (key, login) in enumerate((answer.auth or {}).items(), start=1):
            problem = self._problem(key, login, images)
            if problem:
                self.ignored.append(f"{shown(key, position)} {problem}")
                continue
            usable = usable or applies_to(read_key(key), image)
            # The first answer wins, so the order of the images in the configuration decides.
            self.entries.setdefault(key, {"username": login.username, "password": login.password})
        if not usable:
            cause = "; ".join(self.ignored[:3]) or "it has no entries"
            message = f"the answer of the provider has no credential for {image}: {cause}"
            raise CredentialsNotIssued(IssueReason.PROVIDER_ANSWER_UNUSABLE, message)
        # One Secret has all entries, so it is renewed before the first of them ends.
        self.lifetime = min(self.lifetime, self.default_lifetime if answer.lifetime is None else answer.lifetime)
        self._keys.setdefault(answer.cache_key_type, set()).add(
            registry_of(image) if answer.cache_key_type is CacheKeyType.REGISTRY else image
        )

    def _problem(self, key: str, login: _Login, images: Iterable[str]) -> str:
        try:
            read = read_key(key)
        except UnusableKey as error:
            return str(error)
        if not (login.username and login.password):
            return f"has an empty {'password' if login.username else 'user name'}"
        if not any(applies_to(read, image) for image in images):
            return "does not match any of the configured images"
        return ""


def registry_of(image: str) -> str:
    """Return the registry of an image, with its port: the kubelet's cache key for the type ``Registry``."""
    return image.partition("/")[0]


def applies_to(key: RegistryKey, image: str) -> bool:
    """Return whether an entry is for images below ``image``, which is a registry or a repository in one.

    The path of either can be the longer one: a provider may answer with one repository of a registry.
    """
    host, slash, path = image.partition("/")
    if host in DOCKER_HUB_ALIASES and key.is_docker_hub:
        return True
    hosts = DOCKER_HUB_ALIASES if host in DOCKER_HUB_ALIASES else {host}
    below = f"{slash}{path}"
    return any(key.may_cover(name) for name in hosts) and (below.startswith(key.path) or key.path.startswith(below))


def issued(collected: Collected, now: datetime) -> IssuedCredential:
    """Return the content of the issued Secret. Raises CredentialsNotIssued if readers of it can use no entry."""
    return issue(collected.entries, now, collected.lifetime, tuple(collected.ignored))


def issue(
    auths: Mapping[str, Mapping[str, str]], now: datetime, lifetime: float, ignored: tuple[str, ...] = ()
) -> IssuedCredential:
    """Return the content of an issued Secret with these entries of ``auths``, valid for ``lifetime`` seconds.

    Raises CredentialsNotIssued if there is none.
    """
    payload = json.dumps({"auths": auths}, ensure_ascii=True, sort_keys=True).encode()
    credentials = _read_back(payload)
    remarks = (*ignored, str(credentials.left_out)) if credentials.left_out else ignored
    expires = now + timedelta(seconds=min(lifetime, LONGEST_LIFETIME))
    token = read_expiries(credentials, {}).earliest
    if token is not None:
        # A registry refuses a token after its own time, whatever the answer names.
        expires = min(expires, token.expires_at)
    if expires <= now:
        raise CredentialsNotIssued(IssueReason.PROVIDER_ANSWER_UNUSABLE, "the issued credential has already expired")
    try:
        rendered = render(credentials)
    except SourceInvalid:
        message = f"the issued credential has more than {LARGEST_COPY} bytes, so no Secret can hold it"
        raise CredentialsNotIssued(IssueReason.PROVIDER_ANSWER_UNUSABLE, message) from None
    return IssuedCredential(rendered, now, expires, remarks)


def _read_back(payload: bytes) -> Credentials:
    """Return the entries as every reader of a pull secret sees them; those that none can use are left out."""
    document = decode(payload)
    if not isinstance(document, JsonObject):
        raise TypeError("an object was encoded")
    try:
        credentials = read_document(document, legacy=False, where="the issued credential")
    except SourceInvalid as error:
        raise CredentialsNotIssued(IssueReason.PROVIDER_ANSWER_UNUSABLE, str(error)) from None
    if not credentials:
        message = f"no reader can use the issued credential: {credentials.left_out}"
        raise CredentialsNotIssued(IssueReason.PROVIDER_ANSWER_UNUSABLE, message)
    return credentials
