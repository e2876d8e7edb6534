"""HTTP requests that are right, nearly right, or nothing of the kind; each is complete, so that an answer is due."""

from __future__ import annotations

from hypothesis import strategies as st

_METHODS = ("POST", "POST", "POST", "POST", "POST", "GET", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "FOO", "post")
_RIGHT_PATHS = ("/mutate", "/mutate?timeout=5s", "/mutate?", "/%6dutate", "http://x/mutate")
_WRONG_PATHS = ("/mutate/", "//mutate", "/mutate%00", "/mutate#", "/", "*")
_HARMLESS = (
    b"X-Forwarded-Host: webhook",
    b"Content-Encoding: identity",
    b"content-type: APPLICATION/JSON ; charset=utf-8",
    b"Connection: close",
    b"Connection: keep-alive, Upgrade",
    b"Upgrade: websocket",
    b"Upgrade: h2c",
    b"HTTP2-Settings: AAMAAABk",
    b"Expect: 100-continue",
    b"Expect: something",
    b"X: " + b"y" * 9000,
)
_HARMFUL = (
    b"Content-Type: text/plain",
    b"Content-Type:",
    b"Content-Encoding: gzip",
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999999",
    b"Content-Length: 7340033",
    b"Transfer-Encoding: gzip",
    b"Host: webhook",
    b"Content-Encoding: identity",
    b"X\xff: \xfe",
    b": empty",
    b"no colon",
    b" folded",
)
_FRAMES = ("length", "length", "chunked", "chunked", "none", "bad chunks")


@st.composite
def requests(draw: st.DrawFn, body: bytes) -> tuple[str, bytes]:
    """Draw a method, and the bytes of something like an HTTP request that is complete."""
    method = draw(st.sampled_from(_METHODS))
    paths = _RIGHT_PATHS * 3 + _WRONG_PATHS
    target = draw(st.sampled_from(paths) if draw(st.integers(0, 9)) else st.text("/%?#a.é", min_size=1, max_size=6))
    version = draw(st.sampled_from(["HTTP/1.1"] * 15 + ["HTTP/1.0", "HTTP/2.0", "HTTP/1.12", "http/1.1", ""]))
    lines = [f"{method} {target} {version}".encode(), b"Content-Type: application/json"]
    if draw(st.integers(0, 9)):
        lines.append(b"Host: webhook")
    lines += draw(st.lists(st.sampled_from(_HARMLESS), max_size=3))
    if draw(st.integers(0, 3)) == 3:
        lines.append(draw(st.sampled_from(_HARMFUL) | st.binary(max_size=12)))
    frame = draw(st.sampled_from(_FRAMES))
    if frame == "length":
        lines.append(b"Content-Length: %d" % len(body))
    elif frame != "none":
        lines.append(b"Transfer-Encoding: chunked")
        body = _chunked(body, draw(st.integers(1, 200)))
    if frame == "bad chunks":
        body = body.replace(b"\r\n", draw(st.sampled_from([b"", b"\n", b"zz\r\n"])), 1)
    return method, b"\r\n".join([*lines, b"", b""]) + body


def _chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
