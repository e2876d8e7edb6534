"""Each answer captured from a real API server, or from what stands before one, is classified: whose failure is it?

``python -m tests.integration.site.answers`` captures the first kind again; an integration test compares.
"""

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
    Invalid,
    NotFound,
    Refused,
    Throttled,
)
from webhook.kube.status import error_from_response

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
