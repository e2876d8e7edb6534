"""Bodies that are reviews, nearly reviews, or were reviews before their bytes were damaged."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Json = Any
Record = Callable[[dict[str, st.SearchStrategy[Json]]], st.SearchStrategy[Json]]

NAME = "registry"
"""The pull secret of the configuration that ``serving`` writes."""

API_VERSION, KIND = "admission.k8s.io/v1", "AdmissionReview"
MIRROR = "kubernetes.io/config.mirror"
OPT_IN = "pullsecrets.webhook/inject"

_DEEP = "deep-as-a-well"
_DEPTHS = (1, 50, 400, 600, 1200, 20_000, 200_000)

_oddities = st.sampled_from(["\ud800", "a\udfff", _DEEP, math.nan, math.inf, 10**80, 10**400])
"""Of which one makes the whole body doubtful, or no JSON."""

texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", "\ud83d\ude00", "\x00", "\u2028", "𝄞", "0e000,", "1E99999,", '"', "]}"]),
)
numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([2**63, 2**64, -(2**64), -0.0, 1.7e308, 5e-324]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts, texts, texts, numbers, numbers, _oddities)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
_FATES = 60


@st.composite
def record(draw: st.DrawFn, fields: dict[str, st.SearchStrategy[Json]]) -> Json:
    """Draw an object with these fields, now and then one absent, one of a wrong type, or one that nobody knows."""
    found = {}
    for name, right in fields.items():
        match draw(st.integers(0, _FATES)):
            case 20:
                continue
            case 30:
                found[name] = draw(documents)
            case 40:
                found |= {draw(texts): draw(documents), name: draw(right)}
            case _:
                found[name] = draw(right)
    return found


words = st.sampled_from(["a", "web", "default", "kube-system", "registry", "disabled", "enabled"])
labels = st.dictionaries(st.sampled_from(["app", OPT_IN]), words, max_size=2)
notes = st.none() | st.dictionaries(st.sampled_from(["note", MIRROR]), texts, max_size=2)
operations = st.sampled_from(["CREATE"] * 6 + ["UPDATE", "DELETE", "CONNECT", "create", ""])
uids = st.one_of(st.uuids().map(str), st.text(min_size=1, max_size=9))


def _common(make: Record) -> dict[str, st.SearchStrategy[Json]]:
    """Return metadata and references, which a Pod has in its ``spec`` and a ServiceAccount at its top."""
    entries = make({"name": st.one_of(words, st.just(NAME), texts)})
    metadata = make({"name": words, "namespace": words, "labels": labels, "annotations": notes})
    return {"metadata": metadata, "imagePullSecrets": st.one_of(st.none(), st.lists(entries, max_size=4))}


def _pods(make: Record) -> st.SearchStrategy[Json]:
    common = _common(make)
    containers = st.lists(make({"name": words, "image": words}), max_size=2)
    volumes = st.lists(make({"image": make({"reference": words})}), max_size=1)
    spec = {
        "imagePullSecrets": common["imagePullSecrets"],
        "serviceAccountName": words,
        "containers": containers,
        "initContainers": containers,
        "volumes": volumes,
    }
    return make({"kind": st.just("Pod"), "metadata": common["metadata"], "spec": make(spec)})


def _requests(make: Record, kind: str, resource: str, objects: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    core = {"group": st.just(""), "version": st.just("v1")}
    return make(
        {
            "uid": uids,
            "kind": make({**core, "kind": st.just(kind)}),
            "resource": make({**core, "resource": st.just(resource)}),
            "subResource": st.sampled_from(["", "", "", "status"]),
            "namespace": words,
            "operation": operations,
            "object": objects,
            "oldObject": documents,
            "dryRun": st.booleans(),
        }
    )


def _reviews(make: Record) -> st.SearchStrategy[Json]:
    accounts = make({"kind": st.just("ServiceAccount"), **_common(make)})
    of_pods = _requests(make, "Pod", "pods", _pods(make))
    of_accounts = _requests(make, "ServiceAccount", "serviceaccounts", accounts)
    return make({"apiVersion": st.just(API_VERSION), "kind": st.just(KIND), "request": of_pods | of_accounts})


reviews = _reviews(record)
right_reviews = _reviews(st.fixed_dictionaries)
"""Of these, every field is there and has the right type."""


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Draw the bytes of something like a review; not all of it is JSON, or UTF-8."""
    text = json.dumps(draw(reviews), ensure_ascii=draw(st.booleans()))
    depth = draw(st.sampled_from(_DEPTHS))
    return text.replace(f'"{_DEEP}"', "[" * depth + "]" * depth).encode("utf-8", "surrogatepass")


_SCALAR = re.compile(rb'"[^"]*"|null|false')
_VALUES = rb'{} [] null true 1 0.5 1e999 "" "CREATE" "UPDATE" "Pod" "pods" "uid" "object" "spec" "imagePullSecrets"'
_JUNK = b'{ } [ ] , : " \\ NaN -1 \\ud800 \xff \xef\xbb\xbf \x00'


@st.composite
def mutations(draw: st.DrawFn, review: bytes) -> bytes:
    """Draw a review with a few of its tokens, or of its bytes, replaced, repeated or left out."""
    for _ in range(draw(st.integers(1, 3))):
        spans = [match.span() for match in _SCALAR.finditer(review)]
        if draw(st.integers(0, 3)) and spans:
            start, end = spans[draw(st.integers(0, len(spans) - 1))]
            pieces = st.sampled_from(_VALUES.split(b" "))
        else:
            start = draw(st.integers(0, len(review)))
            end = draw(st.integers(start, min(len(review), start + 40)))
            again = st.just(review[start:end] * 2)
            pieces = st.one_of(st.sampled_from(_JUNK.split(b" ")), st.binary(max_size=4), again)
        review = review[:start] + draw(pieces) + review[end:]
    return review
