from __future__ import annotations

import base64
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webhook.rules.configuration import Reason
from webhook.serve.review import LONGEST_UID, AdmissionRequest, BadReview, parse, render


def review(request: bytes, api_version: bytes = b"admission.k8s.io/v1", kind: bytes = b"AdmissionReview") -> bytes:
    return b'{"apiVersion":"%s","kind":"%s","request":%s}' % (api_version, kind, request)


def skipped(value: bytes) -> bytes:
    """A review with ``value`` where no decision looks."""
    return review(b'{"uid":"u","object":{"status":%s}}' % value)


MALFORMED = {
    "empty": b"",
    "cut off": review(b'{"uid":"u"}')[:-1],
    "trailing bytes": review(b'{"uid":"u"}') + b"x",
    "two documents": review(b'{"uid":"u"}') * 2,
    "byte order mark": b"\xef\xbb\xbf" + review(b'{"uid":"u"}'),
    "UTF-16": review(b'{"uid":"u"}').decode().encode("utf-16"),
    "invalid UTF-8": skipped(b'"\xff"'),
    "overlong UTF-8": skipped(b'"\xc0\x80"'),
    "a surrogate in UTF-8": skipped(b'"\xed\xa0\x80"'),
    "invalid UTF-8 in a key": skipped(b'{"\xff":1}'),
    "a lone surrogate": skipped(b'"\\ud800"'),
    "a lone surrogate as the uid": review(b'{"uid":"\\ud800"}'),
    "NaN": skipped(b"NaN"),
    "Infinity": skipped(b"-Infinity"),
    "1e999": skipped(b"1e999"),
    "1E+0999": skipped(b"[1E+0999 ]"),
    "-1.5e400": skipped(b"-1.5e400"),
    "250 digits and e99": skipped(b"9" * 250 + b"e99"),
    "5000 digits": skipped(b"9" * 5000),
    "depth 100,000": skipped(b"[" * 100_000 + b"]" * 100_000),
    "depth 100,000 of objects": skipped(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "a control character": skipped(b'"\x01"'),
    "a comment": skipped(b"1/**/"),
    "a trailing comma": skipped(b"[1,]"),
}

NO_REVIEW = {
    "null": b"null",
    "a list": b"[]",
    "a string": b'"x"',
    "a number": b"1",
    "an empty object": b"{}",
    "no request": b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}',
    "a request that is null": review(b"null"),
    "a request that is a list": review(b"[]"),
    "no uid": review(b"{}"),
    "an empty uid": review(b'{"uid":""}'),
    "a uid that is a number": review(b'{"uid":1}'),
    "a uid that is null": review(b'{"uid":null}'),
    "v1beta1": review(b'{"uid":"u"}', api_version=b"admission.k8s.io/v1beta1"),
    "another kind": review(b'{"uid":"u"}', kind=b"Review"),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_what_is_not_strictly_json_is_a_bad_review_wherever_it_is_wrong(body: bytes) -> None:
    with pytest.raises(BadReview, match=r"^(not a JSON document|nested too deeply)$") as caught:
        parse(body)
    assert caught.value.status == 400


@pytest.mark.parametrize("body", NO_REVIEW.values(), ids=NO_REVIEW)
def test_json_that_is_no_review_with_a_uid_is_a_bad_review(body: bytes) -> None:
    with pytest.raises(BadReview, match=r"^not an AdmissionReview of admission\.k8s\.io/v1 with a request"):
        parse(body)


@pytest.mark.parametrize(
    "value", [b"1e-999", b"1e99", b"9" * 199, b'"1e999"', b'"sha256:3e1234,"', b'"' + b"9" * 5000 + b'"', b'"\\u00e9"']
)
def test_unusual_values_that_are_json_are_accepted(value: bytes) -> None:
    assert parse(skipped(value)).uid == "u"


@pytest.mark.parametrize(
    "object_",
    [b"[]", b'"x"', b'{"metadata":1}', b'{"metadata":{"labels":{"a":1}}}', b'{"spec":{"imagePullSecrets":"a"}}'],
)
def test_an_object_of_wrong_types_leaves_the_head_of_the_request(object_: bytes) -> None:
    request = parse(review(b'{"uid":"u","operation":"CREATE","object":%s}' % object_))
    assert not isinstance(request, AdmissionRequest)
    assert (request.uid, request.operation) == ("u", "CREATE")


@pytest.mark.parametrize("field", [b'"operation":1', b'"resource":"pods"', b'"namespace":[]', b'"kind":{"kind":2}'])
def test_a_head_of_wrong_types_leaves_the_uid(field: bytes) -> None:
    assert parse(review(b'{"uid":"u",%s}' % field)).uid == "u"


@given(st.binary())
@example(b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u"}}\x00')
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    with pytest.raises(BadReview):
        parse(body)


@given(st.text(min_size=1, max_size=LONGEST_UID // 4, alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_uid_comes_back_as_it_was(uid: str) -> None:
    request = parse(review(b'{"uid":%s}' % json.dumps(uid).encode()))
    assert json.loads(render(request.uid, Reason.INJECTED))["response"]["uid"] == uid


def test_an_answer_without_a_patch_has_neither_patch_nor_patch_type() -> None:
    assert render("u", Reason.ALREADY_PRESENT) == (
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":'
        b'{"uid":"u","allowed":true,"auditAnnotations":{"reason":"already-present"}}}'
    )


def test_an_answer_with_a_patch_carries_it_in_base64_and_names_what_it_adds() -> None:
    body = render("u", Reason.INJECTED, ("a", "b"), "/x", present=True)
    patch = base64.b64encode(
        b'[{"op":"add","path":"/x/-","value":{"name":"a"}},{"op":"add","path":"/x/-","value":{"name":"b"}}]'
    )
    assert body == (
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u","allowed":true,'
        b'"auditAnnotations":{"reason":"injected","names":"a,b"},"patchType":"JSONPatch","patch":"%s"}}' % patch
    )
