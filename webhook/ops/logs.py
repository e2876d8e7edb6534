"""Log with structlog to standard error: JSON lines in a cluster, readable lines on a terminal.

Messages are constant and variables are keys. Third-party logs through the standard library take the same path. There is
no access log, because metrics count requests and the API server's audit log names them.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from webhook.ops.log_format import LogFormat
from webhook.rules.text import ascii_json, escaped, escaped_lines

if TYPE_CHECKING:
    from typing import TextIO

    import structlog
    from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

    from webhook.ops.log_format import LogLevel
else:
    # structlog uses rich, if it is installed, for tracebacks that show local variables. Our tracebacks never do, and
    # the import costs a sixth of a second and 10 MiB. So rich is hidden during this one import. `plan` draws its table
    # with it.
    _modules: dict[str, Any] = sys.modules
    _rich = _modules.setdefault("rich", None)
    import structlog

    if _rich is None:
        del _modules["rich"]


REDACTED = "[redacted]"

SENSITIVE_WORDS = frozenset({"auth", "body", "data", "passwd", "password", "pem", "token"})
"""Keys with one of these words in their name never show their value. Code should not log such values at all."""

_QUIET = ("uvicorn.error", "urllib3", "kubernetes", "asyncio")
"""Loggers whose INFO and DEBUG lines describe their internals, and at DEBUG headers and bodies."""


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide the values of sensitive keys, as a last line of defence."""
    for key in event:
        if _is_sensitive(key):
            event[key] = REDACTED
    return event


@lru_cache(maxsize=1024)
def _is_sensitive(key: str) -> bool:
    return not SENSITIVE_WORDS.isdisjoint(key.lower().replace("-", "_").split("_"))


def escape_text(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape terminal control characters in text. Other values are shown by their repr, which escapes them."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = escaped(value)
    return event


def _plain_traceback(file: TextIO, exception: ExcInfo) -> None:
    """Write a traceback without local variables."""
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exception)
    file.write(escaped_lines(text.getvalue()))


_encode = json.JSONEncoder(sort_keys=True, default=repr).encode
"""One encoder for all lines: to make one takes as long as to encode a line."""


def _render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return ascii_json(_encode(event))


class _Lines:
    """Writes the rendered lines of one logger to the handler of the standard library's loggers.

    It bypasses the standard library's records, which make a line three times as expensive; sync logs two lines for each
    namespace.
    """

    def __init__(self, handler: logging.StreamHandler[TextIO], name: str) -> None:
        self.name = name
        self._handler = handler

    def line(self, text: str) -> None:
        # The lock of the handler: lines of other libraries go through it as well, and must not be mixed with ours.
        self._handler.acquire()
        try:
            self._handler.stream.write(f"{text}\n")
            self._handler.flush()
        except (OSError, ValueError):
            # The reader is gone, or the disk is full; the work itself must not fail because of that.
            return
        finally:
            self._handler.release()

    debug = info = warning = error = critical = exception = line


def configure(log_format: LogFormat, level: LogLevel) -> None:
    """Set up the logging of this process, once, before the first log line."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
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
        return [structlog.processors.format_exc_info, _render_json]
    console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_plain_traceback)
    return [escape_text, console]


# The commands that never call configure() have their result on standard output, which is where structlog writes by
# default. Each of them imports this module before it connects to a cluster.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        redact,
        escape_text,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=_plain_traceback),
    ],
    logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
)
