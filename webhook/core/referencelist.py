"""Read an ``imagePullSecrets`` list from JSON and keep only the entries that name a configured pull secret.

A ServiceAccount may reference 70,000 Secrets, because etcd takes objects of about 1.5 MB. The controller needs only the
presence of the list, our names in it, and their positions. The rest is counted and dropped.

Source: k8s.io/apiserver limits a JSON Patch to 10,000 operations (pkg/endpoints/handlers/patch.go).
"""

from __future__ import annotations

import re
from collections import deque
from itertools import islice
from sys import intern
from typing import TYPE_CHECKING

import msgspec

from webhook.core.inject import LocalObjectReference, References

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MOST_KEPT = 1_000
"""Entries with our names that are kept of one list, from its end. Each is one operation of a removal patch."""

SHORT_LIST_BYTES = 4_096
"""Lists up to this size are decoded as a whole, which is faster than scanning. Nearly all lists are that short."""

_ENTRY = re.compile(rb'(?:\{(?:"name":"((?:[^"\\]++|\\.)*+)")?\}|null)[,\]]')
"""One entry and the next delimiter, as the API server writes JSON: without spaces and other fields.

The quantifiers are possessive, so that a name of a megabyte needs no memory for backtracking.
"""

_decode_list = msgspec.json.Decoder(list[LocalObjectReference | None] | None).decode
_decode_text = msgspec.json.Decoder(str).decode


def read_reference_list(data: msgspec.Raw | bytes, names: Collection[str]) -> References:
    """Return the references with one of ``names`` in a list of JSON, with their positions.

    Empty data stands for an absent list.

    Raises:
        msgspec.MsgspecError: the data is not a list of references.
    """
    raw = bytes(data)
    if raw in (b"", b"null"):
        return References()
    kept: deque[tuple[int, str]] = deque(maxlen=MOST_KEPT)
    found = length = 0
    for name in _decoded(raw) if len(raw) <= SHORT_LIST_BYTES else _scanned(raw):
        if name in names:
            kept.append((length, intern(name)))
            found += 1
        length += 1
    return References(
        present=True,
        names=tuple([name for _, name in kept]),
        positions=tuple([position for position, _ in kept]),
        length=length,
        truncated=found > len(kept),
    )


def _decoded(raw: bytes) -> list[str]:
    return [(entry.name or "") if entry else "" for entry in _decode_list(raw) or ()]


def _scanned(raw: bytes) -> Iterator[str]:
    if not raw.endswith(b"]"):
        _decode_list(raw)  # raises, because the list is truncated
    position, count = 1, 0
    while position < len(raw):
        match = _ENTRY.match(raw, position)
        if match is None:
            # A proxy between us and the API server has rewritten the JSON; the list is still the same.
            yield from islice(_decoded(raw), count, None)
            return
        position, count = match.end(), count + 1
        yield _text(match[1] or b"")


def _text(name: bytes) -> str:
    return _decode_text(b'"' + name + b'"') if b"\\" in name else name.decode()
