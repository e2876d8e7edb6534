"""The credential that is to be revoked: what a source has, what a rotation has replaced, or what is in a file."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime

import pytest

from tests.unit.fake_apiserver.faults import Answer
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.inspect.test_release import DOCUMENT, put_release
from tests.unit.inspect.test_usage import put_secret
from webhook.errors import UsageError
from webhook.inspect.credentials import file_content, find_source, present_content, previous_content
from webhook.inspect.reader import Reader
from webhook.inspect.release import InstalledRelease, ReleaseQuery, find_release
from webhook.kube.client import Client
from webhook.rules.credential import Credential
from webhook.rules.dockerconfig import render
from webhook.rules.ownership import MANAGED_BY, MANAGED_BY_LABEL
from webhook.rules.rollout import Progress, Rollout, Stage
from webhook.rules.state_document import ROLLOUTS_KEY, LastGood, StoredRollout, encode, encode_rollouts
from webhook.rules.versions import SourceVersion

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TWO_SOURCES = DOCUMENT + "  - name: double\n    sources: [{secretName: harbor}, {secretName: quay}]\n"


def document(password: str) -> str:
    return json.dumps({"auths": {"r.io": {"username": "robot", "password": password}}})


def installed(api: FakeApiServer, client: Client) -> tuple[Reader, InstalledRelease]:
    put_release(api, "psw", "pull-secrets", document=TWO_SOURCES)
    put_secret(api, "pull-secrets", "harbor", document("new"))
    reader = Reader(client)
    return reader, find_release(reader, ReleaseQuery())


@pytest.mark.parametrize(("name", "expected"), [("harbor", "harbor"), ("registry", "harbor"), ("quay", "quay")])
def test_a_source_is_named_as_itself_or_as_a_pull_secret_that_has_no_other(
    api: FakeApiServer, client: Client, name: str, expected: str
) -> None:
    assert find_source(installed(api, client)[1], name) == expected


def test_the_credential_of_a_source_is_its_present_one(api: FakeApiServer, client: Client) -> None:
    reader, release = installed(api, client)
    assert dict(present_content(reader, release, "harbor")) == {"r.io": Credential("robot", "new")}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("double", "pull secret double has the sources harbor and quay: name one of them"),
        ("absent", "release psw has no source absent: its sources are harbor and quay"),
    ],
)
def test_an_ambiguous_or_unknown_name_is_an_error(api: FakeApiServer, client: Client, name: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        find_source(installed(api, client)[1], name)
    assert str(refused.value) == message


OF_NAMESPACE = "name: zot, registry: zot.io, username: u, audience: zot, serviceAccountName: puller, perNamespace: true"


def test_a_token_of_each_namespace_is_a_source_and_not_revoked_here(api: FakeApiServer, client: Client) -> None:
    sources = f"{{secretName: harbor}}, {{serviceAccountToken: {{{OF_NAMESPACE}}}}}"
    put_release(api, "psw", "pull-secrets", document=DOCUMENT.replace("{secretName: harbor}", sources))
    with pytest.raises(UsageError) as refused:
        find_source(find_release(Reader(client), ReleaseQuery()), "zot")
    assert str(refused.value) == ("source zot is a token of each namespace: revoke the ServiceAccounts at the registry")


@pytest.mark.parametrize("stage", [Stage.COMPLETE, Stage.CANARY])
def test_the_previous_credential_is_kept_with_the_rotation(api: FakeApiServer, client: Client, stage: Stage) -> None:
    reader, release = installed(api, client)
    put_rotation(api, stage=stage)
    assert dict(previous_content(reader, release, "harbor")) == {"r.io": Credential("robot", "old")}


def put_rotation(
    api: FakeApiServer, name: str = "registry", before: str = "old", stage: Stage = Stage.COMPLETE
) -> None:
    """Store the rotation of a pull secret from one password to the new one."""
    contents = {
        password: LastGood(render({"r.io": Credential("robot", password)}), (SourceVersion("harbor", "u", "1"),), NOW)
        for password in (before, "new")
    }
    is_complete = stage is Stage.COMPLETE
    kept, base = (contents[before], contents["new"]) if is_complete else (contents["new"], contents[before])
    proposed = "y" if stage is Stage.CANARY else ""
    rollout = Rollout("id", stage, NOW, base="x", proposed=proposed)
    rollouts = encode_rollouts({name: StoredRollout(rollout, Progress(total=1, remaining=1), kept)})
    assert rollouts is not None
    values = {name: encode(base), ROLLOUTS_KEY: rollouts}
    data = {key: b64encode(value).decode() for key, value in values.items()}
    labels = {MANAGED_BY_LABEL: MANAGED_BY}
    api.put("/api/v1/namespaces/pull-secrets/secrets/psw-state", {"metadata": {"labels": labels}, "data": data})


@pytest.mark.parametrize("quay", ["forbidden", "absent", "malformed"])
def test_nothing_counts_as_replaced_while_a_source_is_unknown(api: FakeApiServer, client: Client, quay: str) -> None:
    reader, release = installed(api, client)
    put_rotation(api, "double")
    if quay != "absent":
        put_secret(api, "pull-secrets", "quay", "[" if quay == "malformed" else document("old"))
    if quay == "forbidden":
        api.inject(Answer(403), "get", plural="secrets", name="quay")
    with pytest.raises(UsageError, match=r"^Secret pull-secrets/quay has no usable content, or you lack the right to"):
        previous_content(reader, release, "double")


def test_a_missing_right_to_read_the_state_is_named(api: FakeApiServer, client: Client) -> None:
    reader, release = installed(api, client)
    put_rotation(api)
    api.inject(Answer(403), "get", plural="secrets", name="psw-state")
    lacks = "you lack the right to get secrets/psw-state in namespace pull-secrets: ask for it"
    with pytest.raises(UsageError, match=rf"^the previous credential of harbor is unknown, because {lacks}"):
        previous_content(reader, release, "harbor")


@pytest.mark.parametrize("stage", [Stage.COMPLETE, Stage.CANARY])
def test_a_rotation_that_only_added_an_entry_has_replaced_none(
    api: FakeApiServer, client: Client, stage: Stage
) -> None:
    reader, release = installed(api, client)
    put_rotation(api, before="new", stage=stage)
    with pytest.raises(UsageError, match=r"^the last rotation of registry has replaced no credential: "):
        previous_content(reader, release, "harbor")


def test_a_pull_secret_without_a_rotation_is_not_said_to_have_had_one(api: FakeApiServer, client: Client) -> None:
    reader, release = installed(api, client)
    put_rotation(api, before="new", stage=Stage.SETTLED)
    with pytest.raises(UsageError, match=r"^the previous credential of harbor is not known: "):
        previous_content(reader, release, "harbor")


def test_without_a_rotation_the_previous_credential_is_not_known(api: FakeApiServer, client: Client) -> None:
    with pytest.raises(UsageError, match="Give it with --from-file"):
        previous_content(*installed(api, client), "harbor")


@pytest.mark.parametrize("content", [document("old"), json.dumps(json.loads(document("old"))["auths"])])
def test_a_file_is_a_docker_configuration_of_either_form(content: str) -> None:
    assert dict(file_content(content.encode(), "old.json")) == {"r.io": Credential("robot", "old")}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"auths": {}}', '{"auths": {"r.io": {}}}'])
def test_a_file_without_a_credential_is_an_error_that_names_it(content: str) -> None:
    with pytest.raises(UsageError, match=r"--from-file old\.json"):
        file_content(content.encode(), "old.json")
