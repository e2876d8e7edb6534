"""Read ``rollout`` of a pull secret from the configuration document, and report every problem in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.files.node import checked_items, choice, duration
from webhook.rules.configuration import ProofSettings, RolloutSettings, WhenUnknown
from webhook.rules.images import parse
from webhook.rules.names import matches_every_name, problem_of_namespace_pattern

if TYPE_CHECKING:
    from webhook.files.node import Node

SHORTEST_SOAK = 1.0
LONGEST_SOAK = 7 * 86400.0
LONGEST_OVERLAP = 30 * 86400.0
"""In seconds."""

MOST_IMAGES = 32
"""A registry that does not answer takes 10 s for each, and eight are tested together."""

HIGHEST_RATE = 1000
"""Copies a second. It is more than one process reaches."""

_FIELDS = ("prove", "canary", "maxPerSecond", "overlap")
_PROVE_FIELDS = ("login", "pull", "imagesFromPods", "whenUnknown")
_CANARY_FIELDS = ("namespaces", "soak", "watchPods")


def read_rollout(node: Node) -> RolloutSettings | None:
    """Return the settings of a rollout; None if the field is absent."""
    if node.absent:
        return None
    fields = node.fields(_FIELDS)
    canary = fields["canary"].fields(_CANARY_FIELDS)
    if not fields["canary"].absent and canary["namespaces"].value in (None, []):
        canary["namespaces"].report("is required: name at least one namespace or pattern, such as staging-*")
    return RolloutSettings(
        prove=None if fields["prove"].absent else _prove(fields["prove"]),
        canary=checked_items(canary["namespaces"], _problem_of_pattern),
        soak=duration(canary["soak"], "5m", SHORTEST_SOAK, LONGEST_SOAK),
        watch_pods=canary["watchPods"].boolean(default=False),
        max_per_second=fields["maxPerSecond"].number(0, 1, HIGHEST_RATE),
        overlap=duration(fields["overlap"], "1h", 0.0, LONGEST_OVERLAP),
    )


def _prove(node: Node) -> ProofSettings:
    fields = node.fields(_PROVE_FIELDS)
    login, images = fields["login"].boolean(default=True), checked_items(fields["pull"], _problem_of_image)
    from_pods = fields["imagesFromPods"].boolean(default=False)
    if not login and not from_pods and fields["pull"].value in (None, []):
        fields["login"].report("must be true without pull, because nothing would be proved: leave out prove")
    if len(images) > MOST_IMAGES:
        fields["pull"].report(f"has more than {MOST_IMAGES} images: name one for each repository that matters most")
    when_unknown = choice(fields["whenUnknown"], WhenUnknown, WhenUnknown.HOLD) or WhenUnknown.HOLD
    return ProofSettings(when_unknown, login=login, pull=tuple(dict.fromkeys(images)), images_from_pods=from_pods)


def _problem_of_image(text: str) -> str | None:
    try:
        parse(text)
    except ValueError:
        return "is not an image reference: write it as in a Pod"
    return None


def _problem_of_pattern(text: str) -> str | None:
    if matches_every_name(text):
        return "matches every namespace: name those that get a new content first"
    return problem_of_namespace_pattern(text)
