"""An upgrade of uvicorn that changes what the listeners rely on fails here: see docs/uvicorn.md."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import inspect
import operator
import re
import socket
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from tests.unit.ops.uvicorn_parts import ATTRIBUTES, METHODS, SET_BY_STARTUP, Attribute, Method
from webhook.ops import background, listener
from webhook.ops.listener import Listener
from webhook.serve import endpoint
from webhook.serve.process import serve_until_signalled

ROOT = Path(__file__).parents[3]
CHANGED = "uvicorn has changed a part that the listeners rely on: follow docs/uvicorn.md"


def new_server() -> uvicorn.Server:
    return uvicorn.Server(uvicorn.Config(FastAPI()))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_method_has_the_parameters_and_the_source_that_were_read(method: Method) -> None:
    function = inspect.unwrap(getattr(uvicorn.Server, method.name))
    parameters = list(inspect.signature(function).parameters.values())[1:]
    assert ", ".join(str(each.replace(annotation=each.empty)) for each in parameters) == method.parameters, CHANGED
    assert hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:12] == method.digest, CHANGED


@pytest.mark.parametrize("attribute", ATTRIBUTES, ids=lambda attribute: attribute.path)
def test_an_attribute_is_there_with_its_first_value(attribute: Attribute) -> None:
    assert operator.attrgetter(attribute.path)(new_server()) == attribute.value, CHANGED


def test_the_listeners_use_no_other_part() -> None:
    """Every attribute of uvicorn.Server that their code names is in the lists."""
    listed = {method.name for method in METHODS} | {part.path.partition(".")[0] for part in ATTRIBUTES}
    named: set[str] = set()
    for part in (listener, background, endpoint, serve_until_signalled):
        for node in ast.walk(ast.parse(inspect.getsource(part))):
            if isinstance(node, ast.Attribute):
                named.add(node.attr)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                named.add(node.name)
    of_uvicorn = {name for name in dir(new_server()) if not name.startswith("__")} | {SET_BY_STARTUP}
    assert named & of_uvicorn == (listed & named) | {SET_BY_STARTUP}


def test_only_releases_with_these_parts_are_installed() -> None:
    """Each minor release of uvicorn may change them, so the range ends before the next one."""
    (pinned,) = (
        re.fullmatch(r"uvicorn\[standard\]>=0\.(\d+),<0\.(\d+)", each)
        for each in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
        if each.startswith("uvicorn")
    )
    assert pinned
    assert int(pinned[2]) == int(pinned[1]) + 1
    assert version("uvicorn").split(".")[:2] == ["0", pinned[1]]


def test_the_frame_runs_a_listener_from_its_start_to_the_end_of_its_last_connection() -> None:
    """The order of the calls, with a client that stays connected until the server asks it to go."""
    calls: list[str] = []

    class Recorded(Listener):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            calls.append("startup")

        async def on_tick(self, counter: int) -> bool:
            if "tick" not in calls:
                calls.append("tick")
            return await super().on_tick(counter)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            calls.append("shutdown")
            await super().shutdown(sockets)
            calls.append(f"over, {len(self.server_state.connections)} connections")

    async def serve() -> bytes:
        listener = Recorded(FastAPI(), socket.create_server(("127.0.0.1", 0)))
        serving = asyncio.create_task(listener.listen())
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await reader.readuntil(b"\r\n")
        assert len(listener.server_state.connections) == 1
        listener.should_exit = True
        await reader.read()
        writer.close()
        await asyncio.wait_for(serving, 60)
        return answer

    assert asyncio.run(serve()) == b"HTTP/1.1 404 Not Found\r\n"
    assert calls == ["startup", "tick", "shutdown", "over, 0 connections"]
