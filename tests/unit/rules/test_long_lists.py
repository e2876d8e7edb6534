"""A tenant's list of references may be long: our work grows with it evenly, wherever our name is in it.

The work is counted in calls of functions, so that a busy machine changes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from types import FrameType

import pytest
from msgspec.json import encode

from webhook.kube.objects import read_reference_list
from webhook.rules.backfill import needs_plan
from webhook.rules.configuration import Configuration, OptIn, PullSecret
from webhook.rules.managed_fields import SETTLED
from webhook.rules.objects import Namespace, ServiceAccount
from webhook.rules.patch import SERVICE_ACCOUNT_PATH, removals
from webhook.serve.handler import Handler

NAMES = ("pull", "vendor")
CONFIGURATION = Configuration(
    opt_in=OptIn("x/inject", "enabled"), pull_secrets=tuple(PullSecret(name, ("harbor",)) for name in NAMES)
)
COUNTS = (5_000, 10_000, 20_000, 40_000)


def listed(count: int, place: float) -> list[dict[str, str]]:
    """Return a list with our name at a place: 0 is the beginning, 1 the end."""
    entries = [{"name": f"other-{number:06}"} for number in range(count)]
    entries[int(place * (count - 1))] = {"name": "pull"}
    return entries


def admit(entries: list[dict[str, str]]) -> Callable[[], object]:
    account = {"kind": "ServiceAccount", "metadata": {"name": "app"}, "imagePullSecrets": entries}
    request = {
        "uid": "u",
        "kind": {"group": "", "version": "v1", "kind": "ServiceAccount"},
        "resource": {"group": "", "version": "v1", "resource": "serviceaccounts"},
        "operation": "UPDATE",
        "namespace": "team-a",
        "object": account,
    }
    body = encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
    handler = Handler(lambda: CONFIGURATION, lambda _: None)
    return lambda: handler.handle(body)


def keep_and_remove(entries: list[dict[str, str]]) -> Callable[[], object]:
    data = encode(entries)

    def work() -> object:
        references = read_reference_list(data, NAMES)
        account = ServiceAccount("team-a", "app", "1", {}, references, ownership=SETTLED)
        needs_plan(account, Namespace("team-a", {"x/inject": "enabled"}), CONFIGURATION)
        return removals(SERVICE_ACCOUNT_PATH, references, NAMES)

    return work


def calls(work: Callable[[], object]) -> int:
    """Return how many functions are called, in Python or C."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:  # noqa: ARG001
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("path", [admit, keep_and_remove])
def test_the_work_grows_evenly_with_the_list(
    path: Callable[[list[dict[str, str]]], Callable[[], object]], place: float
) -> None:
    counted = [calls(path(listed(count, place))) for count in COUNTS]
    for before, after in pairwise(counted):
        assert after <= 2.1 * before + 100, counted


def test_a_removal_from_the_middle_is_one_operation() -> None:
    references = read_reference_list(encode(listed(20_001, 0.5)), NAMES)
    assert removals(SERVICE_ACCOUNT_PATH, references, NAMES) == [{"op": "remove", "path": "/imagePullSecrets/10000"}]
