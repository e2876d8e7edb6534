"""Image references and registries in CEL: what ``webhook/core/imageref.py`` reads and matches, said to the API server.

CEL has no loops and RE2 no look-ahead, so the short name is spelled out by cases, then the grammar is one expression.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from webhook.core import imageref
from webhook.core.export import cel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from webhook.core.imageref import Registry

REPOSITORIES = "variables.repositories"

_DIGEST = "|".join(f"{name}:[a-f0-9]{{{length}}}" for name, length in imageref.DIGEST_LENGTHS.items())
_REFERENCE = rf"^(?:{imageref.DOMAIN}/)?{imageref.PATH}(?::{imageref.TAG})?(?:@(?:{_DIGEST}))?$"
_WITHOUT_TAG_AND_DIGEST = "^(?:[^/]*/)*[^/:@]*"
_HUB = cel.text(f"{imageref.DOCKER_HUB}/")
_OFFICIAL = cel.text(f"{imageref.DOCKER_HUB}/{imageref.OFFICIAL_IMAGES}")

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
  .filter(image, image.matches({cel.regex(_REFERENCE)}))
  .map(image, image.find({cel.regex(_WITHOUT_TAG_AND_DIGEST)}))
  .filter(name, name.size() <= {imageref.LONGEST_PATH}
    + (name.matches({cel.regex(_DOMAIN_FIRST)}) ? name.indexOf("/") + 1 : 0))"""
"""Registry and repository of each image of a Pod that is a reference, spelled out in full."""


def from_registries(registries: Iterable[str]) -> str:
    """Return the condition that one of ``variables.repositories`` belongs to one of ``registries``."""
    parsed = map(imageref.parse_registry, registries)
    expression = rf"^(?:{'|'.join(map(_of_registry, parsed))})(?:/|$)"
    return f"{REPOSITORIES}.exists(name, name.matches({cel.regex(expression)}))"


def _of_registry(registry: Registry) -> str:
    hosts = sorted(imageref.DOCKER_HUB_ALIASES) if registry.is_docker_hub else [registry.host]
    host = "|".join(map(_of_host, hosts))
    return f"(?:{host}){registry.port}{re.escape(registry.path)}"


def _of_host(host: str) -> str:
    if host == "*":
        return rf"[^.:/]*|{imageref.IPV6}"  # that has no labels: to the keyring it is one
    return "[^.:/]*".join(map(re.escape, host.split("*")))
