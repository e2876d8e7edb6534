"""For every image, a copy offers the kubelet and Knative what its sources offer: judged by their own code."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest

from tests.oracle.comparison import EXCEPTIONS, Case, Document
from tests.oracle.documents import IMAGES, generated, table
from tests.oracle.program import ask
from webhook.rules.dockerconfig import COPY_TYPE

DOCUMENTS = int(os.environ.get("ORACLE_DOCUMENTS", "3000"))
SEED = int(os.environ.get("ORACLE_SEED", "1"))
AT_ONCE = 5000

PAGE = Path(__file__).parents[2] / "docs" / "credentials.md"


def test_copies_of_sources_that_people_write_offer_what_the_sources_offer() -> None:
    named = [(name, Case(documents, IMAGES)) for name, documents in table()]
    assert len(named) >= 100
    verdicts = ask(case.question() for _, case in named)

    judged = {name: case.judge(verdict) for (name, case), verdict in zip(named, verdicts, strict=True)}

    assert {name: wrong for name, (wrong, _) in judged.items() if wrong} == {}
    assert set().union(*(used for _, used in judged.values())) == set(EXCEPTIONS)
    assert sum(verdict["offers"] for verdict in verdicts) > len(named)


def test_copies_of_generated_sources_offer_what_the_sources_offer() -> None:
    chance = random.Random(SEED)  # noqa: S311 - to repeat a run
    for start in range(0, DOCUMENTS, AT_ONCE):
        cases = [Case(generated(chance), IMAGES) for _ in range(min(AT_ONCE, DOCUMENTS - start))]
        verdicts = ask(case.question() for case in cases)
        wrong = [each for case, verdict in zip(cases, verdicts, strict=True) for each in case.judge(verdict)[0]]
        assert wrong == []
        assert sum(verdict["offers"] for verdict in verdicts) > len(cases)


@pytest.mark.parametrize(
    "copy",
    [
        b'{"auths":{}}',
        b'{"auths":{"ghcr.io":{"auth":"YTpj"}}}',
        b'{"auths":{"ghcr.i":{"auth":"YTpi"}}}',
        b'{"auths":[]}',
    ],
)
def test_the_oracle_notices_a_copy_that_offers_something_else(copy: bytes) -> None:
    case = Case([Document(b'{"auths":{"ghcr.io":{"auth":"YTpi"}}}', COPY_TYPE)], IMAGES)
    case.copy = copy
    (verdict,) = ask([case.question()])

    assert case.judge(verdict)[0]


def test_each_exception_is_documented_with_its_reason() -> None:
    assert tuple(re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(), re.MULTILINE)) == EXCEPTIONS
