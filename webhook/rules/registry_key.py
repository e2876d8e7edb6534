"""Read the keys of ``auths`` as the kubelet and Knative do.

Both readers parse a key as a URL, keep its host, and cut ``/v1/`` or ``/v2/`` off the beginning of its path. They parse
the result again when they look up an image. Hosts are compared label by label with wildcards, ports must be equal, and
the path is a text prefix. So ``ghcr.io/org`` covers ``ghcr.io/organisation``, and ``ghcr.io/org/`` does not. A copy
must keep this meaning exactly, because a credential that covers more images than its source would be offered to wrong
registries or images.

Sources: k8s.io/kubernetes v1.37, pkg/credentialprovider/keyring.go (Add, Lookup, URLsMatch); go-containerregistry
v0.22, pkg/authn/kubernetes/keychain.go; Go 1.26, net/url (parse, parseHost, unescape).
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import msgspec

from webhook.rules.images import IPV6, LONGEST_PATH, LONGEST_REFERENCE, PATH_COMPONENT, host_pattern, image_name

if TYPE_CHECKING:
    from collections.abc import Iterable

HUB_HOST = "index.docker.io"
DOCKER_HUB_KEY = f"https://{HUB_HOST}/v1/"
"""The only spelling of Docker Hub that the kubelet, docker and go-containerregistry all look up."""

HUB_DOMAIN = "docker.io"
"""The registry of ``nginx`` after the kubelet has expanded the name."""

_SCHEMES = ("https://", "http://")
_API_VERSIONS = ("/v1/", "/v2/")
_DOCKER_TOKENS = frozenset({"/access-token", "/refresh-token"})
"""Keys below Docker Hub's key where a browser ``docker login`` stores its tokens; these are not registries."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_USERINFO = re.compile(r"[A-Za-z0-9._:~!$&'()*+,;=%@-]*")
_LABEL = r"[A-Za-z0-9*](?:[A-Za-z0-9*_-]*[A-Za-z0-9*])?"
_HOST = re.compile(rf"(?P<labels>{_LABEL}(?:\.{_LABEL})*)(?P<port>:[0-9]*)?")
_HOST_V6 = re.compile(rf"(?P<address>{IPV6}):[0-9]+")
_PATH_PREFIX = re.compile(rf"(?:/{PATH_COMPONENT})*(?:/(?:{PATH_COMPONENT}(?:[._]|__|-+)?)?)?")


class UnusableKey(ValueError):
    """Images cannot match the key. The message continues the sentence ``registry "…"``, and never quotes the key."""


class RegistryKey(msgspec.Struct, frozen=True):
    """A key of ``auths`` as the readers index it: a host with optional wildcards and port, and an optional path."""

    host: str
    path: str = ""

    def __str__(self) -> str:
        """Return the key as a copy has it; reading it again gives an equal key."""
        if self.is_docker_hub:
            return DOCKER_HUB_KEY
        # Without this the readers would cut the version off a second time.
        version = "/v2" if self.path.startswith(_API_VERSIONS) else ""
        return f"{self.host}{version}{quote(self.path, safe='/')}"

    @property
    def is_docker_hub(self) -> bool:
        """Return whether the kubelet offers it for Docker Hub's images when no other key matches."""
        return self.host == HUB_HOST and not self.path

    @property
    def is_for_knative_alone(self) -> bool:
        """Return whether it is a part of Docker Hub under the name that only go-containerregistry uses."""
        return self.host == HUB_HOST and bool(self.path)

    def may_cover(self, host: str) -> bool:
        """Return whether a reader finds it for some images of a host by their name."""
        return _pattern(self.host, "").match(f"{host}/") is not None

    def covers(self, image: str) -> bool:
        """Return whether the kubelet offers the credential for an image; False for an invalid image reference."""
        name = image_name(image) if len(image) <= LONGEST_REFERENCE else None
        if name is None:
            return False
        if self.is_docker_hub:
            # No expanded name has the host index.docker.io. Lookup uses this key for images of docker.io without any
            # other match.
            return name.startswith(f"{HUB_DOMAIN}/")
        # Split again, because URLsMatch parses the indexed key a second time and decodes escapes again.
        return _pattern(self.host, _split(self.host + self.path)[1]).match(name) is not None


@lru_cache(maxsize=1024)
def read_key(key: str) -> RegistryKey:
    """Return a key as the readers parse it. Raises UnusableKey when images cannot match it."""
    indexed = _indexed(key)
    # The readers parse the result again for each image, so a key must be usable after both.
    host, path = _split(indexed.host + indexed.path)
    _check_host(host)
    if not _PATH_PREFIX.fullmatch(path) or len(path) > LONGEST_PATH + 1:
        raise UnusableKey(_path_problem(path))
    if indexed.host == HUB_HOST and indexed.path in _DOCKER_TOKENS:
        message = "is a key where docker stores its own token: images do not have such names"
        raise UnusableKey(message)
    return indexed


