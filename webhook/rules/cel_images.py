"""Write image references and registries in CEL, with the grammar and matching of ``webhook/rules/images.py``.

CEL has no loops and RE2 no look-ahead. So cases expand the short name first, then one expression covers the grammar.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from webhook.rules import cel
from webhook.rules import images as imageref

if TYPE_CHECKING:
    from collections.abc import Iterable

    from webhook.rules.images import Registry

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
"""Full registry and repository of each valid image reference in a Pod."""


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
        return rf"[^.:/]*|{imageref.IPV6}"  # an address has no labels; the keyring treats it as one label
    return "[^.:/]*".join(map(re.escape, host.split("*")))
