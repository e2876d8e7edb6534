"""Which ValidatingAdmissionPolicies the chart renders, and about whom; that they hold is tested on a real server."""

from __future__ import annotations

import itertools
import json
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.chart.rendered import FULLNAME, NAMESPACE, RELEASE, SAMPLE, Rendered, render
from tests.cluster import helm
from webhook.rules.ownership import labels_for
from webhook.sync.cleanup import HELM_SECONDS

POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
ALL = [f"{FULLNAME}-{name}" for name in ("events", "leases", "secrets", "serviceaccounts", "webhooks")]


def names(rendered: Rendered, kind: str) -> list[str]:
    return sorted(item["metadata"]["name"] for item in rendered.of_kind(kind))


def expressions(rendered: Rendered, suffix: str) -> str:
    return json.dumps(rendered.one(POLICY, suffix)["spec"]).replace('\\"', '"')


def test_they_are_there_unless_they_are_not_wanted() -> None:
    assert names(render(SAMPLE), POLICY) == names(render(SAMPLE), BINDING) == ALL
    reserving = render({**SAMPLE, "guard": {"reserveOptIn": True}})
    assert names(reserving, POLICY) == names(reserving, BINDING) == sorted([f"{FULLNAME}-opt-in", *ALL])
    unwanted = render({**SAMPLE, "guard": {"enabled": False, "reserveOptIn": True}})
    assert names(unwanted, POLICY) == names(unwanted, BINDING) == []


@pytest.mark.parametrize(("version", "count"), [("1.29.9", 0), ("1.30.0", 10), ("1.30.0-eks-1", 10), ("1.37.2", 10)])
def test_they_are_there_where_the_cluster_has_them(version: str, count: int) -> None:
    rendered = helm.run(
        ["template", RELEASE, str(helm.CHART), "--kube-version", version, "--values", "-"],
        stdin=json.dumps(helm.installable({})),
    )
    assert rendered.count(f"\nkind: {POLICY}") == count


def test_each_is_bound_and_denies() -> None:
    rendered = render({**SAMPLE, "guard": {"reserveOptIn": True}})
    for binding in rendered.of_kind(BINDING):
        assert binding["spec"] == {"policyName": binding["metadata"]["name"], "validationActions": ["Deny"]}
        assert (
            rendered.one(POLICY, binding["spec"]["policyName"].removeprefix(FULLNAME))["spec"]["failurePolicy"]
            == "Fail"
        )


def test_the_labels_are_those_that_the_program_writes() -> None:
    found = expressions(render(SAMPLE), "-secrets")
    for key, value in labels_for(RELEASE, NAMESPACE).items():
        assert f'[?"{key}"].orValue("") == "{value}"' in found


def test_label_and_exclusions_are_those_of_the_values() -> None:
    values: dict[str, Any] = {
        **SAMPLE,
        "optIn": {"label": "x.example.com/in", "value": "on"},
        "excludedNamespaces": ["system"],
    }
    for suffix in ("-secrets", "-serviceaccounts"):
        found = expressions(render(values), suffix)
        assert f'!(request.namespace in ["system","{NAMESPACE}"])' in found
        assert 'labels[?"x.example.com/in"].orValue("") == "on"' in found


PATTERNS = [
    "team-*",
    "a?c",
    "[a-c]x",
    "[!a-c]x",
    "[]a]x",
    "[!]a]x",
    "[a",
    "[!",
    "[!]",
    "[c-a]x",
    "[!c-a]x",
    "[a-]x",
    "[-a]x",
]
PATTERNS += [
    "*",
    "**",
    "x[a-c][0-9]*",
    "[a-c-e]x",
    "[--a]x",
    "a[!b",
    "]",
    "!",
    "-",
    "[!!]x",
    "[a!]x",
    "[*]x",
    "[?]x",
    "[[]x",
    "[a-cx-z5]x",
]
NAMES = ["".join(each) for size in (1, 2, 3) for each in itertools.product("abcdex-05", repeat=size)]


def matchers() -> dict[str, str]:
    """Return the expression that the guard has for each of `PATTERNS`."""
    entries = [
        {"name": f"x{number}", "sources": [{"secretName": "y", "namespaces": [pattern]}]}
        for number, pattern in enumerate(PATTERNS)
    ]
    found = expressions(render({"pullSecrets": entries}), "-secrets").replace("\\\\", "\\")
    return dict(zip(PATTERNS, re.findall(r'request\.namespace\.matches\(r"([^"]*)"\)', found), strict=True))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_matches_what_the_program_takes_it_to_match(pattern: str) -> None:
    judged = re.compile(matchers()[pattern].replace(r"\x{10FFFF}", r"\U0010FFFF"))
    team = [*NAMES, "team-", "team-a", "team"]
    assert [name for name in team if judged.search(name)] == [name for name in team if fnmatchcase(name, pattern)]


def test_cleanup_holds_the_lease_no_longer_than_the_guard_lets_it() -> None:
    found = expressions(render({"cleanup": {"timeout": "10m"}}), "-leases")
    assert f": {600 + HELM_SECONDS}" in " ".join(found.split())
