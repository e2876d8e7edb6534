"""Read the body of a watch: one JSON document a line, as long as the watch lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from urllib3.exceptions import HTTPError, ReadTimeoutError

from webhook.errors import ApiUnavailable
from webhook.kube.connections import note_received

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3 import BaseHTTPResponse


class Stream:
    """The lines of one watch; after ``inactivity`` silent seconds the peer counts as gone."""

    def __init__(self, response: BaseHTTPResponse, path: str, inactivity: float) -> None:
        self.fell_silent = False
        """True if it ended because nothing arrived for too long."""
        self._response = response
        self._path = path
        # The request had a shorter timeout until the watch began. From now on silence is normal.
        _set_read_timeout(response, inactivity)

    def lines(self) -> Iterator[bytes]:
        """Yield each complete line as it arrives, until the server ends the watch.

        Raises:
            ApiUnavailable: the connection broke, or was silent for too long.
        """
        # A list of parts, joined once a line: one event may be a megabyte, and arrives in many chunks.
        parts: list[bytes] = []
        try:
            for chunk in self._response.stream(65536, decode_content=False):
                note_received(self._response.connection)
                head, *rest = chunk.split(b"\n")
                parts.append(head)
                for tail in rest:
                    line = b"".join(parts)
                    parts = [tail]
                    # An empty line is not an event. A truncated last line is dropped, because a resume brings it again.
                    if line:
                        yield line
        except (HTTPError, OSError) as error:
            self.fell_silent = isinstance(error, ReadTimeoutError | TimeoutError)
            raise unavailable("WATCH", self._path, error) from None

    def shutdown(self) -> None:
        """Wake the thread that reads the lines, from any other thread; for the reader, the connection breaks."""
        try:
            self._response.shutdown()
        except (ValueError, RuntimeError, OSError):
            # Already closed by its own thread.
            return


def unavailable(method: str, path: str, error: Exception) -> ApiUnavailable:
    """Return the exception for a request that got no response, or only a part of it."""
    # urllib3's texts contain addresses and object ids, never bodies or headers; the class name alone is sufficient.
    return ApiUnavailable(f"{method} {path}: no answer from the API server ({type(error).__name__})")


def _set_read_timeout(response: BaseHTTPResponse, seconds: float) -> None:
    """Set how many seconds the connection of a response that has begun may be silent."""
    connection = getattr(response, "connection", None)
    if connection is not None and connection.sock is not None:
        connection.sock.settimeout(seconds)
