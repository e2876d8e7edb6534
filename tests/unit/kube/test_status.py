from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from urllib3 import HTTPHeaderDict

from webhook.errors import (
    AdmissionFailed,
    ApiError,
    ApiUnavailable,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    Refused,
    Throttled,
)
from webhook.kube.status import MESSAGE_LIMIT, RETRY_AFTER_LIMIT, Status, decode_status, error_from_response

ACCOUNT = "/api/v1/namespaces/a/serviceaccounts/default"
SECRET = "/api/v1/namespaces/a/secrets/harbor"  # noqa: S105
MARKER = "hunter2-marker"
TOO_MANY = b"Too many requests, please try again later.\n"


def answered(code: int, message: str = "", *, path: str = ACCOUNT, method: str = "PATCH", **headers: str) -> ApiError:
    body = json.dumps({"kind": "Status", "message": message, "reason": "Because", "code": code}).encode()
    return error_from_response(method, path, code, headers, body)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (302, ApiUnavailable),
        (400, Invalid),
        (401, Forbidden),
        (403, Forbidden),
        (404, ApiUnavailable),
        (409, Conflict),
        (410, Gone),
        (413, Invalid),
        (418, ApiError),
        (422, Invalid),
        (429, Throttled),
        (500, ApiUnavailable),
        (503, ApiUnavailable),
        (504, ApiUnavailable),
    ],
)
def test_each_code_has_its_exception(code: int, kind: type[ApiError]) -> None:
    error = answered(code)

    assert type(error) is kind
    assert (error.status, error.reason) == (code, "Because")


def test_a_message_names_the_request_and_what_the_server_said() -> None:
    assert str(answered(403, "not for you")) == f"PATCH {ACCOUNT}: 403 Because: not for you"


def test_a_proxy_that_says_when_to_come_back_does_not_throttle() -> None:
    error = error_from_response("GET", ACCOUNT, 503, {"Retry-After": "3"}, b"")

    assert type(error) is ApiUnavailable
    assert error.retry_after == 3.0


def test_the_pause_may_stand_in_the_status_alone() -> None:
    body = b'{"kind":"Status","code":429,"details":{"retryAfterSeconds":2}}'

    assert error_from_response("GET", ACCOUNT, 429, {}, body).retry_after == 2.0


@pytest.mark.parametrize("value", ["86400", "9" * 400, "1" + "0" * 5000])
def test_nobody_may_send_us_away_for_long(value: str) -> None:
    assert error_from_response("GET", ACCOUNT, 429, {"Retry-After": value}, b"").retry_after == RETRY_AFTER_LIMIT


@pytest.mark.parametrize("value", ["", "-1", "1.5", "soon", "²", "Fri, 31 Dec 1999 23:59:59 GMT"])
def test_a_pause_that_is_no_number_of_seconds_is_none(value: str) -> None:
    error = error_from_response("GET", ACCOUNT, 429, {"Retry-After": value}, TOO_MANY)

    assert isinstance(error, Throttled)
    assert error.retry_after is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>502 Bad Gateway</html>", b"null", b"[]", b"\xff\xfe", b'{"message": 5, "code": {}}']
)
def test_a_body_that_is_no_status_says_nothing(body: bytes) -> None:
    assert decode_status(body) == Status()


def test_a_long_message_is_cut() -> None:
    assert len(str(answered(403, "x" * 100_000))) < MESSAGE_LIMIT + 100


@pytest.mark.parametrize("code", [400, 413, 422, 500, 503, 418])
@pytest.mark.parametrize("method", ["PATCH", "POST", "DELETE"])
def test_what_may_quote_a_secret_that_was_sent_is_not_shown(code: int, method: str) -> None:
    error = answered(code, f'Invalid value: "{MARKER}"', path=SECRET, method=method)

    assert MARKER not in str(error)
    assert f"{method} {SECRET}: {code} Because" in str(error)


