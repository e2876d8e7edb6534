"""What an exported policy does not do, or not as the webhook does: a sentence each, written above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.core.model import PodPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.core.model import Configuration


def remarks(configuration: Configuration, release_namespace: str) -> Iterator[str]:
    """Yield what a person must know who applies the policies of this configuration."""
    yield (
        "References only: the Secrets that they name, ServiceAccounts that are there already, and what a namespace has"
        " when it opts out are the work of pullsecrets sync, or of somebody else."
    )
    yield "A policy has no audit annotations, metrics or log of its own: no reason is told."
    yield "Where an expression fails, the object passes as it is (failurePolicy: Ignore), and nothing tells of it."
    if not release_namespace:
        yield "No release namespace was given (--namespace): it is selected as any other."
    if configuration.retired:
        yield f"Nothing is taken away, so nothing is said of the retired {', '.join(configuration.retired)}."
    if any(entry.pods is PodPolicy.WHEN_IMAGE_MATCHES for entry in configuration.pull_secrets):
        yield (
            "pods: WhenImageMatches has the API server compare texts, of which it does only so much for one object: a"
            " Pod with thousands of images passes as it is."
        )
