"""Whatever is sent to the admission port of a real ``pullsecrets serve``, the answer is right.

``FUZZ_EXAMPLES=20000`` makes a long run of it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.bench.process import resident_mib
from tests.integration.hostile import fuzzed_http, fuzzed_reviews, judge
from tests.integration.site.serving import Response, Serving, exchange, is_closed, post, serving

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "250"))
GROWTH_MIB = 12.0

fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)

REVIEW = json.dumps(
    {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "team-a",
            "operation": "CREATE",
            "object": {
                "kind": "Pod",
                "apiVersion": "v1",
                "metadata": {"generateName": "web-", "labels": {"app": "web"}, "annotations": None},
                "spec": {"containers": [{"name": "web", "image": "web:1"}], "imagePullSecrets": [{"name": "theirs"}]},
            },
            "oldObject": None,
            "dryRun": False,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    }
).encode()


class Caller:
    """Sends requests on one connection for as long as the other side keeps it open."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._stack = contextlib.ExitStack()
        self._connection: ssl.SSLSocket | None = None

    def post(self, body: bytes) -> Response:
        """Send a review and return the answer; no answer in time is a failure, and so is a connection in between."""
        if self._connection is None:
            self._connection = self._stack.enter_context(self._serving.connected())
        response = exchange(self._connection, post(body))
        if response.headers.get("connection") == "close":
            assert is_closed(self._connection)
            self.close()
        return response

    def close(self) -> None:
        self._stack.close()
        self._connection = None


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("serve")) as process:
        yield process
        assert process.process.poll() is None
        assert "Traceback" not in (process.files.folder / "log").read_text()


def hung(serving: Serving) -> float:
    """Return how many requests, all of which were complete, the process has waited for the rest of and given up."""
    return serving.metric('pullsecrets_http_rejected_total{cause="slow",port="admission"}')


@pytest.fixture
def send(running: Serving) -> Iterator[Callable[[bytes], Response]]:
    caller = Caller(running)
    yield caller.post
    caller.close()


@fuzzed
@given(body=fuzzed_reviews.bodies())
def test_anything_like_a_review_is_answered_right(send: Callable[[bytes], Response], body: bytes) -> None:
    judge.check(body, send(body), send)


@fuzzed
@given(body=fuzzed_reviews.mutations(REVIEW))
def test_a_review_with_damaged_bytes_is_answered_right(send: Callable[[bytes], Response], body: bytes) -> None:
    judge.check(body, send(body), send)


@fuzzed
@given(review=fuzzed_reviews.right_reviews)
def test_a_review_without_fault_gets_a_patch_if_one_is_due(
    send: Callable[[bytes], Response], review: dict[str, Any]
) -> None:
    body = json.dumps(review).encode()
    response = send(body)
    judge.check(body, response, send)
    if judge.verdict_on(body) is judge.Verdict.ALLOWED:
        patch = judge.patch_in(response, review["request"]["uid"])
        assert (patch is not None) == judge.is_due(review["request"])


@fuzzed
@given(request=fuzzed_http.requests(REVIEW))
def test_anything_like_http_is_answered_or_the_connection_closed(running: Serving, request: tuple[str, bytes]) -> None:
    method, raw = request
    with running.connected() as connection:
        try:
            response = exchange(connection, raw, method)
        except (http.client.RemoteDisconnected, ConnectionError, ssl.SSLEOFError):
            assert hung(running) == 0
            return
        assert response.status == 200 or (response.status in range(400, 500) and is_closed(connection))
    if response.status == 200:
        assert judge.patch_in(response, "705ab4f5")


def test_memory_stays_where_it_is(running: Serving, send: Callable[[bytes], Response]) -> None:
    # The interpreter's pools grow up to the largest thing they have had to hold: that much is used up first.
    largest = REVIEW.replace(b"null", b'"%s"' % (b"x" * 1_000_000))
    chance = random.Random(1)  # noqa: S311 (it damages reviews)

    def flood(rounds: int) -> float:
        for _ in range(rounds):
            send(largest)
            for _ in range(50):
                position = chance.randrange(len(REVIEW))
                send(REVIEW[:position] + chance.randbytes(2) + REVIEW[position + 2 :])
                send(REVIEW.replace(b"705ab4f5", chance.randbytes(8).hex().encode()))
        return resident_mib(running.process.pid)

    before = flood(5)
    assert flood(20) - before < GROWTH_MIB
