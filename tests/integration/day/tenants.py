"""What a day of life knows of the cluster: only what it has done itself, and what the API server said to that."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from tests.integration.site.playground import COPY

GOLD = "gold-credentials"
"""The second pull secret: from two sources, for some namespaces and some of their ServiceAccounts."""

GOLD_LABEL = "tier"
GOLD_INCLUDE = ("default", "app-*")
GOLD_EXCLUDE = ("app-legacy",)

HARBOR, GHCR = "harbor", "ghcr"
SHARED_REGISTRY = "shared.example.com"
"""Named by both sources: the first one wins."""

REGISTRIES = {
    HARBOR: ("harbor.example.com", SHARED_REGISTRY),
    GHCR: ("ghcr.io", SHARED_REGISTRY),
}
SOURCES_OF = {COPY: (HARBOR,), GOLD: (HARBOR, GHCR)}


@dataclass(slots=True)
class Account:
    """A ServiceAccount: the entries that are not ours, in their order."""

    theirs: list[str]
    disabled: bool = False
    ever_enabled: bool = True
    """Once disabled, it keeps whatever it had by then."""
    stripped: bool = False


@dataclass(slots=True)
class Tenant:
    """A namespace."""

    name: str
    opted_in: bool
    gold: bool
    accounts: dict[str, Account] = field(default_factory=dict)
    foreign: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Secrets that have a copy's name and are not ours, as they were when they became so."""
    may_dangle: set[str] = field(default_factory=set)
    """Names whose references may have been left behind: a foreign Secret took the place of the copy, or none was there
    when it lost its place. Where there is no copy of ours, a reference may be somebody else's, and stays."""


@dataclass(slots=True)
class Sources:
    """The passwords by source; None while it is broken or absent."""

    passwords: dict[str, str | None] = field(default_factory=dict)

    def content(self, pull_secret: str) -> dict[str, tuple[str, str]]:
        """Return user and password by registry that a copy must hold, when every source is valid."""
        merged: dict[str, tuple[str, str]] = {}
        for source in SOURCES_OF[pull_secret]:
            password = self.passwords[source]
            assert password is not None
            for registry in REGISTRIES[source]:
                merged.setdefault(registry, (source, password))
        return merged


def source_data(source: str, password: str) -> dict[str, str]:
    """Return the ``data`` of a source: its own name is the user."""
    auth = b64encode(f"{source}:{password}".encode()).decode()
    auths = {registry: {"auth": auth} for registry in REGISTRIES[source]}
    return {".dockerconfigjson": b64encode(json.dumps({"auths": auths}).encode()).decode()}


def pull_secrets(active: Mapping[str, bool]) -> list[dict[str, Any]]:
    """Return the entries of the configuration for the pull secrets that are not retired."""
    entries: dict[str, dict[str, Any]] = {
        COPY: {},
        GOLD: {
            "namespaceSelector": {"matchLabels": {GOLD_LABEL: "gold"}},
            "serviceAccounts": {"include": list(GOLD_INCLUDE), "exclude": list(GOLD_EXCLUDE)},
        },
    }
    return [
        {"name": name, "sources": [{"secretName": source} for source in SOURCES_OF[name]], **more}
        for name, more in entries.items()
        if active[name]
    ]


def wanted(tenant: Tenant, pull_secret: str, active: Mapping[str, bool]) -> bool:
    """Whether a namespace is to have a copy."""
    return active[pull_secret] and tenant.opted_in and (pull_secret != GOLD or tenant.gold)


def included(account: str, pull_secret: str) -> bool:
    """Whether a ServiceAccount of that name is to reference a pull secret."""
    if pull_secret != GOLD:
        return True
    return any(fnmatchcase(account, pattern) for pattern in GOLD_INCLUDE) and account not in GOLD_EXCLUDE
