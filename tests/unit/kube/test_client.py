from __future__ import annotations

import json
import socket
import threading
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.unit.conftest import TOKEN
from tests.unit.fake_apiserver.faults import Answer, Cut, Hang, Lines
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from webhook.errors import ApiError, ApiUnavailable, Conflict, Fenced, Forbidden, Invalid, NotFound, UsageError
from webhook.kube.client import Client
from webhook.kube.connect import connect
from webhook.kube.resources import LEASES, SECRETS, SERVICE_ACCOUNTS

HARBOR = "/api/v1/namespaces/a/secrets/harbor"
OBJECT = b'{"metadata":{"name":"harbor"}}'
DEFAULT = "/api/v1/namespaces/a/serviceaccounts/default"
MARKER = "hunter2-marker"


@pytest.fixture
def impatient(kubeconfig: Path) -> Client:
    """A client whose requests may take a tenth of a second."""
    return connect(kubeconfig, request_timeout=0.1)


def apply(client: Client, manager: str = "me", *, force: bool = False, **metadata: str) -> dict[str, Any]:
    body = {"metadata": {"namespace": "a", "name": "harbor", **metadata}, "data": {"x": b64encode(b"1").decode()}}
    stored: dict[str, Any] = json.loads(client.apply(SECRETS, body, field_manager=manager, force=force))
    return stored


# Requests and answers


def test_every_request_carries_the_token_and_says_who_asks(api: FakeApiServer, client: Client) -> None:
    api.put(DEFAULT)

    client.get(SERVICE_ACCOUNTS, "default", "a")

    headers = api.seen("get")[0].headers
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["User-Agent"].startswith("pull-secret-webhook/")
    assert headers["Accept"] == "application/json"


def test_an_object_that_does_not_exist_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound, match=rf"^GET {DEFAULT}: 404 NotFound: .*not found$"):
        client.get(SERVICE_ACCOUNTS, "default", "a")


def test_apply_creates_and_then_updates(api: FakeApiServer, client: Client) -> None:
    first = apply(client)
    second = apply(client, uid=first["metadata"]["uid"], resourceVersion=first["metadata"]["resourceVersion"])

    assert second == first
    assert api.seen()[0].headers["Content-Type"] == "application/apply-patch+yaml"
    assert api.seen()[0].query == {"fieldManager": "me", "force": "false"}


def test_apply_over_what_another_manager_owns_is_a_conflict_unless_forced(api: FakeApiServer, client: Client) -> None:
    api.put(HARBOR, {"data": {"x": "b3RoZXI="}})

    with pytest.raises(Conflict):
        apply(client)
    apply(client, force=True)

    assert (api.read(HARBOR) or {})["data"] == {"x": b64encode(b"1").decode()}


def test_apply_to_an_object_that_was_replaced_meanwhile_is_a_conflict(client: Client) -> None:
    apply(client)

    with pytest.raises(Conflict):
        apply(client, uid="another")
    with pytest.raises(Conflict):
        apply(client, resourceVersion="1")


def test_a_json_patch_whose_test_fails_is_a_conflict(api: FakeApiServer, client: Client) -> None:
    api.put(DEFAULT)
    stale = [{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}]

    with pytest.raises(Conflict) as caught:
        client.json_patch(SERVICE_ACCOUNTS, "default", stale, "a", field_manager="me")

    assert caught.value.status == 422


def test_a_json_patch_that_the_server_does_not_understand_is_invalid(api: FakeApiServer, client: Client) -> None:
    api.inject(Answer(400), "patch")

    with pytest.raises(Invalid):
        client.json_patch(SERVICE_ACCOUNTS, "default", [], "a", field_manager="me")


def test_a_merge_patch_of_an_older_state_is_a_conflict(api: FakeApiServer, client: Client) -> None:
    api.put("/apis/coordination.k8s.io/v1/namespaces/a/leases/one", {"spec": {}})

    with pytest.raises(Conflict):
        client.merge_patch(LEASES, "one", {"metadata": {"resourceVersion": "1"}}, "a", field_manager="me")


def test_creating_what_exists_is_a_conflict(api: FakeApiServer, client: Client) -> None:
    api.put(HARBOR)

    with pytest.raises(Conflict):
        client.create(SECRETS, {"metadata": {"name": "harbor"}}, "a")


