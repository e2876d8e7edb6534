"""Define the values of ``--log-format`` and ``--log-level``, without structlog, which most commands do not need."""

from __future__ import annotations

from enum import StrEnum


class LogFormat(StrEnum):
    """The format of a line."""

    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """The lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
