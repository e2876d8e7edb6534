"""The packages that an installation of the project has, by their own metadata."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution

PROJECT = "pull-secret-webhook"

FREE = frozenset(
    {
        *("MIT", "MIT-0", "MIT License", "Apache-2.0", "Apache Software License", "ISC", "ISC License (ISCL)"),
        *("BSD-2-Clause", "BSD-3-Clause", "0BSD", "BSD License", "PSF-2.0", "Python Software Foundation License"),
        *("MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)", "Unlicense"),
    }
)
"""Licences under which a package may be shipped with an Apache-2.0 project, as metadata spell them."""

TEXTS = {"Permission is hereby granted, free of charge, to any person obtaining a copy": "MIT"}
"""Beginnings of texts, for packages whose metadata name no licence."""

LONGEST = 40
"""Characters of a name; some have the whole text in its place."""

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def shipped() -> dict[str, Distribution]:
    """Return what an installation brings, by normalised name: the dependencies, theirs, and so on."""
    distributions: dict[str, Distribution] = {}
    waiting = [(PROJECT, frozenset[str]())]
    while waiting:
        name, extras = waiting.pop()
        if name in distributions:
            continue
        try:
            distributions[name] = distribution(name)
        except PackageNotFoundError:
            continue  # a marker that does not hold here: another system, another Python
        waiting += [
            _parsed(requirement)
            for requirement in distributions[name].requires or ()
            if _is_wanted(requirement, extras)
        ]
    del distributions[PROJECT]
    return distributions


def licences(package: Distribution) -> list[str]:
    """Return the licences that a package names: each must be fulfilled."""
    metadata = package.metadata
    expression = "".join(metadata.get_all("License-Expression") or ())
    if expression:
        return [part.strip("() ") for part in re.split(r"\s+AND\s+", expression)]
    classifiers = metadata.get_all("Classifier") or ()
    named = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: OSI Approved :: ")]
    return named or [line for line in metadata.get_all("License") or () if len(line) < LONGEST] or _by_text(package)


def _by_text(package: Distribution) -> list[str]:
    files = [file for file in package.files or () if "licen" in file.name.lower()]
    texts = [" ".join(file.read_text().split()) for file in files]
    return [name for beginning, name in TEXTS.items() if any(beginning in text for text in texts)]


def is_free(licence: str) -> bool:
    """Return True if a licence, or one of those to choose from, is free."""
    return licence in FREE or any(choice.strip("() ") in FREE for choice in re.split(r"\s+OR\s+", licence))


def _is_wanted(requirement: str, extras: frozenset[str]) -> bool:
    extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", requirement)
    return extra is None or extra[1] in extras


def _parsed(requirement: str) -> tuple[str, frozenset[str]]:
    name = _NAME.match(requirement)
    assert name is not None
    extras = re.match(r"\s*\[([^\]]*)\]", requirement[name.end() :])
    extra_names = frozenset(extra.strip() for extra in extras[1].split(",")) if extras else frozenset()
    return re.sub(r"[-_.]+", "-", name[0]).lower(), extra_names