def test_only_the_object_that_was_seen_is_deleted(api: FakeApiServer, client: Client) -> None:
    seen = api.put(HARBOR)["metadata"]
    api.put(HARBOR, {"data": {"x": "MQ=="}})

    with pytest.raises(Conflict):
        client.delete(SECRETS, "harbor", "a", uid=seen["uid"], resource_version=seen["resourceVersion"])

    seen = (api.read(HARBOR) or {})["metadata"]
    client.delete(SECRETS, "harbor", "a", uid=seen["uid"], resource_version=seen["resourceVersion"])
    assert api.read(HARBOR) is None


def test_every_answer_is_observed_and_none_counts_as_status_0(api: FakeApiServer, kubeconfig: Path) -> None:
    observed: list[tuple[str, int]] = []
    client = connect(kubeconfig, observer=lambda method, status, _: observed.append((method, status)))
    api.inject(Cut(0), "get")

    with pytest.raises(ApiUnavailable):
        client.get(SECRETS, "harbor", "a")
    with pytest.raises(NotFound):
        client.get(SECRETS, "harbor", "a")
    client.close()

    assert observed == [("GET", 0), ("GET", 404)]


# Faults


@pytest.mark.parametrize("after", [0, 8, 250])
def test_a_write_whose_answer_is_lost_is_not_repeated(api: FakeApiServer, client: Client, after: int) -> None:
    api.inject(Cut(after), "apply")

    with pytest.raises(ApiUnavailable, match=rf"^PATCH {HARBOR}: no answer from the API server \(\w+\)$"):
        apply(client)

    assert len(api.seen("apply")) == 1
    assert api.read(HARBOR) is not None


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_refused_write_is_not_repeated(api: FakeApiServer, client: Client, status: int) -> None:
    api.inject(Answer(status, retry_after="0"), "apply", times=None)

    with pytest.raises(ApiError) as caught:
        apply(client)

    assert (caught.value.status, len(api.seen())) == (status, 1)


def test_an_answer_429_that_says_when_to_come_back_is_told(api: FakeApiServer, kubeconfig: Path) -> None:
    told: list[float] = []
    client = connect(kubeconfig, on_throttled=told.append)
    for answer in (
        Answer(429, retry_after="7"),
        Answer(429),
        Answer(429, retry_after="0"),
        Answer(503, retry_after="9"),
    ):
        api.inject(answer)
        with pytest.raises(ApiError):
            client.get(SERVICE_ACCOUNTS, "default", "a")

    assert told == [7.0]


def test_a_server_that_never_answers_is_given_up(api: FakeApiServer, impatient: Client) -> None:
    api.inject(Hang())

    with pytest.raises(ApiUnavailable, match="ReadTimeoutError"):
        impatient.get(SECRETS, "harbor", "a")

    impatient.close()


def test_a_watch_that_does_not_begin_is_given_up_like_any_request(api: FakeApiServer, impatient: Client) -> None:
    api.inject(Hang(), "watch")

    with pytest.raises(ApiUnavailable), impatient.stream("/api/v1/namespaces", {"watch": "true"}, inactivity=90.0):
        pytest.fail("the watch began")

    impatient.close()


def test_a_watch_that_has_begun_may_be_silent_for_longer_than_a_request(api: FakeApiServer, kubeconfig: Path) -> None:
    client = connect(kubeconfig, request_timeout=1.0)
    api.inject(Lines(silent=True), "watch")
    started = time.monotonic()

    with (
        pytest.raises(ApiUnavailable),
        client.stream("/api/v1/namespaces", {"watch": "true"}, inactivity=1.3) as stream,
    ):
        list(stream.lines())

    assert time.monotonic() - started >= 1.3
    client.close()


def test_nobody_listening_is_unavailable(api: FakeApiServer, client: Client) -> None:
    api.go_away()

    with pytest.raises(ApiUnavailable, match="NewConnectionError"):
        client.get(SECRETS, "harbor", "a")


def test_an_idle_connection_that_the_server_closed_costs_one_failure_at_most(
    api: FakeApiServer, client: Client
) -> None:
    api.put(HARBOR)
    client.get(SECRETS, "harbor", "a")
    api.go_away()
    api.come_back()

    def succeeds() -> bool:
        try:
            client.get(SECRETS, "harbor", "a")
        except ApiUnavailable:
            return False
        return True

    assert [succeeds(), succeeds()][-1]


