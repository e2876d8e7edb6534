"""Words for tests of the ValidatingAdmissionPolicies."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from tests.cluster.api import Answer
from tests.integration.hostile.impostor import MERGE, Impostor
from tests.integration.site.playground import Playground, eventually

ADMISSION = "/apis/admissionregistration.k8s.io/v1"


def refused(answer: Answer, because: str) -> None:
    """See that it was a policy that refused, and that it says why."""
    assert answer.status == 403, answer.text
    message = answer.json()["message"]
    assert "ValidatingAdmissionPolicy" in message
    assert because in message


def is_refused(answer: Answer) -> bool:
    """Return True if a policy refused. A right that the API server does not know of yet is answered with 403, too."""
    return answer.status == HTTPStatus.FORBIDDEN and "ValidatingAdmissionPolicy" in answer.text


def await_guard(playground: Playground) -> None:
    """Wait until the API server enforces the policies about what every sync writes: it learns of them by watches.

    Until then it stores what they refuse. Those of Leases, Events, tokens and evictions are awaited by their own tests.
    """
    namespace = playground.namespace(selected=False)
    thief, cleanup = (Impostor.of(playground, component) for component in ("sync", "cleanup"))
    account = {"secrets": [{"name": "x"}]}
    webhooks = f"{ADMISSION}/mutatingwebhookconfigurations/{playground.installation.webhook_configuration}"
    label = {"metadata": {"labels": {"x": "y"}}}
    eventually(lambda: thief.apply_secret(namespace, query="&dryRun=All"), is_refused)
    eventually(lambda: thief.patch_account(namespace, account, query="?dryRun=All"), is_refused)
    eventually(lambda: cleanup.patch_account(namespace, account, query="?dryRun=All"), is_refused)
    eventually(lambda: thief.api.request("PATCH", f"{webhooks}?dryRun=All", label, MERGE), is_refused)


def stored(answer: Answer) -> dict[str, Any]:
    assert answer.status in (200, 201), answer.text
    return answer.json()
