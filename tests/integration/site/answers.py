"""Answers of the real API server that are not 2xx, captured one by one.

``python -m tests.integration.site.answers`` writes them to tests/unit/kube/answers.json, where a unit test says of each
whose failure it is; test_answers.py asks for them again and compares.
"""

from __future__ import annotations

import http.client
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import programs
from tests.cluster.api import Api
from tests.cluster.cluster import Cluster
from tests.integration.faults.denier import Denier, denying_policy
from tests.integration.site.playground import eventually

FILE = Path(__file__).parents[2] / "unit" / "kube" / "answers.json"
NAMESPACE = "answers"
SECRET = f"/api/v1/namespaces/{NAMESPACE}/secrets/harbor"
COLLECTION = f"/api/v1/namespaces/{NAMESPACE}/secrets"
APPLY, MERGE, JSON_PATCH = (
    f"application/{kind}" for kind in ("apply-patch+yaml", "merge-patch+json", "json-patch+json")
)
HEADERS = (
    "Content-Type",
    "Retry-After",
    "Location",
    "X-Kubernetes-Pf-Flowschema-Uid",
    "X-Kubernetes-Pf-Prioritylevel-Uid",
)
FLOW_CONTROL = "/apis/flowcontrol.apiserver.k8s.io/v1"
NO_SEATS = {
    "nominalConcurrencyShares": 0,
    "lendablePercent": 0,
    "borrowingLimitPercent": 0,
    "limitResponse": {"type": "Reject"},
}
"""The limits of a priority level that refuses all requests but one at a time."""

SLOW_SECONDS = 150.0
"""For a request that the API server itself gives up after 60 s; its own answer is what is wanted."""

