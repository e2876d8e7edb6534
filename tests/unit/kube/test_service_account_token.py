from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
import yaml

from tests.unit.fake_apiserver.server import FakeApiServer
from webhook.errors import CredentialsNotIssued
from webhook.kube.connect import connect
from webhook.kube.service_account_token import audiences_of
from webhook.rules.renewing import IssueReason


def jwt(claims: object) -> str:
    part = urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{part}.c2ln"


@pytest.mark.parametrize(
    ("token", "audiences"),
    [
        (jwt({"aud": ["a", "b"]}), {"a", "b"}),
        (jwt({"aud": "a"}), {"a"}),
        (jwt({}), set()),
        (jwt([]), set()),
        (jwt({"aud": 7}), set()),
        ("opaque", set()),
        ("a.b.c", set()),
        ("", set()),
    ],
)
def test_audiences_of_a_token_are_read_and_other_text_has_none(token: str, audiences: set[str]) -> None:
    assert audiences_of(token) == audiences


def test_no_token_is_requested_for_an_audience_of_the_api_server(
    api: FakeApiServer, kubeconfig: Path, tmp_path: Path
) -> None:
    document = yaml.safe_load(kubeconfig.read_text())
    document["users"][0]["user"]["token"] = jwt({"aud": ["https://api.internal"]})
    own = tmp_path / "own"
    own.write_text(yaml.safe_dump(document))

    with pytest.raises(CredentialsNotIssued) as refused:
        connect(own).request_token("psw-system", "puller", "https://api.internal", 600)

    assert refused.value.reason == IssueReason.TOKEN_AUDIENCE
    assert api.seen("create") == []
