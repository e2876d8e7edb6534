"""Logging: structlog to standard error, JSON lines in a cluster, readable lines on a terminal.

Messages are constant and variables are keys. What third-party packages log through the standard library goes the same
way. No access log: metrics count requests, and the API server's audit log names them.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from webhook.core.text import ascii_json, escaped, escaped_lines

if TYPE_CHECKING:
    from typing import TextIO

    import structlog
    from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger
else:
    # structlog takes rich where there is one, for tracebacks that show local variables. Ours never do, and the import
    # costs a process a sixth of a second and 10 MiB: for this one import there is none. `plan` draws its table with it.
    _modules: dict[str, Any] = sys.modules
    _rich = _modules.setdefault("rich", None)
    import structlog

    if _rich is None:
        del _modules["rich"]


class LogFormat(StrEnum):
    """The form of a line."""

    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """The least severe level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


REDACTED = "[redacted]"

SENSITIVE_WORDS = frozenset({"auth", "body", "data", "passwd", "password", "pem", "token"})
"""A key that has one of these as a word of its name never shows its value; nobody should log one in the first place."""

_QUIET = ("uvicorn.error", "urllib3", "kubernetes", "asyncio")
"""Loggers whose INFO and DEBUG tell of their own mechanics, and at DEBUG of headers and bodies."""


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide the values of sensitive keys: the last line of defence."""
    for key in event:
        if not SENSITIVE_WORDS.isdisjoint(key.lower().replace("-", "_").split("_")):
            event[key] = REDACTED
    return event


def escape_text(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape in text what a terminal would obey; values that are not text are shown by their repr, which does that."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = escaped(value)
    return event


def _plain_traceback(file: TextIO, exception: ExcInfo) -> None:
    """Write a traceback: never one that shows local variables."""
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exception)
    file.write(escaped_lines(text.getvalue()))


def _ascii_json(document: object, **options: Any) -> str:  # noqa: ANN401 - those of json.dumps
    return ascii_json(json.dumps(document, **options))


class _Lines:
    """Writes the rendered lines of one logger to where those of the standard library's loggers go.

    Not through the standard library, which makes a record of each line and costs three times as much: sync has two
    lines to say about each namespace.
    """

    def __init__(self, handler: logging.StreamHandler[TextIO], name: str) -> None:
        self.name = name
        self._handler = handler

    def line(self, text: str) -> None:
        self._handler.acquire()
        try:
            self._handler.stream.write(f"{text}\n")
            self._handler.flush()
        except (OSError, ValueError):
            # Nobody reads any more, or the disk is full: no reason for the work itself to fail.
            return
        finally:
            self._handler.release()

    debug = info = warning = error = critical = exception = line


def configure(log_format: LogFormat, level: LogLevel) -> None:
    """Set up the logging of this process, once, before anything logs."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    renderers = _renderers(log_format)
    handler = logging.StreamHandler(sys.stderr)
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *names: _Lines(handler, *names),
        cache_logger_on_first_use=True,
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(threshold)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))


def _renderers(log_format: LogFormat) -> list[Processor]:
    if log_format is LogFormat.JSON:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_ascii_json, sort_keys=True)]
    console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_plain_traceback)
    return [escape_text, console]
