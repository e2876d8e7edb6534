"""What one review can make the webhook do, whoever sends it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from tests.integration.hostile.mixture import BODIES
from webhook.rules import images as imageref
from webhook.rules.configuration import Configuration, PodPolicy, PullSecret, Reason
from webhook.rules.gates import MAX_IMAGES, decide
from webhook.rules.objects import References, Subject
from webhook.rules.subject import MAX_ENTRIES
from webhook.serve.handler import Handler
from webhook.serve.review import LONGEST_UID, BadReview, parse

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


def review(uid: str = "u", spec: str = "{}", metadata: str = "{}") -> bytes:
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
        assert parse(review(uid)).uid == uid
    else:
        with pytest.raises(BadReview):
            parse(review(uid))


@pytest.mark.parametrize("number", [MAX_ENTRIES // 2, MAX_ENTRIES + 2])
@pytest.mark.parametrize(
    ("field", "entry"), [("imagePullSecrets", '{"name":"x"}'), ("containers", '{"image":"x"}'), ("volumes", "null")]
)
def test_a_list_is_decoded_up_to_a_ceiling(field: str, entry: str, number: int) -> None:
    spec = f'{{"{field}":[{",".join([entry] * number)}]}}'
    answer = HANDLER.handle(review(spec=spec))
    assert answer.reason is (Reason.INJECTED if number < MAX_ENTRIES else Reason.OBJECT_UNREADABLE)


def test_a_large_review_is_read_as_a_small_one() -> None:
    padding = '"annotations":{"a":"' + "x" * 100_000 + '"}'
    spec = '{"imagePullSecrets":[{"name":"theirs"},null,{}],"serviceAccountName":"s","containers":[{"image":"a"}]}'
    for metadata in ('{"name":"n","labels":{"a":"b"},P}', '{"generateName":"n-",P}', '{"labels":null,P}'):
        large, small = (review(spec=spec, metadata=metadata.replace("P", text)) for text in (padding, '"x":1'))
        assert HANDLER.handle(large) == HANDLER.handle(small)
    wrong = review(spec='{"containers":{}}', metadata=f"{{{padding}}}")
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
