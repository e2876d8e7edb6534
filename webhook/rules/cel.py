"""Write CEL: literals, patterns, the condition of each gate that depends on the pull secret, and image references.

Texts of a valid configuration contain no quotes or backslashes, so raw strings can hold them unchanged. Images and
registries have the grammar and matching of ``webhook/rules/images.py``. CEL has no loops and RE2 no look-ahead, so
cases expand the short name first, then one expression covers the grammar.
"""

from __future__ import annotations

import re
import string
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from webhook.rules import images as imageref
from webhook.rules.configuration import PodPolicy
from webhook.rules.labels import Operator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from webhook.rules.configuration import Configuration, NameFilter, PullSecret
    from webhook.rules.images import Registry
    from webhook.rules.labels import Requirement

LABELS = "variables.labels"
DECLINED = "variables.declined"
ACCOUNT = "variables.account"
REPOSITORIES = "variables.repositories"

NAME_CHARACTERS = f"-.{string.digits}{string.ascii_lowercase}"
"""All characters in names of namespaces and ServiceAccounts."""

NOTHING = r"[^\x00-\x{10FFFF}]"
"""A character class that matches no character."""

_PART = re.compile(r"\*+|\?|\[!?+\]?+[^\]]*+\]|.", re.DOTALL)


def text(value: str) -> str:
    """Return the literal of a text."""
    return f'"{value}"'


def texts(values: Iterable[str]) -> str:
    """Return the literal of a list of texts."""
    return f"[{', '.join(map(text, values))}]"


def regex(expression: str) -> str:
    """Return the literal of a regular expression."""
    return f'r"{expression}"'


def matches_any(name: str, patterns: Iterable[str]) -> str:
    """Return the condition that the value of the expression ``name`` matches one of the shell-style ``patterns``."""
    alternatives = "|".join(map(_of_pattern, patterns))
    return f"{name}.matches({regex(f'^(?:{alternatives})$')})"


def _of_pattern(pattern: str) -> str:
    return "".join(map(_of_part, _PART.findall(pattern)))


def _of_part(part: str) -> str:
    if part[0] == "*":
        return ".*"
    if part == "?":
        return "."
    if len(part) == 1:
        return re.escape(part)
    # fnmatch itself evaluates each class, because of special cases such as empty ranges and a leading "!" or "]".
    members = [character for character in NAME_CHARACTERS if fnmatchcase(character, part)]
    return f"[{''.join(map(re.escape, members))}]" if members else NOTHING


def selector(entry: PullSecret) -> Iterator[str]:
    """Yield that the labels of the namespace match."""
    return map(_requirement, entry.namespace_selector.requirements)


def limits(entry: PullSecret) -> Iterator[str]:
    """Yield that each source is allowed in the namespace."""
    for patterns in entry.limits:
        if "*" not in patterns:
            yield matches_any("request.namespace", patterns)


def not_declined(entry: PullSecret, configuration: Configuration) -> Iterator[str]:
    """Yield that the namespace does not decline it."""
    if configuration.opt_in.may_decline:
        yield f"!({text(entry.name)} in {DECLINED})"


def accounts(names: NameFilter) -> Iterator[str]:
    """Yield that the ServiceAccount is included."""
    if "*" not in names.include:
        yield matches_any(ACCOUNT, names.include)
    if names.exclude:
        yield f"!{matches_any(ACCOUNT, names.exclude)}"


def images(entry: PullSecret) -> Iterator[str]:
    """Yield that an image is from one of the registries."""
    if entry.pods is PodPolicy.WHEN_IMAGE_MATCHES:
        yield from_registries(entry.registries)


def _requirement(requirement: Requirement) -> str:
    key = text(requirement.key)
    there = f"{key} in {LABELS}"
    among = f"{there} && {LABELS}[{key}] in {texts(requirement.values)}"
    return {
        Operator.EXISTS: there,
        Operator.DOES_NOT_EXIST: f"!({there})",
        Operator.IN: among,
        Operator.NOT_IN: f"!({among})",
    }[requirement.operator]


_DIGEST = "|".join(f"{name}:[a-f0-9]{{{length}}}" for name, length in imageref.DIGEST_LENGTHS.items())
_REFERENCE = rf"^(?:{imageref.DOMAIN}/)?{imageref.PATH}(?::{imageref.TAG})?(?:@(?:{_DIGEST}))?$"
_WITHOUT_TAG_AND_DIGEST = "^(?:[^/]*/)*[^/:@]*"
_HUB = text(f"{imageref.DOCKER_HUB}/")
_OFFICIAL = text(f"{imageref.DOCKER_HUB}/{imageref.OFFICIAL_IMAGES}")

_DOMAIN_FIRST = f"^{imageref.DOMAIN}/"
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_IMAGES = "\n  + ".join(
    [
        *(f'object.spec.?{field}.orValue([]).map(each, each.?image.orValue(""))' for field in _CONTAINERS),
        'object.spec.?volumes.orValue([]).map(each, each.?image.?reference.orValue(""))',
    ]
)

SPELLED_OUT = f"""\
({_IMAGES})
  .filter(image, image.size() <= {imageref.LONGEST_REFERENCE} && !image.matches(r"^[a-f0-9]{{64}}$"))
  .map(image,
    !image.contains("/") ? {_OFFICIAL} + image :
    image.matches(r"^(?:index\\.)?docker\\.io/[^/]*$") ? {_OFFICIAL} + image.substring(image.indexOf("/") + 1) :
    image.startsWith("index.docker.io/") ? image.substring({len("index.")}) :
    image.matches(r"^(?:localhost|[^/]*[.:A-Z][^/]*)/") ? image : {_HUB} + image)
  .filter(image, image.matches({regex(_REFERENCE)}))
  .map(image, image.find({regex(_WITHOUT_TAG_AND_DIGEST)}))
  .filter(name, name.size() <= {imageref.LONGEST_PATH}
    + (name.matches({regex(_DOMAIN_FIRST)}) ? name.indexOf("/") + 1 : 0))"""
"""Full registry and repository of each valid image reference in a Pod."""


def from_registries(registries: Iterable[str]) -> str:
    """Return the condition that one of ``variables.repositories`` belongs to one of ``registries``."""
    parsed = map(imageref.parse_registry, registries)
    expression = rf"^(?:{'|'.join(map(_of_registry, parsed))})(?:/|$)"
    return f"{REPOSITORIES}.exists(name, name.matches({regex(expression)}))"


def _of_registry(registry: Registry) -> str:
    hosts = sorted(imageref.DOCKER_HUB_ALIASES) if registry.is_docker_hub else [registry.host]
    host = "|".join(map(_of_host, hosts))
    return f"(?:{host}){registry.port}{re.escape(registry.path)}"


def _of_host(host: str) -> str:
    if host == "*":
        return rf"[^.:/]*|{imageref.IPV6}"  # an address has no labels; the keyring treats it as one label
    return "[^.:/]*".join(map(re.escape, host.split("*")))
