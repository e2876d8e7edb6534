"""Parse image references, and match them with registries.

The grammar is that of github.com/distribution/reference v0.6 (regexp.go, normalize.go): ``nginx`` is
``docker.io/library/nginx``, ``index.docker.io`` is ``docker.io``. A registry is ``host[:port][/path]``. It is matched
like in the kubelet's keyring (k8s.io/kubernetes, pkg/credentialprovider/keyring.go, URLsMatch). ``*`` matches
characters within one label of the host; ``?`` does not, because the keyring reads it as the query of a URL. The number
of labels and the port must be equal, and case matters.

There are deliberate differences. The path matches by whole segments, so ``registry.example.com/team`` does not cover
``registry.example.com/teams``. Docker Hub is one registry under all of its names. A ``/v2`` at the beginning of a path
and an IPv6 host without a port are taken literally.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DOCKER_HUB = "docker.io"
DOCKER_HUB_ALIASES = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
OFFICIAL_IMAGES = "library/"

LONGEST_PATH = 255
"""In characters: the path limit of distribution/reference."""

LONGEST_HOST = 253
"""In characters: the limit of DNS."""

LONGEST_REFERENCE = 1024
"""In characters. A host of 253 with the longest path, tag and digest is shorter. This also bounds the cache."""

DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}

_HOST_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
IPV6 = r"\[[a-fA-F0-9:]+\]"
PATH_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
PATH = rf"{PATH_COMPONENT}(?:/{PATH_COMPONENT})*"
DOMAIN = rf"(?:{_HOST_LABEL}(?:\.{_HOST_LABEL})*|{IPV6})(?::[0-9]+)?"
TAG = r"\w[\w.-]{0,127}"
"""RE2 reads these expressions like Python does; ``webhook/report`` writes them into policies."""

_NAME = re.compile(rf"(?P<path>{PATH})(?::(?P<tag>{TAG}))?(?:@(?P<digest>[a-z0-9]+:[a-f0-9]+))?", re.ASCII)
_DOMAIN_ONLY = re.compile(DOMAIN)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")

_GLOB_LABEL = r"[a-z0-9*](?:[a-z0-9*_-]*[a-z0-9*])?"
_REGISTRY = re.compile(
    rf"(?P<host>{_GLOB_LABEL}(?:\.{_GLOB_LABEL})*|{IPV6.replace('A-F', '')})(?P<port>:[0-9]+)?(?P<path>(?:/{PATH})?)",
    re.ASCII,
)


class ImageReference(msgspec.Struct, frozen=True):
    """A parsed image reference; ``tag`` and ``digest`` are empty if the reference has none.

    ``domain`` is empty if the host is invalid in the grammar of references but valid as the first component of a path:
    ``my_registry.example.com/app``. Kubelet and container runtime pull that anyway.
    """

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Return registry and repository, without tag and digest, as the kubelet looks them up in its keyring."""
        return f"{self.domain}/{self.path}" if self.domain else self.path


class Registry(msgspec.Struct, frozen=True):
    """A registry in credentials and ``registries``: a host that may have wildcards, a port, a path."""

    host: str
    port: str = ""
    path: str = ""

    @property
    def is_docker_hub(self) -> bool:
        """Return whether this is Docker Hub under any of its names."""
        return self.host in DOCKER_HUB_ALIASES and not self.port

    def __str__(self) -> str:
        return f"{self.host}{self.port}{self.path}"


def parse(reference: str) -> ImageReference:
    """Return the parts of ``reference``, with the full name. Raises ValueError when it is not a reference."""
    if len(reference) > LONGEST_REFERENCE:
        message = "the image reference is too long"
        raise ValueError(message)
    # ParseNormalizedNamed refuses it as well, because docker reads 64 hex digits as the ID of an image.
    if _IDENTIFIER.fullmatch(reference):
        message = "a bare image identifier does not name a repository"
        raise ValueError(message)
    domain, remainder = _split_domain(reference)
    # See ImageReference: the host is then the first component of the path.
    if not _DOMAIN_ONLY.fullmatch(domain):
        domain, remainder = "", f"{domain}/{remainder}"
    name = _NAME.fullmatch(remainder)
    if name is None or len(name["path"]) > LONGEST_PATH:
        message = "not an image reference"
        raise ValueError(message)
    return ImageReference(domain, name["path"], name["tag"] or "", _checked_digest(name["digest"] or ""))


