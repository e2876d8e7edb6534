"""The judge of answers to fuzzed reviews: the standard library's JSON made strict, and another's JSON Patch."""

from __future__ import annotations

import json
import math
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import jsonpatch

from tests.integration.hostile.fuzzed_reviews import API_VERSION, KIND, MIRROR, NAME, OPT_IN
from tests.integration.site.serving import Response

Json = Any

LONGEST_UID = 256
SAFE_DEPTH = 200
SAFE_DIGITS = 100


class Verdict(Enum):
    """What the answer to a body has to be."""

    ALLOWED = auto()
    REFUSED = auto()
    EITHER = auto()
    """Where parsers of JSON differ in good faith."""


@dataclass(slots=True)
class _Doubts:
    any: bool = False

    def pairs(self, pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        found = dict(pairs)
        self.any |= len(found) != len(pairs)
        return found

    def integer(self, digits: str) -> int:
        self.any |= len(digits) > SAFE_DIGITS
        return int(digits)


def verdict_on(body: bytes) -> Verdict:
    """Say what the answer to a body has to be, by the standard library's parser made strict."""
    doubts = _Doubts()
    try:
        text = body.decode()
        document = json.loads(
            text,
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=doubts.integer,
            object_pairs_hook=doubts.pairs,
        )
    except RecursionError:
        return Verdict.EITHER
    except ValueError:
        return Verdict.REFUSED
    if not _is_review(document):
        # A review of which one key is repeated may be one to a parser for which the first of them counts.
        return Verdict.EITHER if doubts.any else Verdict.REFUSED
    doubtful = doubts.any or _depth(text) > SAFE_DEPTH or _has_lone_surrogate(document)
    return Verdict.EITHER if doubtful else Verdict.ALLOWED


def check(body: bytes, response: Response, again: Callable[[bytes], Response]) -> None:
    """Assert that ``response`` is right for ``body``; ``again`` sends another one."""
    verdict = verdict_on(body)
    if verdict is not Verdict.EITHER:
        assert response.status == (200 if verdict is Verdict.ALLOWED else 400), response
    assert response.status in {200, 400}
    if response.status == 400:
        assert len(response.body) < 200
        assert response.headers["connection"] == "close"
        return
    try:
        request = json.loads(body)["request"]
    except RecursionError:
        return  # too deep for this judge, though not for the webhook
    patch = patch_in(response, request["uid"])
    if patch is not None:
        request["object"] = _applied(request["object"], patch)
        second = again(json.dumps({"apiVersion": API_VERSION, "kind": KIND, "request": request}).encode())
        assert patch_in(second, request["uid"]) is None, "not idempotent"


def patch_in(response: Response, uid: str) -> list[dict[str, Json]] | None:
    """Return the patch in an answer, all else of which is checked."""
    assert response.headers["content-type"] == "application/json"
    document = json.loads(response.body.decode())
    assert set(document) == {"apiVersion", "kind", "response"}
    assert (document["apiVersion"], document["kind"]) == (API_VERSION, KIND)
    answer = document["response"]
    assert (answer.pop("uid"), answer.pop("allowed")) == (uid, True)
    assert all(isinstance(value, str) for value in answer.pop("auditAnnotations").values())
    if not answer:
        return None
    assert set(answer) == {"patch", "patchType"}
    assert answer["patchType"] == "JSONPatch"
    patch: list[dict[str, Json]] = json.loads(b64decode(answer["patch"], validate=True))
    assert patch
    return patch


def _applied(admitted: Json, patch: list[dict[str, Json]]) -> Json:
    """Return the patched object; nothing may be lost, changed or reordered."""
    assert {operation["op"] for operation in patch} == {"add"}
    before = json.dumps(admitted)
    patched = jsonpatch.apply_patch(admitted, patch, in_place=True)
    original = json.loads(before)
    holder, original_holder = (each["spec"] if "/spec/" in patch[0]["path"] else each for each in (patched, original))
    kept = original_holder.pop("imagePullSecrets", None) or []
    full = holder.pop("imagePullSecrets")
    assert full == [*kept, {"name": NAME}]
    assert json.dumps(patched, sort_keys=True) == json.dumps(original, sort_keys=True)
    holder["imagePullSecrets"] = full
    return patched


def is_due(request: Json) -> bool:
    """Say whether a request gets a patch, every field of which is there and has the right type."""
    admitted, about = request["object"], request["object"]["metadata"]
    in_pod = request["resource"]["resource"] == "pods"
    references = (admitted["spec"] if in_pod else admitted)["imagePullSecrets"] or []
    return (
        request["operation"] in ({"CREATE"} if in_pod else {"CREATE", "UPDATE"})
        and request["subResource"] == ""
        and request["namespace"] not in {"", "kube-system"}
        and about["labels"].get(OPT_IN) != "disabled"
        and not (in_pod and MIRROR in (about["annotations"] or {}))
        and not any(entry["name"] == NAME for entry in references)
    )


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError("out of range")
    return value


def _is_review(document: Json) -> bool:
    if not isinstance(document, dict) or not isinstance(document.get("request"), dict):
        return False
    uid = document["request"].get("uid")
    return (
        (document.get("apiVersion"), document.get("kind")) == (API_VERSION, KIND)
        and isinstance(uid, str)
        and 0 < len(uid.encode(errors="surrogatepass")) <= LONGEST_UID
    )


def _has_lone_surrogate(document: Json) -> bool:
    return re.search("[\ud800-\udfff]", json.dumps(document, ensure_ascii=False)) is not None


def _depth(text: str) -> int:
    """Return how deep brackets are nested at most, or more where strings hold some."""
    depth = deepest = 0
    for bracket in re.findall(r"[][{}]", text):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest
