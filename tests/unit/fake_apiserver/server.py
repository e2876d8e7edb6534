"""The fake API server as a whole: on a free port of loopback, one thread a connection."""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
from typing import Any

from tests.unit.fake_apiserver.faults import READS, WRITES, Action, Fault, Faults
from tests.unit.fake_apiserver.handler import Handler, Request, cut
from tests.unit.fake_apiserver.storage import Object, Refused, Storage, Target


class FakeApiServer:
    """Serves a `Storage`; faults and counts are for the test that owns it."""

    def __init__(self) -> None:
        self.storage = Storage()
        self.watch_list = True
        self.requests: list[Request] = []
        self.defects: list[BaseException] = []
        self.pages: dict[str, list[Object]] = {}
        self._faults = Faults()
        self._listener: _Listener | None = None
        # Bound, and never listening: while nothing listens, no connection of this machine gets the port as its own.
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._place.bind(("127.0.0.1", 0))
        self._port: int = self._place.getsockname()[1]
        self.come_back()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def inject(self, action: Action, *verbs: str, plural: str = "", name: str = "", times: int | None = 1) -> Fault:
        """Let the next ``times`` requests of those verbs (all, when none is given) meet a fault."""
        fault = Fault(action, frozenset(verbs) or READS | WRITES, plural, name, times)
        self._faults.add(fault)
        return fault

    def take_fault(self, request: Request) -> Fault | None:
        self.requests.append(request)
        return self._faults.take(request.verb, request.target.plural, request.name)

    def seen(self, *verbs: str, plural: str = "") -> list[Request]:
        """Return the requests of those verbs, in the order in which they came."""
        wanted = frozenset(verbs) or READS | WRITES
        return [one for one in list(self.requests) if one.verb in wanted and plural in ("", one.target.plural)]

    def put(
        self, path: str, body: Object | None = None, *, manager: str = "kubectl", operation: str = "Update"
    ) -> Object:
        """Create or replace the object at a path, as a person would, or another writer."""
        target = Target.parse(path)
        with self.storage.changed:
            try:
                present = self.storage.get(target)
            except Refused:
                new = {**(body or {}), "metadata": {**(body or {}).get("metadata", {}), "name": target.name}}
                return self.storage.create(target, new, manager, operation)
            cleared = {key: None for key in present if key not in ("metadata", "apiVersion", "kind")}
            return self.storage.merge_patch(target, {**cleared, **(body or {})}, manager, operation)

    def read(self, path: str) -> Object | None:
        """Return the object at a path; None when there is none."""
        try:
            return self.storage.get(Target.parse(path))
        except Refused:
            return None

    def all(self, plural: str) -> list[Object]:
        """Return the objects of a kind in all namespaces, in the order in which they were last written."""
        found = self.storage.of_kind(plural)
        return sorted(found, key=lambda obj: int(obj["metadata"]["resourceVersion"]))

    def remove(self, path: str) -> None:
        self.storage.delete(Target.parse(path), {})

    def go_away(self) -> None:
        """Break every connection and refuse new ones."""
        if self._listener is not None:
            self._listener.end()
            self._listener = None

    def break_connections(self) -> None:
        """Break every connection; new ones work."""
        if self._listener is not None:
            self._listener.cut_all()

    def come_back(self) -> None:
        """Listen again, on the same port and with the same objects."""
        self._listener = _Listener(self, self._port)

    def close(self) -> None:
        """End; what went wrong in this program itself comes to light here."""
        self.go_away()
        self._place.close()
        if self.defects:
            raise self.defects[0]


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = allow_reuse_port = True
    request_queue_size = 128

    def __init__(self, fake: FakeApiServer, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.fake = fake
        self.ending = False
        self._connections: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        self.ending = True
        with self.fake.storage.changed:
            self.fake.storage.changed.notify_all()
        self.shutdown()
        self.cut_all()
        self.server_close()
        self._thread.join()

    def cut_all(self) -> None:
        for connection in list(self._connections):
            cut(connection)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, _request: object, _client_address: object) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):
            self.fake.defects.append(error)