def _split_domain(reference: str) -> tuple[str, str]:
    first, slash, rest = reference.partition("/")
    if not slash:
        return DOCKER_HUB, OFFICIAL_IMAGES + reference
    # The legacyDefaultDomain of normalize.go. The other names of Docker Hub stay as they are.
    if first == "index.docker.io":
        first = DOCKER_HUB
    # The conditions of splitDockerDomain (normalize.go): otherwise the first part is a folder on Docker Hub.
    elif first != "localhost" and "." not in first and ":" not in first and first.lower() == first:
        return DOCKER_HUB, reference
    if first == DOCKER_HUB and "/" not in rest:
        rest = OFFICIAL_IMAGES + rest
    return first, rest


def _checked_digest(digest: str) -> str:
    algorithm, _, encoded = digest.partition(":")
    # The grammar allows any algorithm. go-digest accepts only those that it knows, with their length.
    if digest and DIGEST_LENGTHS.get(algorithm) != len(encoded):
        message = "the digest does not have a known algorithm and length"
        raise ValueError(message)
    return digest


def parse_registry(text: str) -> Registry:
    """Return the parts of ``host[:port][/path]``. Raises ValueError for a scheme, upper case or a trailing slash."""
    match = _REGISTRY.fullmatch(text)
    if match is None or len(match["host"]) > LONGEST_HOST:
        message = "not of the form host[:port][/path] in lower case"
        raise ValueError(message)
    return Registry(match["host"], match["port"] or "", match["path"])


def matches(image: str, registries: Sequence[str]) -> bool:
    """Return whether ``image`` belongs to one of ``registries``; False for an image that does not parse."""
    return any_matches(names_of([image]), registries)


def names_of(images: Iterable[str]) -> list[str]:
    """Return registry and repository of each image, without those that do not parse."""
    # Before the cache, which would otherwise keep texts of any length.
    names = [image_name(image) for image in images if len(image) <= LONGEST_REFERENCE]
    return [name for name in names if name is not None]


def any_matches(names: Iterable[str], registries: Sequence[str]) -> bool:
    """Return whether one of ``names`` from :func:`names_of` belongs to one of ``registries``."""
    match = _pattern(tuple(registries)).match
    return any(match(name) is not None for name in names)


@lru_cache(maxsize=1024)
def image_name(image: str) -> str | None:
    """Return the full registry and repository of an image; None when it is not an image reference."""
    try:
        return parse(image).name
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _pattern(registries: tuple[str, ...]) -> re.Pattern[str]:
    """Return one expression for all registries of a pull secret; without registries it never matches."""
    alternatives = "|".join(map(_registry_pattern, map(parse_registry, registries)))
    return re.compile(rf"(?:{alternatives})(?:/|\Z)" if registries else r"(?!)")


def _registry_pattern(registry: Registry) -> str:
    hosts = sorted(DOCKER_HUB_ALIASES) if registry.is_docker_hub else [registry.host]
    host = "|".join(host_pattern(host) for host in hosts)
    return rf"(?:{host}){registry.port}{re.escape(registry.path)}"


def host_pattern(host: str) -> str:
    """Return the expression for a host with wildcards.

    It takes linear time, because any creator of a Pod chooses the image. Within a label, the text after a ``*`` is
    searched only once. An earlier match is as good as a later one, except for the text at the end of the label.
    """
    if host == "*":
        return rf"(?:[^.:/]*|{IPV6})"  # an address has no labels; the keyring treats it as one label
    return r"\.".join(_label_pattern(label.split("*")) for label in host.split("."))


def _label_pattern(literals: list[str]) -> str:
    first, *between = map(re.escape, literals)
    if not between:
        return first
    *middle, last = between
    return first + "".join(f"(?>[^.:/]*?{literal})" for literal in middle) + f"[^.:/]*{last}"
