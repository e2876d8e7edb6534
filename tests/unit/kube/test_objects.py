"""Namespaces as caches keep them: the labels that decisions read, and one that may be a typing error."""

from __future__ import annotations

import json

import pytest

from webhook.kube.objects import LARGEST_LABELS, ScopedDecoder
from webhook.kube.wire import decoder
from webhook.rules.configuration import Configuration
from webhook.rules.objects import Namespace
from webhook.rules.scope import scope_of

LABEL = "pullsecrets.webhook/inject"


def kept(labels: dict[str, str] | None) -> Namespace:
    shapes = ScopedDecoder(scope_of(Configuration(())))
    document = {"metadata": {"name": "team-a", "uid": "u", "labels": labels}}
    return shapes.to_namespace(decoder(shapes.namespace)(json.dumps(document).encode()))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, {}),
        ({}, {}),
        ({LABEL: "enabled", "team": "a"}, {LABEL: "enabled"}),
        ({LABEL: "true"}, {LABEL: "true"}),
        ({"pullsecret.webhook/inject": "enabled", "team": "a"}, {"pullsecret.webhook/inject": "enabled"}),
        ({"istio-injection": "enabled"}, {}),
    ],
)
def test_of_the_labels_those_are_kept_that_decide_or_look_mistyped(
    labels: dict[str, str] | None, expected: dict[str, str]
) -> None:
    assert kept(labels).labels == expected


def test_a_namespace_with_very_many_labels_is_not_searched() -> None:
    many = {f"label-{number}": "x" * 60 for number in range(LARGEST_LABELS // 60)}
    assert kept({**many, "pullsecret.webhook/inject": "enabled"}).labels == {}