@pytest.mark.parametrize(
    ("code", "said", "shown"),
    [
        (403, 'admission webhook "x.example.com" denied the request: ', 'admission webhook "x.example.com" denied'),
        (
            422,
            "secrets \"harbor\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: ",
            "ValidatingAdmissionPolicy 'p' with binding 'b' denied request",
        ),
        (500, 'Internal error occurred: failed calling webhook "vault": ', 'failed calling webhook "vault"'),
    ],
)
def test_who_refused_a_secret_is_named_but_not_quoted(code: int, said: str, shown: str) -> None:
    error = answered(code, f"{said}the password {MARKER} is weak", path=SECRET)

    assert shown in str(error)
    assert MARKER not in str(error)


def test_a_quota_explains_itself() -> None:
    said = 'secrets "harbor" is forbidden: exceeded quota: small, requested: secrets=1, used: secrets=9'

    assert said in str(answered(403, said, path=SECRET))


def test_reading_a_secret_quotes_nothing_and_is_told_in_full() -> None:
    said = "required storage feature RequestWatchProgress is disabled"

    assert said in str(answered(500, said, path=SECRET, method="WATCH"))


@pytest.mark.parametrize(
    ("code", "body", "general"),
    [
        (429, TOO_MANY, True),
        (429, b"{}", True),
        (500, b"<html>oops</html>", True),
        (503, b"", True),
        (504, b'{"kind":"Status","code":504,"reason":"Timeout"}', True),
        # A webhook that fails for one namespace: the API server is well.
        (500, b'{"kind":"Status","code":500,"reason":"InternalError"}', False),
        (403, b'{"kind":"Status","code":403,"reason":"Forbidden"}', False),
        (409, b'{"kind":"Status","code":409,"reason":"Conflict"}', False),
        (409, b"", True),
        (404, b"<html>nginx</html>", True),
    ],
)
def test_an_answer_that_has_nothing_to_do_with_the_object_is_told_apart(code: int, body: bytes, general: bool) -> None:
    assert error_from_response("PATCH", ACCOUNT, code, {}, body).is_general is general


ANSWERS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("answers.json").read_text())

WHOSE: dict[str, tuple[type[ApiError], bool]] = {
    "of the namespace: admission": (AdmissionFailed, False),
    "of the namespace: the webhook's patch": (ApiUnavailable, False),
    "refusal: a right": (Forbidden, False),
    "refusal: the object": (Invalid, False),
    "conflict": (Conflict, False),
    "not found": (NotFound, False),
    "something else": (ApiError, False),
    "throttled": (Throttled, True),
    "unavailable": (ApiUnavailable, True),
}
"""The exception, and whether it is general: only then other namespaces may be held up."""


def error_of(answer: dict[str, Any]) -> ApiError:
    return error_from_response(
        answer["method"],
        answer["path"],
        answer["status"],
        HTTPHeaderDict(answer["headers"]),
        answer["body"].encode(),
        answer["requestContentType"],
    )


def test_there_are_answers_of_every_kind() -> None:
    assert len(ANSWERS) >= 20
    assert {answer["whose"] for answer in ANSWERS.values()} == WHOSE.keys()


@pytest.mark.parametrize("name", ANSWERS)
def test_each_answer_is_told_apart(name: str) -> None:
    answer = ANSWERS[name]
    error = error_of(answer)

    assert (type(error), error.is_general) == WHOSE[answer["whose"]]
    assert error.status == answer["status"]


@pytest.mark.parametrize("name", [name for name, answer in ANSWERS.items() if answer["whose"].startswith("refusal")])
def test_a_refusal_is_lasting_and_told(name: str) -> None:
    error = error_of(ANSWERS[name])

    assert isinstance(error, Refused)
    assert error.is_lasting


def test_a_webhook_that_cannot_be_called_may_be_well_again_soon() -> None:
    assert not error_of(ANSWERS["webhook that is not there"]).is_lasting
    assert not error_of(ANSWERS["webhook deny-429-30"]).is_lasting
    assert error_of(ANSWERS["webhook deny-403"]).is_lasting


def test_the_page_of_a_proxy_is_not_quoted() -> None:
    assert "nginx" not in str(error_of(ANSWERS["proxy: nginx 404"]))
