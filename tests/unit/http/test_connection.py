"""What one connection may have at once, without a socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from tests.unit.http.connection import Connection, Wire, connected, limits
from webhook.http.counters import PortCounters
from webhook.http.limits import ADMISSION, KIB
from webhook.http.port import Port
from webhook.serve.review import HEAVY_BODY

REQUEST = b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
OTHER = b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n"


def on_loop(test: Callable[[Connection, Port], Awaitable[None]], **bounds: int) -> PortCounters:
    """Run a test of connections of one port; return the numbers of the port."""
    made = Connection(limits(**bounds))

    async def run() -> None:
        port = made.port()
        await test(made, port)
        port.worker.shutdown()

    asyncio.run(run())
    return made.counters


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what it looks at has no event
            await asyncio.sleep(0.001)


def test_a_head_that_does_not_end_is_refused_at_its_limit() -> None:
    async def test(_: Connection, port: Port) -> None:
        wire = Wire()
        connection = connected(port, wire)
        connection.data_received(b"POST /mutate HTTP/1.1\r\n")
        while not wire.closed:
            connection.data_received(b"A:b\r\n")
            assert port.counters.buffered_bytes < ADMISSION.head_bytes + 100
        assert wire.written.startswith(b"HTTP/1.1 431 ")
        assert port.counters.buffered_bytes == 0

    assert on_loop(test).rejected == {"too-large": 1}


def test_heads_of_all_connections_together_have_a_limit_and_the_oldest_makes_room() -> None:
    async def test(_: Connection, port: Port) -> None:
        wires = [Wire() for _ in range(5)]
        for wire in wires:
            connected(port, wire).data_received(b"POST /mutate?" + b"x" * KIB)
            assert port.counters.buffered_bytes <= 4 * KIB
        assert [wire.aborted for wire in wires] == [True, True, False, False, False]

    assert on_loop(test, buffered_bytes=4 * KIB).rejected == {"evicted": 2}


@pytest.mark.parametrize(
    "request_", [OTHER, OTHER.replace(b"/other", b"http://x/y"), REQUEST.replace(b"/mutate", b"/x")]
)
def test_one_request_is_in_progress_and_nothing_is_read_meanwhile(request_: bytes) -> None:
    async def test(_: Connection, port: Port) -> None:
        wire = Wire()
        connected(port, wire).data_received(request_ * 50)
        assert wire.paused
        assert port.counters.requests == len(port.tasks) == 1
        await until(lambda: wire.closed)

    on_loop(test)


@pytest.mark.parametrize("chunked", [False, True])
def test_many_requests_in_one_piece_are_answered_one_after_the_other(chunked: bool) -> None:
    request = REQUEST
    if chunked:
        request = REQUEST[:-2].replace(b"Content-Length: 2", b"Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n"
    written, ending = Connection().feed([request * 2000, request[:50], request[50:] + request * 2000])
    assert (written.count(b"HTTP/1.1 200 OK"), ending) == (4001, False)


def test_answers_that_are_not_read_stop_the_reading() -> None:
    async def test(_: Connection, port: Port) -> None:
        wire = Wire()
        connection = connected(port, wire)
        wire.full = connection.pause_writing
        connection.data_received(REQUEST * 50)
        connection.data_received(REQUEST)
        assert wire.written.count(b"200 OK") == 1
        assert connection.due <= port.loop.time() + ADMISSION.deadlines.answer
        wire.full = None
        connection.resume_writing()
        assert wire.written.count(b"200 OK") == 51
        assert (wire.paused, port.counters.buffered_bytes) == (False, 0)

    assert on_loop(test).rejected == {}


def test_who_does_not_read_is_cut_off_when_many_do_not() -> None:
    async def test(_: Connection, port: Port) -> None:
        wires = [Wire() for _ in range(4)]
        for wire in wires:
            connected(port, wire).pause_writing()
        assert [wire.aborted for wire in wires] == [False, False, True, True]

    assert on_loop(test, buffered_bytes=2 * ADMISSION.unread_cost).rejected == {"unread": 2}


def test_those_who_do_not_read_make_room_for_the_bytes_of_others() -> None:
    async def test(_: Connection, port: Port) -> None:
        silent = [Wire() for _ in range(2)]
        for wire in silent:
            connected(port, wire).pause_writing()
        handshake, reader = Wire(), Wire()
        connected(port, handshake)
        connected(port, reader).data_received(REQUEST[:10])
        assert [wire.aborted for wire in (*silent, handshake, reader)] == [True, False, False, False]
        assert port.counters.buffered_bytes == ADMISSION.unread_cost + 10

    assert on_loop(test, buffered_bytes=2 * ADMISSION.unread_cost).rejected == {"evicted": 1}


def test_who_does_not_read_in_time_is_cut_off() -> None:
    async def test(_: Connection, port: Port) -> None:
        wire = Wire()
        connection = connected(port, wire)
        connection.pause_writing()
        connection.end_overdue()
        assert wire.aborted

    assert on_loop(test).rejected == {"unread": 1}


def test_a_large_body_is_worked_out_beside_the_event_loop_and_small_ones_do_not_wait() -> None:
    async def test(_: Connection, port: Port) -> None:
        wire, other = Wire(), Wire()
        body = b" " * HEAVY_BODY + b"x"
        head = REQUEST[:-2].replace(b": 2", b": %d" % len(body))
        connected(port, wire).data_received(head + body)
        connected(port, other).data_received(REQUEST)
        assert wire.written == b""
        assert wire.paused
        assert port.counters.held_bytes == len(body)
        assert other.written.endswith(b"{}")
        await until(lambda: wire.written.endswith(body))
        assert (port.counters.held_bytes, port.counters.requests, wire.paused) == (0, 0, False)

    on_loop(test)


def test_a_client_that_leaves_while_its_body_is_worked_out_leaves_nothing_behind() -> None:
    async def test(_: Connection, port: Port) -> None:
        wire = Wire()
        body = b" " * (HEAVY_BODY + 1)
        connection = connected(port, wire)
        connection.data_received(REQUEST[:-2].replace(b": 2", b": %d" % len(body)) + body)
        connection.ended()
        await until(lambda: port.counters.held_bytes == 0)
        assert wire.written == b""
        assert (port.counters.held_bytes, port.counters.requests, port.counters.connections) == (0, 0, 0)

    on_loop(test)


def test_a_body_counts_until_the_other_thread_has_done_with_it() -> None:
    async def test(_: Connection, port: Port) -> None:
        body = b" " * (HEAVY_BODY + 1)
        request = REQUEST[:-2].replace(b": 2", b": %d" % len(body)) + body
        begin = threading.Event()
        port.worker.submit(begin.wait)
        for _number in range(3):
            connection = connected(port, Wire())
            connection.data_received(request)
            connection.ended()
        assert port.counters.held_bytes == 3 * len(body)
        begin.set()
        await until(lambda: port.counters.held_bytes == 0)

    on_loop(test)


def test_a_body_that_waits_when_the_port_ends_is_released() -> None:
    async def test(_: Connection, port: Port) -> None:
        body = b" " * (HEAVY_BODY + 1)
        begin = threading.Event()
        port.worker.submit(begin.wait)
        connected(port, Wire()).data_received(REQUEST[:-2].replace(b": 2", b": %d" % len(body)) + body)
        port.worker.shutdown(wait=False, cancel_futures=True)
        begin.set()
        await until(lambda: port.counters.held_bytes == 0)

    on_loop(test)


def test_pieces_of_one_byte_cost_no_object_each() -> None:
    async def test(_: Connection, port: Port) -> None:
        wire = Wire()
        connection = connected(port, wire)
        connection.data_received(REQUEST[:-2].replace(b": 2", b": 1000"))
        for _number in range(1000):
            connection.data_received(b"x")
            assert len(connection._parts) <= 2
        assert wire.written.endswith(b"\r\n\r\n" + b"x" * 1000)

    on_loop(test)


def test_expectations_are_met_before_the_body_comes() -> None:
    async def test(_: Connection, port: Port) -> None:
        wire = Wire()
        connection = connected(port, wire)
        connection.data_received(REQUEST[:-6] + b"\r\nExpect: 100-continue\r\n\r\n")
        assert wire.written == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.data_received(b"{}" + REQUEST)
        assert wire.written.count(b"HTTP/1.1 200 OK") == 2

    on_loop(test)


def test_an_answer_to_head_has_no_body() -> None:
    written, _ = Connection().feed([OTHER.replace(b"GET", b"HEAD")])
    assert written.startswith(b"HTTP/1.1 404 ")
    assert written.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("length", [b"Content-Length: 10737418240", b"Transfer-Encoding: chunked"])
def test_a_body_for_no_service_is_not_read(length: bytes) -> None:
    made = Connection()
    written, ending = made.feed([OTHER.replace(b"GET", b"PUT")[:-2] + length + b"\r\n\r\n", b"x" * 1000])
    assert (written[:12], ending, made.counters.received_bytes) == (b"HTTP/1.1 404", True, 0)
