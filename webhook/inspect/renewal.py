"""Request the renewal of a source, with the rights of the caller: an annotation on its issued Secret."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from webhook.errors import ApiError, NotFound, UsageError
from webhook.kube.resources import SECRETS
from webhook.rules.renewing import RENEW, format_time

if TYPE_CHECKING:
    from webhook.kube.client import Client


def request_renewal(client: Client, namespace: str, secret: str) -> None:
    """Write the request. Raises UsageError if the Secret does not exist, or if the caller lacks the right to it."""
    # Random, so that two requests in one second are two.
    request = f"{format_time(datetime.now(UTC))}-{secrets.token_hex(4)}"
    patch = {"metadata": {"annotations": {RENEW: request}}}
    try:
        client.merge_patch(SECRETS, secret, patch, namespace, field_manager="pullsecrets-renew")
    except NotFound:
        raise UsageError(
            f"Secret {namespace}/{secret} does not exist, so its first credential has not been issued yet: look at the "
            f"Events with kubectl -n {namespace} get events --field-selector involvedObject.name={secret}"
        ) from None
    except ApiError as error:
        raise UsageError(f"the renewal was not requested: {error}") from None
