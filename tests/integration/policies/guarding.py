"""Words for tests of the ValidatingAdmissionPolicies."""

from __future__ import annotations

from typing import Any

from tests.cluster.api import Answer
from tests.integration.site.playground import Playground, eventually

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"


def refused(answer: Answer, because: str) -> None:
    """See that it was a policy that refused, and that it says why."""
    assert answer.status == 403, answer.text
    message = answer.json()["message"]
    assert "ValidatingAdmissionPolicy" in message
    assert because in message


def stored(answer: Answer) -> dict[str, Any]:
    assert answer.status in (200, 201), answer.text
    return answer.json()


def warnings_about(playground: Playground, policy: str) -> list[Any]:
    """Return what the API server's own type checker says about the expressions of a policy."""
    path = f"{POLICIES}/{playground.installation.fullname}-{policy}"
    status: dict[str, Any] = eventually(
        lambda: playground.cluster.api.call("GET", path).get("status", {}),
        lambda seen: seen.get("observedGeneration", 0) >= 1,
    )
    found: list[Any] = status.get("typeChecking", {}).get("expressionWarnings", [])
    return found