def covering_keys(keys: Iterable[str], image: str) -> list[str]:
    """Return the keys whose credentials the kubelet tries for an image, in its order: the most specific one first.

    It sorts the keys in reverse order of their text, and uses Docker Hub's only if no other matches.
    """
    pairs = [(key, registry) for key in keys if (registry := read_key(key)).covers(image)]
    pairs.sort(key=lambda pair: (not pair[1].is_docker_hub, pair[1].host + pair[1].path), reverse=True)
    return [key for key, registry in pairs if not registry.is_docker_hub] or [key for key, _ in pairs]


def _indexed(key: str) -> RegistryKey:
    # Add in keyring.go: only these spellings of a scheme are known, and others get https:// in front.
    if key.startswith(_SCHEMES):
        key = key.partition("://")[2]
    host, path = _split(key)
    if path.startswith(_API_VERSIONS):
        # It keeps the slash after the version, as effectivePath[3:] does in keyring.go.
        path = path[3:]
    return RegistryKey(host, "" if path == "/" else path)


def _split(text: str) -> tuple[str, str]:
    """Return host and decoded path of a URL without its scheme, as Go's ``url.Parse`` does."""
    # The order is that of url.Parse: the fragment, then the query, then the authority up to the first slash.
    text, _, fragment = text.partition("#")
    if _CONTROL.search(text):
        message = "has a control character, perhaps a line break"
        raise UnusableKey(message)
    authority, slash, rest = text.partition("?")[0].partition("/")
    # parseAuthority in net/url takes the last @.
    userinfo, at, host = authority.rpartition("@")
    if at and not _USERINFO.fullmatch(userinfo):
        message = "has characters before an @ that are not allowed in a URL"
        raise UnusableKey(message)
    path = slash + rest
    if any(_BAD_ESCAPE.search(part) for part in (userinfo, host, path, fragment)):
        message = "has a percent sign without an escape"
        raise UnusableKey(message)
    return host, unquote(path)


def _check_host(host: str) -> None:
    if host.startswith("["):
        _check_address(host)
        return
    match = _HOST.fullmatch(host)
    if match is None:
        raise UnusableKey(_host_problem(host))
    labels, port = match["labels"], (match["port"] or "").removeprefix(":")
    if not port and "." not in labels and labels != "localhost" and "*" not in labels and labels == labels.lower():
        if match["port"]:
            raise UnusableKey(_host_problem(host))
        message = "does not name a registry: without a dot or a port, the host is the beginning of a name on Docker Hub"
        raise UnusableKey(message)


def _check_address(host: str) -> None:
    match = _HOST_V6.fullmatch(host)
    if match is None:
        message = "has an IPv6 address without a port: the kubelet then reads the brackets as a set of characters"
        raise UnusableKey(message)
    try:
        IPv6Address(match["address"][1:-1])
    except ValueError:
        valid = False
    else:
        valid = True
    if not valid:
        message = "is not of the form host[:port][/path]: the address in brackets is invalid"
        raise UnusableKey(message)


def _host_problem(host: str) -> str:
    if not host:
        return "is not of the form host[:port][/path]: the host is empty"
    if host.strip() != host or " " in host:
        return "has a space: remove it"
    if host.lower() in ("https:", "http:"):
        return "has a scheme that the kubelet does not know in this spelling: write host[:port][/path]"
    if host.endswith(":"):
        return "has another scheme than https:// or http://: write host[:port][/path]"
    if ":" in host:
        return "is not of the form host[:port][/path]: the text after the colon is not a port, perhaps a tag"
    return "is not of the form host[:port][/path]: images do not have such a host"


def _path_problem(path: str) -> str:
    if " " in path:
        return "has a space: remove it"
    if path.startswith("//"):
        return "has another scheme than https:// or http://, or two slashes: write host[:port][/path]"
    if "@" in path:
        return "has a digest: a key ends before it"
    if ":" in path:
        return "has a tag: a key ends before it"
    if "*" in path:
        return "has a wildcard in its path: the kubelet supports them only in the host"
    if path != path.lower():
        return "has upper case in its path: names of images are lower case, so write it in lower case"
    return "is not of the form host[:port][/path]: images do not have such a path"


@lru_cache(maxsize=1024)
def _pattern(host: str, path: str) -> re.Pattern[str]:
    address = _HOST_V6.fullmatch(host)
    if address is not None:
        return re.compile(re.escape(host + path))
    labels, _, port = host.partition(":")
    start = rf"{host_pattern(labels)}{f':{port}' if port else ''}/"
    return re.compile(start + re.escape(path.removeprefix("/")))