_MASKS = (
    (
        re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
        "00000000-0000-0000-0000-000000000000",
    ),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:1"),
    (re.compile(r"resource version: \d+ \(\d+\)"), "resource version: 1 (2)"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request."""

    method: str = "PATCH"
    path: str = SECRET + "?fieldManager=test&force=true"
    body: object = None
    content_type: str = APPLY


def secret(name: str = "harbor", **fields: Any) -> dict[str, Any]:  # noqa: ANN401 (any JSON)
    """Return a Secret to apply."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"key": "value"}, **fields}


class Answers:
    """Asks one cluster for every answer, in a namespace of its own."""

    def __init__(self, cluster: Cluster, denier: Denier) -> None:
        self._cluster, self._denier, self._api = cluster, denier, cluster.api
        cluster.create_namespace(NAMESPACE, {"answers": "all"})
        self._api.call("PATCH", SECRET + "?fieldManager=test&force=true", secret(), APPLY)

    def all(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each answer by its name."""
        yield from self._of_policies()
        yield from self._of_webhooks()
        yield from self._of_the_api_server()
        yield "priority and fairness", self._throttled()
        yield "a namespace that is being deleted", self._terminating()

    def _of_policies(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, reason in (("without a reason", ""), ("with a reason", "Forbidden")):
            with self._policy(f"p-{name.replace(' ', '-')}", reason):
                yield f"policy {name}", self._once_denied("denied request", Asked(body=secret()))
        with self._policy("p-by-json-patch", ""):
            patch = [{"op": "add", "path": "/metadata/labels", "value": {}}]
            asked = Asked(path=SECRET, body=patch, content_type=JSON_PATCH)
            yield "policy without a reason, JSON Patch", self._once_denied("denied request", asked)

    def _of_webhooks(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for path in ("deny/403", "deny/404", "deny/409", "deny/422", "deny/429/30", "deny/500", "deny/503"):
            name = path.replace("/", "-")
            with self._webhook(name, f"/{path}"):
                yield f"webhook {name}", self._once_denied("denied the request", Asked(body=secret()))
        with self._webhook("deny-422-patch", "/deny/422"):
            asked = Asked(
                path=SECRET, body=[{"op": "add", "path": "/metadata/labels", "value": {}}], content_type=JSON_PATCH
            )
            yield "webhook deny-422, JSON Patch", self._once_denied("denied the request", asked)
        # On a busy machine each of these may first be denied because it did not answer in time.
        with self._webhook("not-there", "", url="https://127.0.0.1:1/"):
            yield "webhook that is not there", self._once_denied("connection refused", Asked(body=secret()))
        with self._webhook("slow", "/slow/5", timeout=1):
            yield "webhook that times out", self._once_denied("context deadline exceeded", Asked(body=secret()))
        with self._webhook("garbage", "/garbage"):
            yield "webhook that answers garbage", self._once_denied("json parse error", Asked(body=secret()))
        with self._webhook("fails", "/fail/503"):
            yield "webhook that fails", self._once_denied("unable to handle", Asked(body=secret()))
        with self._webhook("patches", "/patch", mutating=True):
            yield "webhook whose patch does not apply", self._once_denied("does not apply", Asked(body=secret()))

    def _of_the_api_server(self) -> Iterator[tuple[str, dict[str, Any]]]:
        quota = {"metadata": {"name": "small"}, "spec": {"hard": {"count/secrets": "1"}}}
        self._api.call("POST", f"/api/v1/namespaces/{NAMESPACE}/resourcequotas", quota)
        other = Asked("PATCH", f"{COLLECTION}/other?fieldManager=test&force=true&dryRun=All", secret("other"))
        yield "quota", self._once_denied("exceeded quota", other)
        self._api.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}/resourcequotas/small")
        eventually(lambda: self._ask(other)["status"] == http.HTTPStatus.CREATED)
        token = self._cluster.api_as("default", NAMESPACE)
        yield "a right is missing", self._ask(Asked(body=secret()), token)
        stranger = Api(self._cluster.url, self._cluster.ca_file, None, "not a token")
        yield "credentials that are not accepted", self._ask(Asked("GET", SECRET), stranger)
        frozen = secret("frozen", immutable=True)
        self._api.call("PATCH", f"{COLLECTION}/frozen?fieldManager=test&force=true", frozen, APPLY)
        changed = {**frozen, "stringData": {"key": "other"}}
        yield (
            "immutable Secret",
            self._ask(Asked(path=f"{COLLECTION}/frozen?fieldManager=test&force=true", body=changed)),
        )
        test = [{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}]
        yield "failed test of a JSON Patch", self._ask(Asked(path=SECRET, body=test, content_type=JSON_PATCH))
        invalid = [{"op": "replace", "path": "/type", "value": "other"}]
        yield "invalid object, JSON Patch", self._ask(Asked(path=SECRET, body=invalid, content_type=JSON_PATCH))
        uid = {"preconditions": {"uid": "11111111-1111-1111-1111-111111111111"}}
        yield "uid precondition", self._ask(Asked("DELETE", SECRET, uid, "application/json"))
        stale = {"metadata": {"resourceVersion": "1"}, "stringData": {"key": "other"}}
        yield "stale resourceVersion", self._ask(Asked(path=SECRET, body=stale, content_type=MERGE))
        unforced = {**secret(), "stringData": {"key": "theirs"}}
        yield "another field manager", self._ask(Asked(path=f"{SECRET}?fieldManager=other", body=unforced))
        yield "created already", self._ask(Asked("POST", COLLECTION, secret(), "application/json"))
        yield "not found", self._ask(Asked("GET", f"{COLLECTION}/absent"))
        account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/absent"
        yield "not found, to be patched", self._ask(Asked(path=account, body=test, content_type=JSON_PATCH))
        yield (
            "no such namespace",
            self._ask(Asked(path="/api/v1/namespaces/absent/secrets/harbor?fieldManager=x", body=secret())),
        )
        yield "no such resource", self._ask(Asked("GET", "/api/v1/namespaces/answers/nonesuch/harbor"))
        yield "no such group", self._ask(Asked("GET", "/apis/nonesuch.example.com/v1/things/harbor"))
        large = secret(stringData={"key": "x" * 1_100_000})
        yield "too large a Secret", self._ask(Asked(body=large))
        yield "too large a request", self._ask_until_answered(Asked(body=secret(stringData={"key": "x" * 4_000_000})))
        yield "method not allowed", self._ask(Asked("POST", SECRET, secret(), "application/json"))

    def etcd_gone(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what is answered without a store; the cluster is of no use afterwards."""
        self._cluster.stop_program(programs.ETCD)
        yield "etcd gone", self._ask(Asked(body=secret(stringData={"key": "new"})), seconds=SLOW_SECONDS)

    def _throttled(self) -> dict[str, Any]:
        level = {
            "type": "Limited",
            "limited": NO_SEATS,
        }
        subject = {"kind": "ServiceAccount", "serviceAccount": {"name": "default", "namespace": NAMESPACE}}
        rule = {"verbs": ["*"], "apiGroups": [""], "resources": ["secrets"], "namespaces": ["*"]}
        flow = {
            "priorityLevelConfiguration": {"name": NAMESPACE},
            "matchingPrecedence": 3,
            "rules": [{"subjects": [subject], "resourceRules": [rule]}],
        }
        meta = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "metadata": {"name": NAMESPACE}}
        objects = (
            ("prioritylevelconfigurations", "PriorityLevelConfiguration", level),
            ("flowschemas", "FlowSchema", flow),
        )
        for plural, kind, spec in objects:
            self._api.call("POST", f"{FLOW_CONTROL}/{plural}", {**meta, "kind": kind, "spec": spec})
        token = self._cluster.api_as("default", NAMESPACE)
        with self._webhook("slow-seat", "/slow/1"), ExitStack() as held:
            # One request is let pass; only beside one that holds the seat another is refused.
            answer = self._beside_a_watch(token, held)
        for plural, _, _ in reversed(objects):
            self._api.request("DELETE", f"{FLOW_CONTROL}/{plural}/{NAMESPACE}")
        return answer

    def _beside_a_watch(self, token: Api, held: ExitStack) -> dict[str, Any]:
        deadline = time.monotonic() + 60.0
        while True:
            connections = [held.enter_context(_closing(token.connect())) for _ in range(8)]
            for connection in connections:
                _send(connection, token, Asked("GET", SECRET))
            answers = [_taken(connection.getresponse(), Asked("GET", SECRET)) for connection in connections]
            refused = [answer for answer in answers if answer["status"] == http.HTTPStatus.TOO_MANY_REQUESTS]
            if refused:
                return refused[0]
            assert time.monotonic() < deadline, answers

    def _terminating(self) -> dict[str, Any]:
        kept = {**secret("kept"), "metadata": {"name": "kept", "finalizers": ["example.com/kept"]}}
        self._api.call("PATCH", f"{COLLECTION}/kept?fieldManager=test&force=true", kept, APPLY)
        self._cluster.delete_namespace(NAMESPACE)
        new = Asked(path=f"{COLLECTION}/new?fieldManager=test&force=true", body=secret("new"))
        answer = self._once_denied("being terminated", new)
        self._api.call("PATCH", f"{COLLECTION}/kept", {"metadata": {"finalizers": None}}, MERGE)
        return answer

    @contextmanager
    def _policy(self, name: str, reason: str) -> Iterator[None]:
        with denying_policy(self._api, name, {"answers": "all"}, reason):
            yield
        self._once_allowed()

    @contextmanager
    def _webhook(self, name: str, path: str, **options: Any) -> Iterator[None]:  # noqa: ANN401 (Denier's own)
        with self._denier.registered(f"{name}.example.com", path, {"answers": "all"}, **options):
            yield
        self._once_allowed()

    def _once_denied(self, words: str, asked: Asked) -> dict[str, Any]:
        """Ask until the API server knows of what denies it."""
        return eventually(lambda: self._ask(asked), lambda answer: words in answer["body"])

    def _once_allowed(self) -> None:
        eventually(lambda: self._api.request("PATCH", SECRET, {"metadata": {"labels": None}}, MERGE).status == 200)

    def _ask_until_answered(self, asked: Asked) -> dict[str, Any]:
        """Ask again where the API server, which reads no more, has closed the connection before all was sent."""
        answers: list[dict[str, Any]] = []

        def is_answered() -> bool:
            with suppress(ConnectionError):
                answers.append(self._ask(asked))
            return bool(answers)

        eventually(is_answered)
        return answers[0]

    def _ask(self, asked: Asked, api: Api | None = None, seconds: float = 15.0) -> dict[str, Any]:
        api = api or self._api
        with _closing(api.connect(seconds)) as connection:
            _send(connection, api, asked)
            return _taken(connection.getresponse(), asked)


@contextmanager
def _closing(connection: http.client.HTTPConnection) -> Iterator[http.client.HTTPConnection]:
    try:
        yield connection
    finally:
        connection.close()


def _send(connection: http.client.HTTPConnection, api: Api, asked: Asked) -> None:
    content = None if asked.body is None else json.dumps(asked.body).encode()
    connection.request(asked.method, asked.path, content, {"Content-Type": asked.content_type, **api.authorization})


def _taken(response: http.client.HTTPResponse, asked: Asked) -> dict[str, Any]:
    body = response.read().decode()
    for pattern, mask in _MASKS:
        body = pattern.sub(mask, body)
    headers = {name: response.headers[name] for name in HEADERS if name in response.headers}
    return {
        "method": asked.method,
        "path": asked.path.partition("?")[0],
        "requestContentType": asked.content_type if asked.method != "GET" else "",
        "status": response.status,
        "headers": {name: _masked(value) for name, value in headers.items()},
        "body": body,
    }


def _masked(value: str) -> str:
    for pattern, mask in _MASKS:
        value = pattern.sub(mask, value)
    return value


def captured(
    of: Callable[[Answers], Iterator[tuple[str, dict[str, Any]]]], cluster: Cluster
) -> dict[str, dict[str, Any]]:
    """Return what a cluster answers, by the name of the situation."""
    with Denier(cluster, NAMESPACE) as denier:
        return dict(of(Answers(cluster, denier)))


def main() -> None:
    """Capture everything and keep what the file says of whose failure each is."""
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    answers: dict[str, dict[str, Any]] = {}
    with Cluster.start() as cluster:
        answers |= captured(Answers.all, cluster)
    with Cluster.start() as cluster:
        answers |= captured(Answers.etcd_gone, cluster)
    for name, answer in answers.items():
        known[name] = {"whose": known.get(name, {}).get("whose", "?"), **answer}
    FILE.write_text(json.dumps(known, indent=1) + "\n")
    sys.stdout.write(f"{len(answers)} answers in {FILE}\n")


if __name__ == "__main__":
    main()
