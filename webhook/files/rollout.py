"""Read ``rollout`` of a pull secret from the configuration document, and report every problem in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from webhook.files.node import checked_items, choice, duration
from webhook.rules.configuration import ProofSettings, RolloutSettings, WhenUnknown

if TYPE_CHECKING:
    from webhook.files.node import Node

SHORTEST_SOAK = 1.0
LONGEST_SOAK = 7 * 86400.0
LONGEST_OVERLAP = 30 * 86400.0
"""In seconds."""

HIGHEST_RATE = 1000
"""Copies a second. It is more than one process reaches."""

_FIELDS = ("prove", "canary", "maxPerSecond", "overlap")
_PROVE_FIELDS = ("login", "whenUnknown")
_CANARY_FIELDS = ("namespaces", "soak")
_PATTERN = re.compile(r"[a-z0-9*?\[\]!-]+")


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
        max_per_second=fields["maxPerSecond"].number(0, 1, HIGHEST_RATE),
        overlap=duration(fields["overlap"], "1h", 0.0, LONGEST_OVERLAP),
    )


def _prove(node: Node) -> ProofSettings:
    fields = node.fields(_PROVE_FIELDS)
    if not fields["login"].boolean(default=True):
        fields["login"].report("must be true, because nothing would be proved: leave prove out for no proof")
    return ProofSettings(choice(fields["whenUnknown"], WhenUnknown, WhenUnknown.HOLD) or WhenUnknown.HOLD)


def _problem_of_pattern(text: str) -> str | None:
    if not _PATTERN.fullmatch(text):
        return "is not a pattern that the name of a namespace can match"
    return "matches every namespace: name those that get a new content first" if not text.strip("*") else None