def test_a_redirect_is_not_followed_with_the_token(api: FakeApiServer, client: Client) -> None:
    api.inject(Answer(302, b"", headers=(("Location", f"{api.url}{DEFAULT}"),)), "get")

    with pytest.raises(ApiError) as caught:
        client.get(SECRETS, "harbor", "a")

    assert (caught.value.status, len(api.seen())) == (302, 1)


def test_a_line_comes_whole_however_it_was_sent(api: FakeApiServer, client: Client) -> None:
    api.inject(Lines((b'{"a":', b'1}\n\n{"b":2}', b"x" * 100_000)), "watch")

    with client.stream("/api/v1/namespaces", {"watch": "true"}, inactivity=5.0) as stream:
        lines = list(stream.lines())

    assert lines == [b'{"a":', b"1}", b'{"b":2}', b"x" * 100_000]


def test_a_reader_of_a_silent_watch_is_woken_by_another_thread(api: FakeApiServer, client: Client) -> None:
    with client.stream("/api/v1/namespaces", {"watch": "true"}, inactivity=60.0) as stream:
        until(lambda: api.seen("watch"))
        threading.Timer(0.02, stream.shutdown).start()
        with pytest.raises(ApiUnavailable):
            list(stream.lines())
    stream.shutdown()


def first_line_sent(listener: socket.socket) -> bytes:
    """Answer one request with an empty object; return the line that it began with."""
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as sent:
        line = sent.readline()
        while sent.readline().strip():
            pass
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(OBJECT), OBJECT)
        )
    return line


