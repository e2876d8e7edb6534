"""Read the configuration from values of the chart, so that a change can be planned before ``helm upgrade``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.errors import ConfigurationInvalid, Problem, UsageError
from webhook.files.configuration import API_VERSION, KIND, configuration_of
from webhook.files.renewing import ISSUED_INFIX, KINDS
from webhook.files.yaml import LARGEST_DOCUMENT, DocumentError, Value, load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from webhook.rules.configuration import Configuration

CHART = "pull-secret-webhook"
"""The name of the chart."""

KEYS = ("optIn", "excludedNamespaces", "pullSecrets", "retired")
"""The values that the chart writes into the configuration document."""


def load_values(paths: Sequence[Path]) -> Configuration:
    """Return the configuration that the chart makes of these files; a later file overrides an earlier one, as for helm.

    The Secrets of renewing sources get the names that they have with ``fullnameOverride``, or in a release that is
    called like the chart: the values do not name the release.

    Raises:
        UsageError: a file cannot be read, or its values are not a valid configuration.
    """
    problems: list[Problem] = []
    values = read_values(paths, problems)
    if values.get("pullSecrets") is None:
        problems.append(Problem("pullSecrets", "is required: name at least one pull secret"))
    document: dict[str, Value] = {"apiVersion": API_VERSION, "kind": KIND}
    document |= {key: values[key] for key in KEYS if key in values}
    document["pullSecrets"] = _with_issued_names(document.get("pullSecrets"), _fullname(values))
    return configuration_of(document, ", ".join(map(str, paths)), problems)


def _fullname(values: dict[str, Value]) -> str:
    name = values.get("fullnameOverride")
    return name if isinstance(name, str) and name else CHART


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
    name = kinds[0].get("name") if kinds else None
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
