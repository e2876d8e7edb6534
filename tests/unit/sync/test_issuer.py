"""Tokens of ServiceAccounts, on the fake API server."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest

from tests.unit.fake_apiserver.faults import Answer
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.sync.world import RELEASE
from webhook.errors import CredentialsNotIssued, Invalid
from webhook.kube.client import Client
from webhook.rules.dockerconfig import content_hash, render
from webhook.rules.renewing import IssuedCredential, IssueReason, NamespaceToken, ServiceAccountToken, format_time
from webhook.sync.issuer import Issuer, NamespaceTokens
from webhook.sync.source import Content

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
EMPTY = render({})


def grant(api: FakeApiServer, expires: datetime) -> None:
    """Answer each request for a token with one that expires at this time."""
    claims = {"aud": ["zot"], "exp": int(expires.timestamp()), "kubernetes.io": {"serviceaccount": {"uid": "u"}}}
    encoded = urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    status = {"token": f"eyJhbGciOiJSUzI1NiJ9.{encoded}.c2ln", "expirationTimestamp": format_time(expires)}
    api.inject(Answer(201, json.dumps({"status": status}).encode()), "create", times=None)


def issue(client: Client, now: datetime) -> IssuedCredential:
    source = ServiceAccountToken("zot", "psw-issued-zot", "zot.example.com", "jwt", "zot", "puller")
    return Issuer(client, RELEASE.namespace, None, Event(), clock=lambda: now).issue(source)


def test_a_token_counts_until_the_time_that_was_granted(api: FakeApiServer, client: Client) -> None:
    grant(api, NOW + timedelta(minutes=10))
    assert issue(client, NOW).expires_at == NOW + timedelta(minutes=10)


@pytest.mark.parametrize("seconds", [0, 60])
def test_a_new_token_that_seems_expired_is_a_matter_of_the_clocks(
    api: FakeApiServer, client: Client, seconds: int
) -> None:
    grant(api, NOW - timedelta(seconds=seconds))

    with pytest.raises(CredentialsNotIssued, match="the clock of sync shows 2026-12-01T10:00:00Z already") as caught:
        issue(client, NOW)

    assert caught.value.reason == IssueReason.TOKEN_REFUSED


def test_a_token_of_a_namespace_that_seems_expired_is_not_counted_as_renewed(
    api: FakeApiServer, client: Client
) -> None:
    grant(api, NOW)
    counted: list[tuple[str, str]] = []
    token = NamespaceToken("zot", "zot.example.com", "jwt", "zot", "puller")
    tokens = NamespaceTokens(client, lambda source, result: counted.append((source, result)), lambda: NOW)

    with pytest.raises(Invalid, match="set the wrong clock"):
        tokens.complete("a", Content(EMPTY, content_hash(EMPTY), tokens=(token,)))

    assert counted == [("zot", "token-refused")]