def test_the_address_of_an_api_server_may_have_a_path(kubeconfig: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as other:
        line = other.submit(first_line_sent, listener)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/k8s/clusters/one"
        client = connect(with_server(kubeconfig, address))
        assert client.get(SECRETS, "harbor", "a") == OBJECT
        client.close()

    assert line.result() == f"GET /k8s/clusters/one{HARBOR} HTTP/1.1\r\n".encode()


def test_a_proxy_is_told_the_whole_address(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy, ThreadPoolExecutor(1) as other:
        line = other.submit(first_line_sent, proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        client = connect(with_server(kubeconfig, "http://api.example.com:8080"))
        assert client.get(SECRETS, "harbor", "a") == OBJECT
        client.close()

    assert line.result() == f"GET http://api.example.com:8080{HARBOR} HTTP/1.1\r\n".encode()


# Kubeconfig files


def with_server(kubeconfig: Path, server: str) -> Path:
    document = json.loads(kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = server
    kubeconfig.write_text(json.dumps(document))
    return kubeconfig


def bad_kubeconfig(tmp_path: Path, text: str | None) -> Path:
    path = tmp_path / "broken"
    if text is not None:
        path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="absent"),
        pytest.param("", id="empty"),
        pytest.param(f"users: [{{token: {MARKER}", id="broken YAML"),
        pytest.param(f"a: b: {MARKER}\n", id="broken YAML in one line"),
        pytest.param(f"- {MARKER}\n", id="a list at the top"),
        pytest.param(MARKER, id="text at the top"),
        pytest.param("5\n", id="a number at the top"),
        pytest.param(f"users: {MARKER}\nclusters: []\ncontexts: []\ncurrent-context: x\n", id="a section is text"),
        pytest.param("users: []\nclusters: []\ncontexts: []\n", id="no current context"),
        pytest.param("users: []\nclusters: []\ncontexts: []\ncurrent-context: x\n", id="no such context"),
        pytest.param("contexts: [{name: x}]\ncurrent-context: x\n", id="a context without content"),
        pytest.param("\0\0\0", id="binary"),
        pytest.param(f"!!python/object/apply:os.system ['{MARKER}']\n", id="a YAML tag"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_said_in_one_sentence(tmp_path: Path, text: str | None) -> None:
    path = bad_kubeconfig(tmp_path, text)

    with pytest.raises(UsageError) as caught:
        connect(path)

    assert str(caught.value).startswith(f"kubeconfig {path} cannot be ")
    assert "\n" not in str(caught.value)
    assert MARKER not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("users:\n- {token: x\nclusters: []\n", "it is not valid YAML: .* [(]line 3, column 9, .* begins in line 2[)]"),
        ("- a\n", "a part of it is not of the kind that a kubeconfig has there"),
        ("users: []\nclusters: []\ncontexts: []\n", "Expected key current-context"),
    ],
)
def test_what_is_wrong_with_a_kubeconfig_is_named_with_the_way_out(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"{message}.*; .*give (a readable file|another one) with --kubeconfig"):
        connect(bad_kubeconfig(tmp_path, text))


def test_a_folder_is_no_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"^kubeconfig {tmp_path} cannot be "):
        connect(tmp_path)


def test_a_file_that_is_not_text_is_no_kubeconfig(tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_bytes(b"\xff\xfe\x80" + MARKER.encode())

    with pytest.raises(UsageError) as caught:
        connect(path)

    assert MARKER not in str(caught.value)


def test_a_context_that_does_not_exist_is_named(kubeconfig: Path) -> None:
    with pytest.raises(UsageError, match="another-context"):
        connect(kubeconfig, "another-context")


@pytest.mark.parametrize(
    ("place", "field", "value"),
    [
        ("cluster", "certificate-authority-data", MARKER),
        ("cluster", "certificate-authority-data", b64encode(MARKER.encode()).decode()),
        ("cluster", "certificate-authority", f"/nowhere/{MARKER}"),
        ("user", "client-certificate-data", b64encode(MARKER.encode()).decode()),
    ],
)
def test_a_kubeconfig_with_a_broken_certificate_is_said_in_one_sentence(
    kubeconfig: Path, place: str, field: str, value: str
) -> None:
    document = json.loads(kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    document[f"{place}s"][0][place][field] = value
    if place == "user":
        document["users"][0]["user"]["client-key-data"] = value
    kubeconfig.write_text(json.dumps(document))

    with pytest.raises(UsageError) as caught:
        connect(kubeconfig).get(SECRETS, "harbor", "a")

    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)


def with_token_file(kubeconfig: Path, token: str) -> Path:
    file = kubeconfig.parent / "token"
    file.write_text(token)
    document = json.loads(kubeconfig.read_text())
    document["users"][0]["user"] = {"tokenFile": str(file)}
    kubeconfig.write_text(json.dumps(document))
    return kubeconfig


def test_a_token_file_may_end_in_a_line_break(api: FakeApiServer, kubeconfig: Path) -> None:
    api.put(DEFAULT)
    client = connect(with_token_file(kubeconfig, f"{TOKEN}\n"))

    client.get(SERVICE_ACCOUNTS, "default", "a")
    client.close()

    assert api.seen()[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("token", [f"{MARKER}\nX: y", f"{MARKER}\r", f"{MARKER}é", f"{MARKER}\0x"])
def test_a_token_that_no_header_can_carry_is_refused_without_showing_it(kubeconfig: Path, token: str) -> None:
    client = connect(with_token_file(kubeconfig, f"x{token}x"))

    with pytest.raises(Forbidden) as caught:
        client.get(SERVICE_ACCOUNTS, "default", "a")

    assert caught.value.status == 401
    assert MARKER not in str(caught.value)


def test_a_port_that_speaks_no_http_is_unavailable(kubeconfig: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        document = json.loads(kubeconfig.read_text())
        document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{listener.getsockname()[1]}"
        kubeconfig.write_text(json.dumps(document))
        client = connect(kubeconfig, request_timeout=0.1)

        with pytest.raises(ApiUnavailable):
            client.get(SECRETS, "harbor", "a")


def test_a_client_shows_no_token(client: Client) -> None:
    assert TOKEN not in repr(client) + str(vars(client))


def test_a_fenced_client_reads_and_sends_no_write_when_it_may_not(api: FakeApiServer, client: Client) -> None:
    api.put(DEFAULT)
    client.reconnect()  # so that the next request dials first
    leads = [True]
    fenced = client.fenced(lambda: leads[0])
    apply(fenced)
    leads[0] = False
    before = len(api.seen("patch"))
    with pytest.raises(Fenced, match="not sent, because this process does not lead any more"):
        apply(fenced)
    fenced.get(SERVICE_ACCOUNTS, "default", "a")
    assert len(api.seen("patch")) == before
    apply(client)  # the client that was not fenced goes on
