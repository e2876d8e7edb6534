"""Image references, and the registries that they belong to.

The grammar is that of github.com/distribution/reference v0.6 (regexp.go, normalize.go): ``nginx`` is
``docker.io/library/nginx``, ``index.docker.io`` is ``docker.io``. A registry is ``host[:port][/path]`` and is matched
as the kubelet's keyring does it (k8s.io/kubernetes, pkg/credentialprovider/keyring.go, URLsMatch): ``*``
stands for characters within one label of the host (``?`` does not: the keyring reads it as the query of a URL), the
number of labels and the port must agree, case counts. The deliberate differences: the path matches by whole segments,
so ``registry.example.com/team`` does not cover ``registry.example.com/teams``; Docker Hub is one registry under all of
its names; ``/v2`` at the beginning of a path and an IPv6 host without a port are what they say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DOCKER_HUB = "docker.io"
DOCKER_HUB_ALIASES = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
OFFICIAL_IMAGES = "library/"

LONGEST_PATH = 255
"""Characters of the path; the limit of distribution/reference."""

LONGEST_HOST = 253
"""Characters; the limit of DNS."""

LONGEST_REFERENCE = 1024
"""Characters; a host of 253, the longest path, tag and digest together stay below. Bounds the cache too."""

DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}

_HOST_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
IPV6 = r"\[[a-fA-F0-9:]+\]"
PATH_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
PATH = rf"{PATH_COMPONENT}(?:/{PATH_COMPONENT})*"
DOMAIN = rf"(?:{_HOST_LABEL}(?:\.{_HOST_LABEL})*|{IPV6})(?::[0-9]+)?"
TAG = r"\w[\w.-]{0,127}"
"""These are read by RE2 as they are by Python: ``webhook/core/export`` writes them into policies."""

_NAME = re.compile(rf"(?P<path>{PATH})(?::(?P<tag>{TAG}))?(?:@(?P<digest>[a-z0-9]+:[a-f0-9]+))?", re.ASCII)
_DOMAIN_ONLY = re.compile(DOMAIN)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")

_GLOB_LABEL = r"[a-z0-9*](?:[a-z0-9*_-]*[a-z0-9*])?"
_REGISTRY = re.compile(
    rf"(?P<host>{_GLOB_LABEL}(?:\.{_GLOB_LABEL})*|{IPV6.replace('A-F', '')})(?P<port>:[0-9]+)?(?P<path>(?:/{PATH})?)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class ImageReference:
    """A parsed image reference; ``tag`` and ``digest`` are empty where the reference has none.

    So is ``domain`` where the host is none by the grammar of references, but a first component of the path by it:
    ``my_registry.example.com/app``. Kubelet and container runtime pull that all the same.
    """

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest: what the kubelet looks up in its keyring."""
        return f"{self.domain}/{self.path}" if self.domain else self.path


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry as credentials and ``registries`` name it: a host that may have wildcards, a port, a path."""

    host: str
    port: str = ""
    path: str = ""

    @property
    def is_docker_hub(self) -> bool:
        """Whether this is Docker Hub under any of the names it goes by."""
        return self.host in DOCKER_HUB_ALIASES and not self.port

    def __str__(self) -> str:
        return f"{self.host}{self.port}{self.path}"


def parse(reference: str) -> ImageReference:
    """Return the parts of ``reference``, with the name spelled out in full; ValueError when it is not one."""
    if len(reference) > LONGEST_REFERENCE:
        message = "the image reference is too long"
        raise ValueError(message)
    if _IDENTIFIER.fullmatch(reference):
        message = "a bare image identifier names no repository"
        raise ValueError(message)
    domain, remainder = _split_domain(reference)
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
    if first == "index.docker.io":
        first = DOCKER_HUB
    elif first != "localhost" and "." not in first and ":" not in first and first.lower() == first:
        return DOCKER_HUB, reference
    if first == DOCKER_HUB and "/" not in rest:
        rest = OFFICIAL_IMAGES + rest
    return first, rest


def _checked_digest(digest: str) -> str:
    algorithm, _, encoded = digest.partition(":")
    if digest and DIGEST_LENGTHS.get(algorithm) != len(encoded):
        message = "the digest is not of a known algorithm and length"
        raise ValueError(message)
    return digest


def parse_registry(text: str) -> Registry:
    """Return the parts of ``host[:port][/path]``; ValueError for a scheme, upper case, a trailing slash."""
    match = _REGISTRY.fullmatch(text)
    if match is None or len(match["host"]) > LONGEST_HOST:
        message = "not of the form host[:port][/path] in lower case"
        raise ValueError(message)
    return Registry(match["host"], match["port"] or "", match["path"])


def matches(image: str, registries: Sequence[str]) -> bool:
    """Return whether ``image`` belongs to one of ``registries``; never for an image that does not parse."""
    return any_matches(names_of([image]), registries)


def names_of(images: Iterable[str]) -> list[str]:
    """Return registry and repository of each image; nothing for one that does not parse."""
    names = [image_name(image) for image in images if len(image) <= LONGEST_REFERENCE]
    return [name for name in names if name is not None]


def any_matches(names: Iterable[str], registries: Sequence[str]) -> bool:
    """Return whether one of ``names``, as :func:`names_of` returns them, belongs to one of ``registries``."""
    match = _pattern(tuple(registries)).match
    return any(match(name) is not None for name in names)


@lru_cache(maxsize=1024)
def image_name(image: str) -> str | None:
    """Return registry and repository of an image, spelled out in full; None when it is not an image reference."""
    try:
        return parse(image).name
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _pattern(registries: tuple[str, ...]) -> re.Pattern[str]:
    """Return one expression for all registries of a pull secret; without any, it matches nothing."""
    alternatives = "|".join(map(_registry_pattern, map(parse_registry, registries)))
    return re.compile(rf"(?:{alternatives})(?:/|\Z)" if registries else r"(?!)")


def _registry_pattern(registry: Registry) -> str:
    hosts = sorted(DOCKER_HUB_ALIASES) if registry.is_docker_hub else [registry.host]
    host = "|".join(host_pattern(host) for host in hosts)
    return rf"(?:{host}){registry.port}{re.escape(registry.path)}"


def host_pattern(host: str) -> str:
    """Return the expression for a host with wildcards; it takes linear time, for whoever creates a Pod names the image.

    Within a label, what follows a ``*`` is looked for once and not again: an earlier place is as good as a later one,
    but for what ends the label.
    """
    if host == "*":
        return rf"(?:[^.:/]*|{IPV6})"  # that has no labels: to the keyring it is one
    return r"\.".join(_label_pattern(label.split("*")) for label in host.split("."))


def _label_pattern(literals: list[str]) -> str:
    first, *between = map(re.escape, literals)
    if not between:
        return first
    *middle, last = between
    return first + "".join(f"(?>[^.:/]*?{literal})" for literal in middle) + f"[^.:/]*{last}"
