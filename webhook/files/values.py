"""Read the configuration from values of the chart, so that a change can be planned before ``helm upgrade``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from webhook.errors import ConfigurationInvalid, Problem, UsageError
from webhook.files.configuration import API_VERSION, KIND, configuration_of
from webhook.files.renewing import ISSUED_INFIX, KINDS, per_namespace
from webhook.files.yaml import LARGEST_DOCUMENT, DocumentError, Value, load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from webhook.rules.configuration import Configuration

CHART = "pull-secret-webhook"
"""The name of the chart: the usual name of a release, and the label ``app.kubernetes.io/name`` of its objects."""

_LONGEST_FULLNAME = 55
"""Characters to which the chart shortens a name: suffixes follow, and a name has 63 characters at most."""

KEYS = ("optIn", "excludedNamespaces", "healing", "pullSecrets", "retired")
"""The values that the chart writes into the configuration document."""


@dataclass(frozen=True, slots=True)
class ChartValues:
    """Values of the chart, which do not name the release: so the Secrets of renewing sources have no names yet."""

    origin: str
    document: Mapping[str, Value] = field(repr=False)
    fullname: str
    """The ``fullnameOverride``; empty if it is not set."""

    def configuration(self, fullname: str = CHART) -> Configuration:
        """Return the configuration in a release whose objects have this name, unless the values override it."""
        named = _with_issued_names(self.document.get("pullSecrets"), self.fullname or fullname)
        return configuration_of({**self.document, "pullSecrets": named}, self.origin, [])


def cut_fullname(name: str) -> str:
    """Return a name as the chart shortens it in templates/_names.tpl: trunc, then trimSuffix."""
    return name[:_LONGEST_FULLNAME].removesuffix("-")


def load_values(paths: Sequence[Path]) -> ChartValues:
    """Return the values in these files; a later file overrides an earlier one, as for helm.

    Raises:
        UsageError: a file cannot be read, or its values are not a valid configuration.
    """
    problems: list[Problem] = []
    values = read_values(paths, problems)
    if values.get("pullSecrets") is None:
        problems.append(Problem("pullSecrets", "is required: name at least one pull secret"))
    document: dict[str, Value] = {"apiVersion": API_VERSION, "kind": KIND}
    # All other values are about the objects of the chart, and are not in the document.
    document |= {key: values[key] for key in KEYS if key in values}
    origin, name = ", ".join(map(str, paths)), values.get("fullnameOverride")
    fullname = cut_fullname(name) if isinstance(name, str) else ""
    named = _with_issued_names(document.get("pullSecrets"), fullname or CHART)
    configuration_of({**document, "pullSecrets": named}, origin, problems)
    return ChartValues(origin, document, fullname)


def _with_issued_names(pull_secrets: Value, fullname: str) -> Value:
    """Return the pull secrets with the Secrets that the chart names for the sources that renew themselves."""
    if not isinstance(pull_secrets, list):
        return pull_secrets
    named: list[Value] = []
    for entry in pull_secrets:
        sources = entry.get("sources") if isinstance(entry, dict) else None
        if isinstance(entry, dict) and isinstance(sources, list):
            named.append(entry | {"sources": [_with_issued_name(source, fullname) for source in sources]})
        else:
            named.append(entry)
    return named


def _with_issued_name(source: Value, fullname: str) -> Value:
    if not isinstance(source, dict) or "secretName" in source:
        return source
    kinds = [settings for kind in KINDS if isinstance(settings := source.get(kind), dict)]
    if kinds and per_namespace(kinds[0]):
        return source
    name = kinds[0].get("name") if kinds else None
    # The chart builds the same name. With another one, a plan would be about a Secret that does not exist.
    return source | {"secretName": f"{fullname}{ISSUED_INFIX}{name}"} if isinstance(name, str) else source


def read_values(paths: Sequence[Path], problems: list[Problem]) -> dict[str, Value]:
    """Return the merged values of these files; problems inside them are appended to ``problems``."""
    values: dict[str, Value] = {}
    for path in paths:
        values = _merged(values, _read(path, problems))
    return values


def _read(path: Path, problems: list[Problem]) -> dict[str, Value]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            value = load(file.read(LARGEST_DOCUMENT + 1), problems)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"the values in {path} cannot be read ({reason}): give a file with --values") from None
    except DocumentError as error:
        raise ConfigurationInvalid(str(path), [Problem("", str(error))]) from None
    if not isinstance(value, dict):
        raise UsageError(f"the values in {path} are not a mapping: give a values file of the chart with --values")
    return value


def _merged(first: dict[str, Value], second: dict[str, Value]) -> dict[str, Value]:
    """Return the values with those of a later file: mappings are merged, null removes a value, others are replaced."""
    merged = dict(first)
    for key, value in second.items():
        before = merged.get(key)
        if isinstance(value, dict):
            merged[key] = _merged(before if isinstance(before, dict) else {}, value)
        else:
            merged[key] = value
    return merged
