"""The forms in which commands print what they found."""

from __future__ import annotations

from enum import StrEnum


class Output(StrEnum):
    """The forms of ``--output``."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    MANIFESTS = "manifests"
