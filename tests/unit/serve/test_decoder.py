from __future__ import annotations

import os
import signal
import subprocess
import sys
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
import structlog.testing

from tests.integration.hostile.attack import HEAD, REVIEW
from webhook.serve import decoder as frames
from webhook.serve.decoder import DecoderProcess
from webhook.serve.review import BadReview, RequestHead, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAD = b" " * 300_000
BODIES = {
    "a Pod": REVIEW + PAD,
    "many containers": REVIEW.replace(b'"spec": {}', b'"spec":{"containers":[' + b'{"image":"a"},' * 30_000 + b"{}]}"),
    "a mirror Pod": REVIEW.replace(b'"web"', b'"web","annotations":{"kubernetes.io/config.mirror":null}') + PAD,
    "references": REVIEW.replace(b'"spec": {}', b'"spec":{"imagePullSecrets":[{"name":"a"},null,{}]}') + PAD,
    "a list as the object": HEAD + b'"object":[' + b"[]," * 100_000 + b"[]]}}",
    "a number out of range": HEAD + b'"object":[1e999,"' + PAD + b'"]}}',
    "no JSON": PAD,
    "nested too deeply": HEAD + b'"object":' + b"[" * 300_000,
    "no uid": b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{}}' + PAD,
}


def outcome(read: Callable[[bytes], RequestHead], body: bytes) -> RequestHead | str:
    try:
        return read(body)
    except BadReview as error:
        return str(error)


@pytest.fixture
def decoder() -> Iterator[DecoderProcess]:
    decoder = DecoderProcess()
    yield decoder
    decoder.stop()


def children() -> list[int]:
    listed = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", frames.__name__], capture_output=True, check=False)
    return [int(pid) for pid in listed.stdout.split()]


def test_the_other_process_returns_what_the_parser_returns(decoder: DecoderProcess) -> None:
    with structlog.testing.capture_logs() as lines:
        assert {name: outcome(decoder.parse, body) for name, body in BODIES.items()} == {
            name: outcome(parse, body) for name, body in BODIES.items()
        }
        assert len(children()) == 1
    assert not lines


def test_a_process_that_has_ended_is_started_again_for_the_next_body(decoder: DecoderProcess) -> None:
    decoder.parse(BODIES["a Pod"])
    (before,) = children()
    os.kill(before, signal.SIGKILL)
    with structlog.testing.capture_logs() as lines:
        assert decoder.parse(BODIES["a Pod"]) == parse(BODIES["a Pod"])
    (after,) = children()
    assert after != before
    assert not lines


def test_a_process_that_hangs_is_replaced(decoder: DecoderProcess) -> None:
    decoder.parse(BODIES["a Pod"])
    (before,) = children()
    os.kill(before, signal.SIGSTOP)
    decoder._timeout = 0.5  # not for the first one, because a busy machine starts a process late
    assert decoder.parse(BODIES["a Pod"]) == parse(BODIES["a Pod"])
    assert before not in children()
    decoder.stop()
    assert not children()


def test_without_the_other_process_bodies_are_decoded_here(
    decoder: DecoderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with structlog.testing.capture_logs() as lines:
        assert decoder.parse(BODIES["a Pod"]) == parse(BODIES["a Pod"])
    assert [line["event"] for line in lines] == ["large review decoded in the main process"]


@pytest.mark.parametrize("idle_seconds", ["0.01", "60"])
def test_the_process_ends_when_it_is_idle_or_its_input_ends(idle_seconds: str) -> None:
    command = [sys.executable, "-c", f"from webhook.serve.decoder import main; main({idle_seconds})"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if idle_seconds == "60":
            process.communicate()
        assert process.wait(timeout=60) == 0


def test_a_frame_that_ends_too_early_is_not_read() -> None:
    stream = BytesIO()
    frames.write_frame(stream, b"body")
    whole = stream.getvalue()
    assert frames.read_frame(BytesIO(whole)) == b"body"
    assert [frames.read_frame(BytesIO(whole[:end])) for end in range(len(whole))] == [None] * len(whole)
    assert frames.outcome_of(REVIEW) == frames.DecodedBody(request=parse(REVIEW))  # type: ignore[arg-type]
