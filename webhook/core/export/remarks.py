"""List the differences between an exported policy and the webhook, as comments above the policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.core.model import PodPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.core.model import Configuration


def remarks(configuration: Configuration, release_namespace: str) -> Iterator[str]:
    """Yield the remarks for people who apply the policies of this configuration."""
    yield (
        "These policies only add references. Copies of Secrets, existing ServiceAccounts and the cleanup after an"
        " opt-out need pullsecrets sync or another tool."
    )
    yield "A policy has no audit annotations, metrics or logs, so reasons are not reported."
    yield "If an expression fails, the object is admitted unchanged (failurePolicy: Ignore), without a report."
    if not release_namespace:
        yield "No release namespace was given (--namespace), so it is selected like any other namespace."
    if configuration.retired:
        yield f"Policies remove nothing, so retired pull secrets are not included: {', '.join(configuration.retired)}."
    if any(entry.pods is PodPolicy.WHEN_IMAGE_MATCHES for entry in configuration.pull_secrets):
        yield (
            "pods: WhenImageMatches compares texts, and the API server limits that work for each object: a Pod with"
            " thousands of images is admitted unchanged."
        )
