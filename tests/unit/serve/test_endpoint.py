from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from webhook.http.counters import PortCounters
from webhook.rules.configuration import Reason
from webhook.serve.endpoint import LARGEST_BODY, AdmissionApp, MutateEndpoint
from webhook.serve.handler import ReviewReply
from webhook.serve.review import BadReview

JSON = (b"content-type", b"application/json")


@dataclass
class Counts:
    """An observer that remembers."""

    answers: list[ReviewReply] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)

    def answered(self, answer: ReviewReply, seconds: float) -> None:
        assert seconds >= 0
        self.answers.append(answer)

    def refused(self, status: int) -> None:
        self.refusals.append(status)


@dataclass
class Exchange:
    """One request to an ASGI application, and what became of it."""

    chunks: Sequence[bytes] = (b"{}",)
    headers: Sequence[tuple[bytes, bytes]] = (JSON,)
    method: str = "POST"
    path: str = "/mutate"
    complete: bool = True
    read: int = 0
    status: int = 0
    body: bytes = b""
    answer_headers: dict[bytes, bytes] = field(default_factory=dict)

    async def receive(self) -> dict[str, Any]:
        self.read += 1
        if self.read > len(self.chunks):
            return {"type": "http.disconnect"}
        more = self.read < len(self.chunks) or not self.complete
        return {"type": "http.request", "body": self.chunks[self.read - 1], "more_body": more}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.answer_headers = message["status"], dict(message["headers"])
        else:
            self.body += message["body"]

    def run(self, endpoint: MutateEndpoint) -> Exchange:
        scope = {
            "type": "http",
            "method": self.method,
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"timeout=5s",
            "headers": list(self.headers),
        }
        asyncio.run(AdmissionApp(endpoint)(scope, self.receive, self.send))
        return self


def echo(body: bytes) -> ReviewReply:
    if not body:
        raise BadReview("not a JSON document")
    return ReviewReply(body, "pods", "CREATE", Reason.ALREADY_PRESENT)


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def endpoint(counts: Counts) -> MutateEndpoint:
    return MutateEndpoint(echo, counts, PortCounters())


def test_a_body_in_one_piece_or_in_many_is_answered(endpoint: MutateEndpoint, counts: Counts) -> None:
    for chunks in ([b"abc"], [b"a", b"", b"bc"], [b"abc", b""]):
        exchange = Exchange(chunks).run(endpoint)
        assert (exchange.status, exchange.body) == (200, b"abc")
        assert exchange.answer_headers == {b"content-type": b"application/json", b"content-length": b"3"}
    assert len(counts.answers) == 3
    assert counts.refusals == []


@pytest.mark.parametrize(
    "value", [b"application/json", b"application/json; charset=utf-8", b"Application/JSON ;charset=UTF-8"]
)
def test_json_is_accepted_however_it_is_spelled(endpoint: MutateEndpoint, value: bytes) -> None:
    assert Exchange(headers=[(b"content-type", value)]).run(endpoint).status == 200


REFUSED = {
    "GET": (Exchange(method="GET"), 405, 0),
    "PUT": (Exchange(method="PUT"), 405, 0),
    "no Content-Type": (Exchange(headers=[]), 415, 0),
    "text": (Exchange(headers=[(b"content-type", b"text/plain")]), 415, 0),
    "protobuf": (Exchange(headers=[(b"content-type", b"application/vnd.kubernetes.protobuf")]), 415, 0),
    "gzip": (Exchange(headers=[JSON, (b"content-encoding", b"gzip")]), 415, 0),
    "10 GiB announced": (Exchange(headers=[JSON, (b"content-length", b"10737418240")]), 413, 0),
    "too much, in pieces": (Exchange([b"x" * (LARGEST_BODY // 2 + 1)] * 9), 413, 2),
    "nothing": (Exchange([b""]), 400, 1),
}


@pytest.mark.parametrize(("exchange", "status", "read"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_short_closes_the_connection_and_reads_no_further(
    endpoint: MutateEndpoint, counts: Counts, exchange: Exchange, status: int, read: int
) -> None:
    exchange.run(endpoint)
    assert (exchange.status, exchange.read) == (status, read)
    assert exchange.answer_headers[b"connection"] == b"close"
    assert int(exchange.answer_headers[b"content-length"]) == len(exchange.body) < 100
    assert counts.refusals == [status]
    assert endpoint.counters.requests == 0


def test_a_body_of_exactly_the_limit_is_accepted(endpoint: MutateEndpoint) -> None:
    headers = [JSON, (b"content-length", b"%d" % LARGEST_BODY)]
    assert Exchange([b"x" * LARGEST_BODY], headers).run(endpoint).status == 200


@pytest.mark.parametrize("path", ["/", "/mutate/", "//mutate", "/Mutate", "/docs", "/openapi.json"])
def test_any_other_path_is_not_found_and_never_a_redirect(endpoint: MutateEndpoint, path: str) -> None:
    exchange = Exchange(path=path).run(endpoint)
    assert (exchange.status, exchange.body) == (404, b"not found\n")
    assert exchange.answer_headers[b"connection"] == b"close"


def test_a_client_that_goes_away_gets_no_answer(endpoint: MutateEndpoint, counts: Counts) -> None:
    exchange = Exchange([b"a"], complete=False).run(endpoint)
    assert (exchange.status, counts.answers, counts.refusals, endpoint.counters.requests) == (0, [], [], 0)


def test_while_draining_each_answer_closes_its_connection(endpoint: MutateEndpoint) -> None:
    endpoint.draining = True
    exchange = Exchange().run(endpoint)
    assert (exchange.status, exchange.answer_headers[b"connection"]) == (200, b"close")
