from __future__ import annotations

import gzip
import select
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from itertools import chain, cycle, repeat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.polling import until
from tests.unit.registries.hostile import HostileRegistry
from tests.unit.registries.registry import ACCEPTED, BAD, GOOD, PASSWORD, TOKEN, Registry
from webhook.registries.login import Login, Registries
from webhook.registries.token_flow import Challenge, parse_challenges, parse_realm


@pytest.mark.parametrize("scheme", ["bearer", "basic"])
def test_a_credential_that_is_good_is_accepted_and_an_old_one_refused(
    registry: Registry, ours: Registries, scheme: str
) -> None:
    registry.behaviour.scheme = scheme
    assert ours.log_in(registry.key, GOOD).login is Login.ACCEPTED
    assert ours.log_in(f"{registry.key}/our-org", GOOD).login is Login.ACCEPTED
    refused = ours.log_in(registry.key, BAD)
    assert refused.login is Login.REFUSED
    assert refused.message.startswith(f"{registry.key} refuses it (401")


def test_the_registry_is_given_a_token_and_the_token_service_the_credential(
    registry: Registry, ours: Registries
) -> None:
    ours.log_in(registry.key, GOOD)
    assert [(path.partition("?")[0], authorization) for _, path, authorization in registry.behaviour.seen] == [
        ("/v2/", ""),
        ("/token", ACCEPTED),
        ("/v2/", f"Bearer {TOKEN}"),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheme": "none"}, "does not require a credential"),
        ({"scheme": "negotiate"}, "offers neither Basic nor Bearer authentication"),
        ({"status": 404}, "answers 404 instead of 200 or 401"),
        ({"status": 503}, "answers 503 instead of 200 or 401"),
        ({"status": 302, "location": "https://elsewhere.example.com/v2/"}, "answers 302 instead of 200 or 401"),
        ({"realm": "http://127.0.0.1:1/token"}, "names a token service that is not at an https URL"),
        ({"realm": "/token"}, "names a token service that is not at an https URL"),
        ({"realm": "https://127.0.0.1:1/token"}, "127.0.0.1:1 does not answer"),
        ({"token": b"{}"}, "answers 200"),
        ({"token": b'{"token": "a\\nb"}'}, "answers 200"),
        ({"token": b"[" * 100_000}, "answers 200"),
        ({"token": b"\xff"}, "answers 200"),
        ({"token": b'{"token": "\xff"}'}, "answers 200"),
        ({"token": b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"}, "answers 200"),
    ],
)
def test_what_is_no_registry_or_a_broken_one_is_unknown(
    registry: Registry, ours: Registries, changes: dict[str, object], message: str
) -> None:
    for name, value in changes.items():
        setattr(registry.behaviour, name, value)
    found = ours.log_in(registry.key, GOOD)
    assert found.login is Login.UNKNOWN
    assert message in found.message
    assert PASSWORD not in found.message


def test_a_peer_that_sends_a_byte_now_and_then_is_given_up(registry: Registry, trusted: tuple[Path, Path]) -> None:
    registry.behaviour.drip = True
    found = Registries(trusted[0], seconds=0.5).log_in(registry.key, GOOD)
    assert (found.login, found.message) == (Login.UNKNOWN, f"{registry.key} took too long")


HEAD = b"HTTP/1.1 401 Unauthorized\r\n"


def _dripping(start: bytes, endless: bytes) -> Callable[[], Iterator[bytes]]:
    """Return a script that sends a beginning, then byte by byte for ever."""

    def pieces() -> Iterator[bytes]:
        yield start
        for byte in cycle(endless):
            yield bytes([byte])
            yield b""

    return pieces


def _flooding(start: bytes, endless: bytes) -> Callable[[], Iterator[bytes]]:
    """Return a script that sends a beginning, then the same as fast as it is taken."""
    return lambda: chain([start], repeat(endless * max(1, 4096 // len(endless))))


SCRIPTS: dict[str, tuple[Callable[[], Iterator[bytes]], bool]] = {
    "nothing in the place of TLS": (lambda: iter(()), False),
    "TLS byte by byte": (_dripping(b"\x16\x03\x03\x3f\xff", b"\x02"), False),
    "nothing": (lambda: iter(()), True),
    "a status line byte by byte": (_dripping(b"HTTP/1.1 401 ", b"U"), True),
    "a header byte by byte": (_dripping(HEAD + b"X-Slow: ", b"x"), True),
    "headers without end, slowly": (_dripping(HEAD, b"X: y\r\n"), True),
    "headers without end": (_flooding(HEAD, b"X-Many: y\r\n"), True),
    "a header without end": (_flooding(HEAD + b"X-Long: ", b"x"), True),
    "interim answers without end": (_flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), True),
    "a body byte by byte": (_dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"), True),
    "a body without end": (_flooding(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4096), True),
    "chunks byte by byte": (_dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), True),
    "a chunk's size without end": (
        _flooding(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0" * 4096),
        True,
    ),
    "trailers without end": (
        _flooding(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
        True,
    ),
    "a bomb": (
        lambda: iter(
            [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", gzip.compress(b"\0" * 50_000_000), b"", b""]
        ),
        True,
    ),
    "no HTTP": (_flooding(b"", b"\x1b[31mno\r\n"), True),
    "headers that are none": (lambda: iter([HEAD + b"no header\r\n\x1b]0;x\x07: y\r\n\r\n"]), True),
    "a status that is none": (lambda: iter([b"HTTP/1.1 4O1 \x1b[31m\r\n\r\n"]), True),
    "a redirection": (lambda: iter([b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n"]), True),
}


@pytest.mark.parametrize(("script", "secure"), SCRIPTS.values(), ids=SCRIPTS)
def test_whatever_a_registry_sends_the_exchange_ends_and_leaves_neither_thread_nor_connection(
    script: Callable[[], Iterator[bytes]],
    secure: bool,
    trusted: tuple[Path, Path],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    hostile = HostileRegistry(trusted[1], script, secure=secure)
    ours = Registries(trusted[0], seconds=0.7)
    try:
        before = set(threading.enumerate())
        found = ours.log_in(hostile.key, GOOD)
        left = set(threading.enumerate()) - before - hostile.threads
        assert left == set()
        until(lambda: not hostile.open)
    finally:
        hostile.close()
    assert found.login is Login.UNKNOWN
    assert found.message.isprintable()
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


REALMS = [
    "https://[",
    "https://[::1",
    "https://]",
    "https://[evil]/",
    "https://host:99999999/",
    "https://host:port/",
    "https://user:password@host/",
    "https://",
    "https:///token",
    "https://host/\x1b[31m",
    "https://ho\x9b31mst/",
    "https://host\\token",
    "http://host/token",
    "file:///etc/passwd",
    "ftp://host/",
    "javascript:alert(1)",
    "//host/token",
    "https://" + "a" * 300,
    "https://host/" + "a" * 5000,
]


@pytest.mark.parametrize("realm", REALMS)
def test_a_realm_that_is_no_plain_https_url_is_told_of_and_gets_no_credential(
    registry: Registry, ours: Registries, realm: str
) -> None:
    registry.behaviour.realm = realm.replace("\\", "\\\\")
    found = ours.log_in(registry.key, GOOD)
    assert found.login is Login.UNKNOWN
    assert found.message == f"{registry.key} names a token service that is not at an https URL"
    assert [authorization for _, _, authorization in registry.behaviour.seen] == [""]


@given(st.text())
def test_a_realm_is_read_or_is_none(realm: str) -> None:
    for text in (realm, f"https://{realm}", f"https://host{realm}", f"https://[{realm}]/"):
        found = parse_realm(text)
        assert found is None or (found.scheme == "https" and found.hostname and found.netloc.isprintable())


def test_an_authority_that_is_not_trusted_gets_no_credential(registry: Registry) -> None:
    found = Registries(seconds=30.0).log_in(registry.key, GOOD)
    assert found.login is Login.UNKNOWN
    assert "cannot be verified" in found.message
    assert registry.behaviour.seen == []


def test_the_authorities_of_the_environment_are_trusted(
    registry: Registry, trusted: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted[0]))
    assert Registries(seconds=30.0).log_in(registry.key, GOOD).login is Login.ACCEPTED


def test_a_name_that_stands_for_many_registries_is_unknown(ours: Registries) -> None:
    assert "stands for many registries" in ours.log_in("*.example.com", GOOD).message


class _Proxy(socketserver.ThreadingTCPServer):
    """Tunnels by CONNECT, and remembers where to."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.asked: list[str] = []


class _Tunnel(socketserver.StreamRequestHandler):
    server: _Proxy

    def handle(self) -> None:
        target = self.rfile.readline().split()[1].decode()
        while self.rfile.readline().strip():
            pass
        self.server.asked.append(target)
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port))) as peer:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            pair = [self.connection, peer]
            while True:
                for ready in select.select(pair, [], [], 10)[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    pair[1 - pair.index(ready)].sendall(data)


@pytest.fixture
def proxy() -> Iterator[_Proxy]:
    server = _Proxy()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_proxy_of_the_environment_is_used_and_left_out_where_it_says_so(
    registry: Registry, ours: Registries, proxy: _Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.server_address[1]}")
    assert ours.log_in(registry.key, GOOD).login is Login.ACCEPTED
    assert set(proxy.asked) == {registry.key}

    proxy.asked.clear()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert ours.log_in(registry.key, GOOD).login is Login.ACCEPTED
    assert proxy.asked == []


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io"',
            [Challenge("bearer", {"realm": "https://auth.docker.io/token", "service": "registry.docker.io"})],
        ),
        ('Basic realm="Harbor"', [Challenge("basic", {"realm": "Harbor"})]),
        ("Basic", [Challenge("basic", {})]),
        ("BEARER Realm=abc , Service = x", [Challenge("bearer", {"realm": "abc", "service": "x"})]),
        (
            'Bearer realm="a\\"b,c", Basic realm="x"',
            [Challenge("bearer", {"realm": 'a"b,c'}), Challenge("basic", {"realm": "x"})],
        ),
        ('Bearer scope="repository:a:pull,push"', [Challenge("bearer", {"scope": "repository:a:pull,push"})]),
        (
            'Bearer realm="",scope="a b", error="", Basic',
            [Challenge("bearer", {"realm": "", "scope": "a b", "error": ""}), Challenge("basic")],
        ),
        ('realm="x", Basic realm="y"', [Challenge("basic", {"realm": "y"})]),
        ("", []),
        ("=,=", []),
        ("Bearer " + "x" * 10_000, []),
    ],
)
def test_challenges_are_read(header: str, expected: list[Challenge]) -> None:
    assert parse_challenges([header]) == expected


def test_a_challenge_after_a_token_or_after_what_cannot_be_read_is_found() -> None:
    for header in ('Negotiate YIIG==, Basic realm="x"', 'Negotiate YIIG/+, Basic realm="x"', '%%, Basic realm="x"'):
        assert Challenge("basic", {"realm": "x"}) in parse_challenges([header])


def test_several_headers_are_several_challenges() -> None:
    assert [each.scheme for each in parse_challenges(['Basic realm="a"', 'Bearer realm="b"'])] == ["basic", "bearer"]


@given(st.text())
def test_whatever_a_header_holds_it_is_read_or_passed_over(header: str) -> None:
    for challenge in parse_challenges([header]):
        assert challenge.scheme == challenge.scheme.lower()
