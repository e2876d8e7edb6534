"""One connection of the fake API server: HTTP/1.1, and the verbs of the Kubernetes API."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from tests.unit.fake_apiserver.faults import Answer, Cut, Fault, Hang, Lines
from tests.unit.fake_apiserver.storage import Object, Refused, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.unit.fake_apiserver.server import FakeApiServer

INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in; ``verb`` is what RBAC calls it, with server-side apply told apart."""

    verb: str
    target: Target
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    at: float
    client: tuple[str, int]
    """The address of the connection's other end."""

    @property
    def name(self) -> str:
        """Return the requested name, of the path or of a field selector; other fields select everything."""
        field, _, value = self.query.get("fieldSelector", "").partition("=")
        return self.target.name or (value if field == "metadata.name" else "")


class Listener(Protocol):
    """What a connection knows of what accepted it."""

    fake: FakeApiServer
    ending: bool


class _Broken(OSError):
    """The connection has been cut on purpose."""


class _Budget:
    """A file that breaks its connection after so many bytes."""

    def __init__(self, file: Any, connection: socket.socket, left: int) -> None:  # noqa: ANN401
        self._file, self._connection, self._left = file, connection, left
        self.closed = False

    def write(self, data: bytes) -> int:
        self._file.write(data[: self._left])
        self._left -= len(data)
        if self._left < 0:
            cut(self._connection)
            raise _Broken
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener  # type: ignore[assignment]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the test reads ``requests``."""

    def _serve(self) -> None:
        fake = self.server.fake
        request = self._read_request()
        fault = fake.take_fault(request)
        match fault.action if fault else None:
            case Answer() as answer:
                self._give(answer, request.target)
                return
            case Hang():
                assert fault is not None
                self._fall_silent(fault)
                raise _Broken
            case Lines(lines, silent):
                assert fault is not None
                self._begin_stream()
                for line in lines:
                    self._send_line(line)
                if silent:
                    self._fall_silent(fault)
                self._end_stream()
                return
            case Cut(after):
                self.wfile = _Budget(self.wfile, self.connection, after)  # type: ignore[assignment]
            case None:
                pass
        try:
            self._answer(request)
        except Refused as refused:
            self._give(Answer(refused.code, json.dumps(refused.status).encode()))

    do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 (the names that http.server looks for)

    def _fall_silent(self, fault: Fault) -> None:
        while not fault.lifted.wait(0.01) and not self.server.ending:
            pass

    def _read_request(self) -> Request:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionAbortedError("the client went away in the middle of its request")
        target = Target.parse(url.path)
        verb = self._verb(target, query)
        return Request(verb, target, query, dict(self.headers.items()), body, time.monotonic(), self.client_address)

    def _verb(self, target: Target, query: Mapping[str, str]) -> str:
        if self.command == "GET":
            return "watch" if query.get("watch") == "true" else "get" if target.name else "list"
        if self.command == "PATCH":
            return "apply" if "apply-patch" in self.headers.get("Content-Type", "") else "patch"
        return {"POST": "create", "DELETE": "delete"}[self.command]

    def _answer(self, request: Request) -> None:
        storage, target, query = self.server.fake.storage, request.target, request.query
        manager = query.get("fieldManager", "unknown")
        body = json.loads(request.body) if request.body else {}
        if not target.plural:
            self._give(Answer(200, b'{"gitVersion": "v0.0.0-fake"}'))
            return
        match request.verb:
            case "watch":
                self._watch(request)
                return
            case "list":
                answer = self._list(request)
            case "get":
                answer = storage.get(target)
            case "create":
                answer = storage.create(target, body, manager)
            case "apply":
                answer = storage.apply(target, body, manager, force=query.get("force") == "true")
            case "delete":
                answer = storage.delete(target, body.get("preconditions") or {})
            case _:
                is_json_patch = "json-patch" in self.headers["Content-Type"]
                patch: Callable[..., Object] = storage.json_patch if is_json_patch else storage.merge_patch
                answer = patch(target, body, manager)
        self._give(Answer(201 if request.verb == "create" else 200, json.dumps(answer).encode()))

    def _give(self, answer: Answer, target: Target | None = None) -> None:
        reason = "NotFound" if answer.status == 404 else "Fault"
        about = {"plural": target.plural, "name": target.name} if target else {}
        refused = Refused(answer.status, reason, "a fault that the test switched on", **about)
        body = json.dumps(refused.status).encode() if answer.body is None else answer.body
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(body)))
        if answer.retry_after is not None:
            self.send_header("Retry-After", answer.retry_after)
        for name, value in {"Content-Type": "application/json", **dict(answer.headers)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _list(self, request: Request) -> Object:
        fake, query = self.server.fake, request.query
        with fake.storage.changed:
            token = query.get("continue", "")
            if token and token not in fake.pages:
                raise Refused(410, "Expired", "The provided continue parameter is too old")
            items = fake.pages.pop(token) if token else fake.storage.select(request.target, request.name)
            limit = int(query.get("limit") or 0) or len(items)
            metadata = {"resourceVersion": str(fake.storage.revision)}
            if items[limit:]:
                metadata["continue"] = f"page-{fake.storage.revision}-{len(items)}"
                fake.pages[metadata["continue"]] = items[limit:]
            return {"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items[:limit]}

    def _watch(self, request: Request) -> None:
        fake, storage, query = self.server.fake, self.server.fake.storage, request.query
        initial = query.get("sendInitialEvents") == "true"
        if initial and not fake.watch_list:
            message = "sendInitialEvents: Forbidden: forbidden for watch unless the WatchList feature gate is enabled"
            raise Refused(422, "Invalid", message)
        with storage.changed:
            revision = storage.revision if initial else int(query.get("resourceVersion") or 0)
            position = len(storage.history) if initial else 0
            present = storage.select(request.target, request.name) if initial else []
        self._begin_stream()
        if revision < storage.compacted and not initial:
            self._send("ERROR", Refused(410, "Expired", "too old resource version").status)
            self._end_stream()
            return
        if initial:
            for obj in present:
                self._send("ADDED", obj)
            metadata = {"resourceVersion": str(revision), "annotations": INITIAL_EVENTS_END}
            self._send("BOOKMARK", {"metadata": metadata})
        self._follow(request, revision, position)
        self._end_stream()

    def _follow(self, request: Request, revision: int, position: int) -> None:
        storage, target = self.server.fake.storage, request.target
        deadline = time.monotonic() + int(request.query.get("timeoutSeconds", "300"))
        while not self.server.ending and time.monotonic() < deadline:
            with storage.changed:
                if position == len(storage.history) and not self.server.ending:
                    storage.changed.wait(deadline - time.monotonic())
                changes, position = storage.history[position:], len(storage.history)
            for change in changes:
                fits = change.collection == target.collection and target.holds(change.object, request.name)
                if change.revision > revision and (change.type == "BOOKMARK" or fits):
                    self._send(change.type, change.object)

    def _begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _send(self, kind: str, obj: Object) -> None:
        self._send_line(json.dumps({"type": kind, "object": obj}).encode())

    def _send_line(self, line: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\n\r\n" % (len(line) + 1, line))

    def _end_stream(self) -> None:
        self.wfile.write(b"0\r\n\r\n")


def cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # The other side was faster.
        return
