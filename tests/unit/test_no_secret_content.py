"""No credential ever shows: in no log line, event, metric, exception or repr, however things go wrong.

Marker credentials are planted wherever a credential can be, and looked for in everything that can be read.
"""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from certs.authority import issue_authority
from tests.unit.conftest import TOKEN
from tests.unit.fake_apiserver.faults import Answer, Lines
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.fake_apiserver.storage import Object
from tests.unit.polling import until
from tests.unit.sync.world import (
    CONFIGURATION,
    RELEASE,
    copy_in,
    docker_config,
    password_in,
    put_account,
    put_namespace,
    secret_path,
)
from webhook.errors import PullSecretsError, SourceInvalid, UsageError
from webhook.files.configuration import parse
from webhook.kube.client import Client
from webhook.kube.connect import connect
from webhook.kube.events import EventRecorder
from webhook.kube.objects import SecretObject, decode_secret
from webhook.kube.resources import SECRETS
from webhook.kube.wire import ObjectList, decode_event, decoder
from webhook.ops.sync_metrics import SyncMetrics
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE, LEGACY_KEY, LEGACY_TYPE, merge, parse_source
from webhook.rules.ownership import labels_for
from webhook.sync.controller import SyncController
from webhook.sync.write_gate import WriteGate

MARKER = "hunter2Qz7XmarkerKv9Wq"


