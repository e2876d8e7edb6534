from __future__ import annotations

import base64
import json
import re
import tracemalloc
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.integration.hostile.mixture import BODIES
from webhook.rules import images as imageref
from webhook.rules.configuration import Configuration, PodPolicy, PullSecret, Reason
from webhook.rules.gates import MAX_IMAGES, decide
from webhook.rules.objects import Subject
from webhook.rules.references import References
from webhook.rules.subject import MAX_ENTRIES
from webhook.serve import review as review_module
from webhook.serve.handler import Handler
from webhook.serve.review import LONGEST_UID, AdmissionRequest, BadReview, check_strictly, parse, render


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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
PADDING = b" " * 300_000
"""With it a document is large, and looked at in another way."""

ODDITIES = [
    b"1e999",
    b"-1e309",
    b"1E+400",
    b"9" * 400,
    b"NaN",
    b"1e-999",
    b"18446744073709551616",
    b'"\\ud800"',
    b"1.",
    b"\xff",
]


def judged_right(document: bytes) -> bool:
    """The verdict of the check, and then of the decoder, which skips over everything."""
    try:
        check_strictly(document)
        msgspec.json.decode(document, type=msgspec.Raw)
    except (ValueError, RecursionError):
        return False
    return True


def is_right(document: bytes) -> bool:
    """The verdict of a decoder that reads everything."""
    try:
        document.decode()
        msgspec.json.decode(document)
    except (ValueError, RecursionError, msgspec.ValidationError):
        return False
    return True


@pytest.mark.parametrize("padding", [b"", PADDING], ids=["small", "large"])
@pytest.mark.parametrize("value", ODDITIES)
@pytest.mark.parametrize("around", [b'{"a":[%b]}', b'{"a": %b }', b"[1,%b,2]"])
def test_what_is_skipped_is_judged_like_what_is_read(around: bytes, value: bytes, padding: bytes) -> None:
    document = around % value + padding
    assert judged_right(document) == is_right(document)


@given(JSON, st.booleans())
def test_every_document_is_right(value: object, ascii_only: bool) -> None:
    try:
        document = json.dumps(value, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return  # a lone surrogate has no UTF-8
    check_strictly(document)


@given(JSON, st.data())
def test_a_damaged_document_is_judged_like_one_that_is_read(value: object, data: st.DataObject) -> None:
    document = bytearray(json.dumps({"a": value}).encode())
    at = data.draw(st.integers(0, len(document)))
    document[at : at + data.draw(st.integers(0, 3))] = data.draw(
        st.sampled_from([b"", *ODDITIES]) | st.binary(max_size=3)
    )
    damaged = b"[%b]" % bytes(document)  # a number alone is no review, and not looked at so closely
    assert judged_right(damaged) == is_right(damaged)


def test_only_a_number_that_may_be_out_of_range_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []

    class Number:
        def match(self, text: bytes, position: int) -> re.Match[bytes] | None:
            looked.append(position)
            return number.match(text, position)

    number = review_module._NUMBER
    monkeypatch.setattr(review_module, "_NUMBER", Number())
    check_strictly(b"[" + b"1," * 200_000 + b'1e300,"' + b"1e300," * 100_000 + b'"]')
    assert len(looked) == 1


MIB = 1024 * 1024
MOST_MEMORY = 24 * MIB
"""Three times the largest body."""

CONFIGURATION = Configuration((PullSecret("registry", ("source",)),))
HANDLER = Handler(lambda: CONFIGURATION, lambda _name: None)


@pytest.mark.parametrize("make", BODIES)
def test_the_work_for_a_large_body_is_bounded(make: Callable[[], bytes]) -> None:
    body = make()
    tracemalloc.start()
    try:
        HANDLER.handle(body)
    except BadReview:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MOST_MEMORY


def pod_review(uid: str = "u", spec: str = "{}", metadata: str = "{}") -> bytes:
    kind, resource = '{"version":"v1","kind":"Pod"}', '{"version":"v1","resource":"pods"}'
    about = f'"uid":"{uid}","kind":{kind},"resource":{resource},"namespace":"x","operation":"CREATE"'
    request = f'{{{about},"object":{{"metadata":{metadata},"spec":{spec}}}}}'
    return f'{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{request}}}'.encode()


@pytest.mark.parametrize(
    ("uid", "accepted"),
    [("u" * LONGEST_UID, True), ("u" * (LONGEST_UID + 1), False), ("é" * (LONGEST_UID // 2), True), ("é" * 129, False)],
)
def test_a_uid_has_a_longest_size_in_bytes(uid: str, accepted: bool) -> None:
    if accepted:
        assert parse(pod_review(uid)).uid == uid
    else:
        with pytest.raises(BadReview):
            parse(pod_review(uid))


@pytest.mark.parametrize("number", [MAX_ENTRIES // 2, MAX_ENTRIES + 2])
@pytest.mark.parametrize(
    ("field", "entry"), [("imagePullSecrets", '{"name":"x"}'), ("containers", '{"image":"x"}'), ("volumes", "null")]
)
def test_a_list_is_decoded_up_to_a_ceiling(field: str, entry: str, number: int) -> None:
    spec = f'{{"{field}":[{",".join([entry] * number)}]}}'
    answer = HANDLER.handle(pod_review(spec=spec))
    assert answer.reason is (Reason.INJECTED if number < MAX_ENTRIES else Reason.OBJECT_UNREADABLE)


def test_a_large_review_is_read_as_a_small_one() -> None:
    padding = '"annotations":{"a":"' + "x" * 100_000 + '"}'
    spec = '{"imagePullSecrets":[{"name":"theirs"},null,{}],"serviceAccountName":"s","containers":[{"image":"a"}]}'
    for metadata in ('{"name":"n","labels":{"a":"b"},P}', '{"generateName":"n-",P}', '{"labels":null,P}'):
        large, small = (pod_review(spec=spec, metadata=metadata.replace("P", text)) for text in (padding, '"x":1'))
        assert HANDLER.handle(large) == HANDLER.handle(small)
    wrong = pod_review(spec='{"containers":{}}', metadata=f"{{{padding}}}")
    assert HANDLER.handle(wrong).reason is Reason.OBJECT_UNREADABLE


def test_images_are_parsed_once_and_up_to_a_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []

    def name_of(image: str) -> str:
        parsed.append(image)
        return image

    monkeypatch.setattr(imageref, "image_name", name_of)
    entries = tuple(
        PullSecret(
            f"p{number}", ("s",), pods=PodPolicy.WHEN_IMAGE_MATCHES, registries=("r.example.com", "q.example.com")
        )
        for number in range(20)
    )
    images = tuple(f"x.example.com/{number}" for number in range(50_000))
    subject = Subject("Pod", "x", "x", {}, {}, References(), images=images)
    assert decide(subject, Configuration(entries)).reason is Reason.IMAGE_NOT_MATCHED
    assert parsed == list(images[:MAX_IMAGES])
