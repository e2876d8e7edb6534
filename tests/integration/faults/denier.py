"""An admission webhook of somebody else, on loopback, that answers as its path says.

``/deny/503`` denies with that code, ``/deny/429/30`` with retryAfterSeconds as well, ``/slow/10`` allows after so many
seconds, ``/garbage`` answers with a page, ``/fail/503`` with that HTTP status, ``/patch`` with a patch that does not
apply.
"""

from __future__ import annotations

import json
import select
import ssl
import threading
import time
from base64 import b64encode
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.cluster.programs import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from tests.cluster.api import Api
    from tests.cluster.cluster import Cluster

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
CORE = {"apiGroups": [""], "apiVersions": ["v1"]}
WRITES = ["CREATE", "UPDATE", "DELETE"]

POLL_SECONDS = 0.2
REASONS = {403: "Forbidden", 404: "NotFound", 409: "Conflict", 422: "Invalid", 429: "TooManyRequests"}
PAGE = b"<html><body><h1>503 Service Unavailable</h1></body></html>"
USELESS_PATCH = [{"op": "replace", "path": "/spec/nowhere", "value": 1}]


class Denier:
    """The server; it runs while its ``with`` block lasts."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self._server = _Server((LOOPBACK, 0), _Handler)
        pair = cluster.issue_serving(f"denier-{name}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def url(self, path: str) -> str:
        return f"https://{LOOPBACK}:{self._server.server_address[1]}{path}"

    @property
    def called(self) -> int:
        """How many reviews have come in."""
        return self._server.called

    @property
    def waiting(self) -> int:
        """The number of reviews that wait for a slow answer now."""
        return len(self._server.waiting)

    def is_called_in(self, namespace: str, resource: str = "secrets") -> bool:
        """Write a Secret or the like in a namespace, and return whether the webhook is called by now.

        The API server learns of webhooks by watches.
        """
        called, path = self.called, f"/api/v1/namespaces/{namespace}/{resource}?dryRun=All&timeout=1s"
        body = {"metadata": {"generateName": "probe-"}}
        with suppress(OSError):  # a slow webhook takes longer
            self._cluster.api.request("POST", path, body)
        return self.called > called

    @contextmanager
    def registered(  # noqa: PLR0913 - what the configuration of a webhook may say
        self,
        name: str,
        path: str,
        namespaces: Mapping[str, str],
        *,
        operations: Sequence[str] = WRITES,
        resources: Sequence[str] = ("secrets",),
        timeout: int = 10,
        mutating: bool = False,
        url: str = "",
        by: str = "",
    ) -> Iterator[None]:
        """Have the API server call the webhook for ``resources`` in namespaces with these labels; ``by`` one user."""
        plural = "mutatingwebhookconfigurations" if mutating else "validatingwebhookconfigurations"
        webhook = {
            "name": name,
            "clientConfig": {"url": url or self.url(path), "caBundle": self._ca()},
            "rules": [{**CORE, "resources": list(resources), "operations": list(operations)}],
            "namespaceSelector": {"matchLabels": dict(namespaces)},
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": timeout,
            "matchConditions": [{"name": "by", "expression": f"'{by}' in ['', request.userInfo.username]"}],
        }
        kind = "MutatingWebhookConfiguration" if mutating else "ValidatingWebhookConfiguration"
        body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}}
        self._cluster.api.call("POST", f"{ADMISSION}/{plural}", {**body, "webhooks": [webhook]})
        try:
            yield
        finally:
            self._cluster.api.call("DELETE", f"{ADMISSION}/{plural}/{name}")

    def _ca(self) -> str:
        return b64encode(self._cluster.ca_file.read_bytes()).decode()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def denying_policy(
    api: Api, name: str, namespaces: Mapping[str, str], reason: str = "", allowed: str = "false", of: str = "secrets"
) -> Iterator[None]:
    """Have a ValidatingAdmissionPolicy deny every write ``of`` a kind in the namespaces with these labels.

    Those that meet the CEL expression ``allowed`` are not denied.
    """
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [{**CORE, "resources": [of], "operations": WRITES}],
            "namespaceSelector": {"matchLabels": dict(namespaces)},
        },
        "validations": [{"expression": allowed, "message": "never", **({"reason": reason} if reason else {})}],
    }
    binding = {"policyName": name, "validationActions": ["Deny"]}
    meta = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    objects = (
        ("validatingadmissionpolicies", "ValidatingAdmissionPolicy", policy),
        ("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", binding),
    )
    for plural, kind, spec in objects:
        api.call("POST", f"{ADMISSION}/{plural}", {**meta, "kind": kind, "spec": spec})
    try:
        yield
    finally:
        for plural, _, _ in reversed(objects):
            api.call("DELETE", f"{ADMISSION}/{plural}/{name}")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401 (as its base has it)
        super().__init__(*arguments)
        self.over = threading.Event()
        self.called = 0
        self.waiting: set[int] = set()

    def handle_error(self, _request: object, _client_address: object) -> None:
        """The API server ends connections as it likes, also in the middle of an answer that comes too late."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the test looks at what becomes of it."""

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.called += 1
        match self.path.partition("?")[0].strip("/").split("/"):
            case ["deny", code, *retry]:
                self._review(review, allowed=False, status=_denial(int(code), *map(int, retry)))
            case ["slow", seconds]:
                self._hang(float(seconds))
                self._review(review, allowed=True)
            case ["patch"]:
                patch = b64encode(json.dumps(USELESS_PATCH).encode()).decode()
                self._review(review, allowed=True, patchType="JSONPatch", patch=patch)
            case ["fail", code]:
                self._give(int(code), PAGE, "text/html")
            case _:
                self._give(200, PAGE, "text/html")

    def _hang(self, seconds: float) -> None:
        """Wait so long, or until the API server waits no more, because its own client has gone."""
        waiting, ends = self.server.waiting, time.monotonic() + seconds
        waiting.add(threading.get_ident())
        while time.monotonic() < ends and not self.server.over.is_set():
            if select.select([self.connection], [], [], POLL_SECONDS)[0]:
                break
        waiting.discard(threading.get_ident())

    def _review(self, review: dict[str, Any], **response: Any) -> None:  # noqa: ANN401 (any JSON)
        whole = {**review, "request": None, "response": {"uid": review["request"]["uid"], **response}}
        self._give(200, json.dumps(whole).encode(), "application/json")

    def _give(self, code: int, body: bytes, content_type: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _denial(code: int, retry_after: int = 0) -> dict[str, Any]:
    """Return a Status that says as much as a Status can, and names what the request is about."""
    details: dict[str, Any] = {"name": "harbor", "kind": "secrets"}
    if retry_after:
        details["retryAfterSeconds"] = retry_after
    return {"code": code, "reason": REASONS.get(code, ""), "message": "not today", "details": details}