def encoded(text: str) -> set[str]:
    """Return what every base64 text that contains ``text`` contains, at whatever position it begins."""
    found = set()
    for offset in range(3):
        padded = b"\0" * offset + text.encode()
        start, end = -(-offset * 8 // 6), len(padded) * 8 // 6
        found.add(b64encode(padded).decode()[start:end])
    return found


def forms(text: str) -> set[str]:
    """Return a credential as it is, in base64, and in base64 twice: an ``auth`` within the data of a Secret."""
    once = encoded(text)
    return {text} | once | {twice for one in once for twice in encoded(one[4:-4])}


FORBIDDEN = forms(MARKER) | forms(TOKEN)


def shown_in(text: str) -> list[str]:
    return [form for form in FORBIDDEN if form in text]


def secret(data: str, key: str = COPY_KEY, secret_type: str = COPY_TYPE, **labels: str) -> Object:
    return {"type": secret_type, "data": {key: data}, "metadata": {"labels": labels}}


def b64(value: object) -> str:
    content = value if isinstance(value, str) else json.dumps(value)
    return b64encode(content.encode()).decode()


def auths(entry: object, registry: str = "harbor.example.com") -> str:
    return b64({"auths": {registry: entry}})


INVALID_SOURCES = {
    "opaque": secret(docker_config(MARKER), secret_type="Opaque"),  # noqa: S106
    "odd-type": secret(docker_config(MARKER), secret_type="x/y"),  # noqa: S106
    "other-key": secret(docker_config(MARKER), key="password"),
    "not-base64": secret(f"!{MARKER}!"),
    "not-json": secret(b64(f'{{"auths": {{"x": {MARKER}')),
    "not-an-object": secret(b64([MARKER])),
    "text": secret(b64(json.dumps(MARKER))),
    "no-auths": secret(b64({"auth": MARKER})),
    "auths-list": secret(b64({"auths": [MARKER]})),
    "helpers": secret(b64({"credHelpers": {"x.example.com": MARKER}})),
    "entry-text": secret(auths(MARKER)),
    "entry-list": secret(auths([MARKER])),
    "auth-number": secret(auths({"auth": {MARKER: 1}})),
    "auth-not-base64": secret(auths({"auth": f"%{MARKER}"})),
    "auth-no-colon": secret(auths({"auth": b64(MARKER)})),
    "auth-not-utf8": secret(auths({"auth": b64encode(b"\xff:" + MARKER.encode()).decode()})),
    "no-user": secret(auths({"password": MARKER})),
    "control-character": secret(auths({"username": "a\tb", "password": MARKER})),
    "nul": secret(auths({"username": "robot", "password": f"{MARKER}\0"})),
    "token": secret(auths({"identitytoken": MARKER})),
    "bad-registry": secret(auths({"username": "a", "password": MARKER}, f"https://robot:{MARKER}@harbor/x")),
    "odd-registry": secret(auths({"username": "a", "password": MARKER}, f"{MARKER} x")),
    "copy": secret(docker_config(MARKER), **labels_for("another", "release")),
    "legacy": secret(b64({"x.example.com": {"auth": MARKER}}), LEGACY_KEY, LEGACY_TYPE),
    "legacy-list": secret(b64([MARKER]), LEGACY_KEY, LEGACY_TYPE),
}


def echo(status: int) -> Answer:
    """A refusal that quotes the whole object, as a policy or a decoder may."""
    message = f"denied: {json.dumps(secret(docker_config(MARKER)))} password {MARKER} with Bearer {TOKEN}"
    return Answer(status, json.dumps({"kind": "Status", "code": status, "message": message}).encode())


def switch_on_faults(api: FakeApiServer) -> None:
    quoting = json.dumps({"items": [{"metadata": {"name": 1}, "data": {"x": MARKER}}], "metadata": {}}).encode()
    for status in (400, 422, 500, 503):
        api.inject(echo(status), "apply", plural="secrets", name="pull")
    api.inject(Answer(200, f"<html>{MARKER}</html>".encode()), "apply", plural="secrets", name="pull")
    api.inject(Answer(200, quoting), "apply", plural="secrets", name="pull")
    for line in (MARKER.encode(), json.dumps({"type": "ADDED", "object": {"data": MARKER}}).encode()):
        api.inject(Lines((line,)), "watch", plural="secrets", times=3)
    api.inject(Answer(200, quoting), "list", "watch", plural="secrets", times=3)


def put_everything(api: FakeApiServer) -> None:
    put_namespace(api, RELEASE.namespace, "")
    api.put(secret_path(RELEASE.namespace, "harbor"), secret(docker_config(MARKER)))
    for name, body in INVALID_SOURCES.items():
        api.put(secret_path(RELEASE.namespace, name), body)
    put_account(api, "team-a", "mine")
    put_namespace(api, "team-a")
    put_namespace(api, "team-b")
    api.put(secret_path("team-b"), secret(docker_config(MARKER)))


def configuration_text() -> str:
    entries = [{"name": name, "sources": [{"secretName": name}]} for name in INVALID_SOURCES]
    return json.dumps(
        {
            "apiVersion": "pullsecrets.webhook/v1alpha1",
            "kind": "Configuration",
            "pullSecrets": [{"name": "pull", "sources": [{"secretName": "harbor"}]}, *entries],
        }
    )


@contextmanager
def sync_process(kubeconfig: Path, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``pullsecrets sync`` as it is installed, at the level that logs most."""
    config = kubeconfig.parent / "config.yaml"
    config.write_text(configuration_text())
    flags = [f"--config={config}", f"--kubeconfig={kubeconfig}", f"--namespace={RELEASE.namespace}", "--release=psw"]
    flags += ["--bind-address=127.0.0.1", "--metrics-port=0", "--log-level=debug", "--log-format=json"]
    flags += [
        "--tls-secret=psw-tls",
        "--ca-secret=psw-ca",
        "--tls-san=psw.psw-system.svc",
        "--webhook-configuration=psw",
    ]
    with output.open("wb") as file:
        command = [sys.executable, "-c", "from webhook.cli import main; main()", "sync", *flags]
        with subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as process:
            try:
                yield process
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(15.0)


def private_keys(api: FakeApiServer) -> list[str]:
    names = ("psw-tls", "psw-ca")
    found = [api.read(secret_path(RELEASE.namespace, name)) for name in names]
    return [secret["data"]["tls.key"] for secret in found if secret]


def test_the_running_program_shows_no_credential(api: FakeApiServer, kubeconfig: Path, tmp_path: Path) -> None:
    put_everything(api)
    path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/psw"
    api.put(path, {"webhooks": [{"name": "pods", "clientConfig": {}}]})
    switch_on_faults(api)
    output = tmp_path / "output"

    with sync_process(kubeconfig, output):
        until(lambda: password_in(copy_in(api, "team-a")) == MARKER, timeout=30.0)
        until(lambda: len(sources_told(api)) == len(INVALID_SOURCES) and len(private_keys(api)) == 2, timeout=30.0)
        port = next(line["metrics_port"] for line in lines(output) if line["event"] == "started")
        served = {}
        for page in ("metrics", "status", "readyz?verbose"):
            with urlopen(f"http://127.0.0.1:{port}/{page}") as answer:
                served[page] = answer.read().decode()

    text = output.read_text()
    assert {"copy applied", "source refused", "namespace failed", "watch interrupted"} <= {
        line["event"] for line in lines(output)
    }
    assert shown_in(text) == []
    assert [page for page, shown in served.items() if shown_in(shown) or "PRIVATE" in shown] == []
    assert json.loads(served["status"])["leader"]["leading"]
    assert len(json.loads(served["status"])["sources"]) == len(INVALID_SOURCES) + 1
    written = [one.body.decode() for one in api.seen("create", "apply", "patch") if one.target.plural != "secrets"]
    assert [body for body in written if shown_in(body)] == []
    assert [key for key in private_keys(api) if key in text] == []
    assert "PRIVATE KEY" not in text


def lines(output: Path) -> list[dict[str, Any]]:
    complete, _, _ = output.read_text().rpartition("\n")
    return [json.loads(line) for line in complete.splitlines()]


def sources_told(api: FakeApiServer) -> set[str]:
    history = [change.object for change in list(api.storage.history) if change.collection == "api/v1/events"]
    return {event["involvedObject"]["name"] for event in history if event["reason"] == "SourceInvalid"}


@pytest.fixture
def loop(api: FakeApiServer, client: Client) -> Iterator[SyncController]:
    """A loop that leads, in this very process."""
    put_everything(api)
    loop = SyncController(
        client, RELEASE, CONFIGURATION, EventRecorder(client), SyncMetrics(), WriteGate(client.connectivity)
    )
    loop.start(workers=1)
    loop.set_leading(leading=True)
    yield loop
    loop.stop(5.0)
    for reflector in loop.caches._reflectors.values():
        reflector.join(5.0)


@pytest.mark.usefixtures("loop")
def test_what_a_program_holds_in_memory_shows_no_credential(api: FakeApiServer) -> None:
    until(lambda: password_in(copy_in(api, "team-a")) == MARKER)

    kept = [obj for obj in gc.get_objects() if str(type(obj).__module__).partition(".")[0] in ("webhook", "certs")]
    shown = {type(obj).__name__ for obj in kept if shown_in(repr(obj))}
    names = {type(obj).__name__ for obj in kept}

    assert {"Source", "Credentials", "Content", "Copy", "Client", "SyncController"} <= names
    assert shown == set()


def test_what_is_only_passed_on_shows_no_credential() -> None:
    body = json.dumps({"metadata": {"name": "x"}, **secret(docker_config(MARKER))}).encode()
    listed = decoder(ObjectList[SecretObject])(b'{"metadata":{},"items":[%s]}' % body)
    credentials = parse_source("harbor", COPY_TYPE, {COPY_KEY: docker_config(MARKER)}, {})
    event = decode_event(b'{"type":"ADDED","object":%s}' % body)
    passed = [decode_secret(body), listed, event, credentials, *credentials.values(), merge([("harbor", credentials)])]

    assert [repr(one) for one in passed if shown_in(repr(one) + str(one))] == []


def test_a_private_key_is_not_shown() -> None:
    authority = issue_authority(datetime.now(UTC), timedelta(days=1))

    assert "PRIVATE KEY" in authority.private_key_pem.decode()
    assert "PRIVATE" not in repr(authority)


def failure(act: Callable[[], object], kind: type[Exception]) -> str:
    """Everything that can be read of the exception that comes of it, its causes included."""
    with pytest.raises(kind) as caught:
        act()
    error = caught.value
    return "".join([str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)])


@pytest.mark.parametrize("name", INVALID_SOURCES)
def test_a_refused_source_is_not_quoted(name: str) -> None:
    body = INVALID_SOURCES[name]

    said = failure(
        lambda: parse_source(name, body["type"], body["data"], body["metadata"]["labels"]),
        SourceInvalid,
    )

    assert shown_in(said) == []


@pytest.mark.parametrize("status", [400, 413, 418, 422, 500, 503, 504])
@pytest.mark.parametrize("verb", ["apply", "patch", "create"])
def test_an_answer_that_echoes_a_secret_is_not_quoted(
    api: FakeApiServer, client: Client, verb: str, status: int
) -> None:
    body = {**secret(docker_config(MARKER)), "metadata": {"namespace": "a", "name": "harbor"}}
    api.inject(echo(status))
    write = {
        "apply": lambda: client.apply(SECRETS, body, field_manager="me", force=True),
        "patch": lambda: client.merge_patch(SECRETS, "harbor", body, "a", field_manager="me"),
        "create": lambda: client.create(SECRETS, body, "a"),
    }[verb]

    assert shown_in(failure(write, PullSecretsError)) == []


@pytest.mark.parametrize(
    "text",
    [
        f"pullSecrets: [{{name: a, sources: [{{secretName: harbor, password: {MARKER}}}]}}]\nauth: {MARKER}\n",
        f"a: b: {MARKER}\n",
        f"pullSecrets: []\n  password: {MARKER}\n",
        f"password: '{MARKER}\n",
        f"- {MARKER}\n",
        MARKER,
        f"!!{MARKER} x\n",
    ],
)
def test_a_configuration_with_a_credential_in_the_wrong_place_is_not_quoted(text: str) -> None:
    assert shown_in(failure(lambda: parse(text, "config.yaml"), UsageError)) == []


@pytest.mark.parametrize("user", [{"token": [TOKEN]}, {"token": f"{TOKEN}\n{TOKEN}"}, {"tokenFile": "/nowhere"}, TOKEN])
def test_a_kubeconfig_that_cannot_be_used_is_not_quoted(kubeconfig: Path, user: object) -> None:
    document = json.loads(kubeconfig.read_text())
    document["users"][0]["user"] = user
    kubeconfig.write_text(json.dumps(document))

    said = failure(lambda: connect(kubeconfig).get(SECRETS, "harbor", "a"), PullSecretsError)

    assert shown_in(said) == []


def test_the_forms_of_a_marker_are_found_where_they_are() -> None:
    for text in (
        MARKER,
        b64(f"robot:{MARKER}"),
        b64(f"r:{MARKER}"),
        docker_config(MARKER),
        docker_config(f"x{MARKER}"),
    ):
        assert shown_in(f"before {text} after")
    assert not shown_in("nothing of the kind")
