"""Parse the ``WWW-Authenticate`` header of a 401 from a registry (RFC 9110, 11.6.1).

Source of the flow: https://distribution.github.io/distribution/spec/auth/token/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9-]*)(?:\s+|$)")
_PARAMETER = re.compile(r'\s*([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,|$)')
LONGEST_HEADER = 8192
"""In characters; a genuine challenge is shorter."""

LONGEST_REALM = 2048
_HTTPS_URL = re.compile(r"https://([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?([/?][!-~]*)?", re.IGNORECASE)
"""A URL of a host, without a user, in characters that every terminal and every parser reads alike."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """A scheme and its parameters; the scheme and the names of the parameters are in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Return the challenges of these header values, in order; unreadable ones are skipped."""
    return [challenge for header in headers if len(header) <= LONGEST_HEADER for challenge in _parse(header)]


def parse_realm(realm: str) -> SplitResult | None:
    """Return the https URL of a token service, or None, because a registry may send anything."""
    if len(realm) > LONGEST_REALM or _HTTPS_URL.fullmatch(realm) is None:
        return None
    try:
        found = urlsplit(realm)
        _ = found.port
    except ValueError:
        return None
    return found


def _parse(header: str) -> list[Challenge]:
    found: list[Challenge] = []
    position = 0
    while position < len(header):
        scheme = _SCHEME.match(header, position)
        if scheme is None:
            break
        position = scheme.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, position):
            quoted, plain = parameter[2], parameter[3]
            parameters[parameter[1].lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
            position = parameter.end()
        found.append(Challenge(scheme[1].lower(), parameters))
    return found
