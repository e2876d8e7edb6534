"""What one identity asked of the API server, by its audit log."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec


class _User(msgspec.Struct):
    username: str = ""


class _Object(msgspec.Struct):
    resource: str = ""


class _Event(msgspec.Struct):
    verb: str
    stage: str
    user: _User
    object_ref: _Object | None = msgspec.field(default=None, name="objectRef")
    request_uri: str = msgspec.field(default="", name="requestURI")


_decode = msgspec.json.Decoder(_Event).decode


class Requests:
    """Counts the requests of one user, from one question to the next."""

    def __init__(self, audit_log: Path, user: str) -> None:
        self._log = audit_log
        self._user = user
        self._position = audit_log.stat().st_size

    def since(self) -> dict[str, int]:
        """Return the requests since the last call, by verb and resource; a write of a Secret by apply is ``apply``."""
        counted: Counter[str] = Counter()
        with self._log.open("rb") as log:
            log.seek(self._position)
            for line in log:
                if not line.endswith(b"\n"):
                    break  # still being written
                self._position += len(line)
                if self._user.encode() in line:
                    counted.update(self._count(_decode(line)))
        return dict(sorted(counted.items()))

    def _count(self, event: _Event) -> list[str]:
        # A watch is in the log when it begins and when it ends.
        stage = "ResponseStarted" if event.verb == "watch" else "ResponseComplete"
        if event.user.username != self._user or event.stage != stage:
            return []
        verb = "apply" if event.verb == "patch" and "force=" in event.request_uri else event.verb
        resource = event.object_ref.resource if event.object_ref else event.request_uri.partition("?")[0]
        return [f"{verb} {resource}"]
