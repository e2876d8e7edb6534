"""How the API server is reached: a Pod's own ServiceAccount, plain kubeconfig files, and all the others."""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes import config
from kubernetes.client import Configuration

from certs.authority import issue_authority, issue_leaf
from tests.unit.conftest import TOKEN
from tests.unit.fake_apiserver.server import FakeApiServer
from webhook.kube.access import Access, TokenFile, in_cluster
from webhook.kube.connect import connect
from webhook.kube.kubeconfig import plain_access
from webhook.kube.resources import SERVICE_ACCOUNTS

DAY = timedelta(days=1)
AUTHORITY = issue_authority(datetime.now(UTC), DAY)
LEAF = issue_leaf(AUTHORITY, ["client"], datetime.now(UTC), DAY)
CA_DATA = b64encode(AUTHORITY.certificate_pem).decode()
SERVER = "https://api.example.com:6443"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the environment in which the tests run."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


# In a Pod


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kubelet mounts into a Pod."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "ca.crt").write_bytes(AUTHORITY.certificate_pem)
    return tmp_path


def test_a_pod_speaks_to_its_api_server_as_its_service_account(folder: Path) -> None:
    access = in_cluster(folder)
    assert access
    assert access.host == "https://10.96.0.1:443"
    assert access.authorization() == f"Bearer {TOKEN}"
    assert access.pool.connection_pool_kw["ca_certs"] == str(folder / "ca.crt")


def test_an_ipv6_address_stands_in_brackets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    access = in_cluster(folder)
    assert access
    assert access.host == "https://[fd00::1]:443"


@pytest.mark.parametrize("name", ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"])
def test_without_its_environment_it_is_no_pod(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    assert in_cluster(folder) is None


@pytest.mark.parametrize("name", ["token", "ca.crt"])
def test_without_its_files_it_is_no_pod(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert in_cluster(folder) is None


def test_a_broken_authority_is_found_at_once(folder: Path) -> None:
    (folder / "ca.crt").write_text("none")
    with pytest.raises(OSError, match=r"NO_CERTIFICATE|PEM|X509"):
        in_cluster(folder)


@pytest.mark.parametrize("proxy", ["https_proxy", "HTTPS_PROXY", "all_proxy"])
def test_a_proxy_is_left_to_the_package(folder: Path, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv(proxy, "http://proxy.example.com:3128")
    assert in_cluster(folder) is None


def test_a_token_is_read_again_after_a_minute_and_not_before(tmp_path: Path) -> None:
    file, now = tmp_path / "token", [0.0]
    file.write_text("first\n")
    token = TokenFile(file, lambda: now[0])
    file.write_text("second\n")
    now[0] = 59.9
    assert token() == "Bearer first"
    now[0] = 60.0
    assert token() == "Bearer second"


@pytest.mark.parametrize("broken", [None, "", "\n"])
def test_a_token_that_cannot_be_read_again_leaves_the_one_before(tmp_path: Path, broken: str | None) -> None:
    file, now = tmp_path / "token", [0.0]
    file.write_text("first")
    token = TokenFile(file, lambda: now[0])
    if broken is None:
        file.unlink()
    else:
        file.write_text(broken)
    now[0] = 60.0
    assert token() == "Bearer first"
    file.write_text("third")
    now[0] = 120.0
    assert token() == "Bearer third"


def test_an_access_shows_no_token(folder: Path) -> None:
    access = in_cluster(folder)
    assert access
    assert TOKEN not in repr(access) + repr(access.authorization)


# Kubeconfig files


def write(folder: Path, cluster: dict[str, Any], user: dict[str, Any], **document: Any) -> Path:  # noqa: ANN401 (JSON)
    """Write a kubeconfig with one context, and the files that it may name."""
    whole = {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [{"name": "c", "cluster": {"server": SERVER, **cluster}}],
        "users": [{"name": "u", "user": user}, {"name": "other", "user": {"exec": {"command": "false"}}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "n"}}],
        "current-context": "x",
        **document,
    }
    (folder / "ca.pem").write_bytes(AUTHORITY.certificate_pem)
    (folder / "client.pem").write_bytes(LEAF.certificate_pem)
    (folder / "client.key").write_bytes(LEAF.private_key_pem)
    (folder / "token").write_text(TOKEN)
    path = folder / "kubeconfig"
    path.write_text(json.dumps(whole))
    return path


FILES = {"client-certificate": "client.pem", "client-key": "client.key"}
PLAIN = [
    pytest.param({}, {}, id="nobody"),
    pytest.param({}, {"token": TOKEN}, id="a token"),
    pytest.param({}, {"tokenFile": "token"}, id="a token's file"),
    pytest.param({"certificate-authority": "ca.pem"}, {"token": TOKEN}, id="an authority's file"),
    pytest.param({"certificate-authority-data": CA_DATA}, {"token": TOKEN}, id="an authority"),
    pytest.param({"certificate-authority-data": CA_DATA}, FILES, id="a client certificate"),
    pytest.param({"server": "https://[::1]:6443/"}, {"token": TOKEN}, id="a slash at the end"),
    pytest.param({"server": f"{SERVER}/k8s/clusters/one"}, {"token": TOKEN}, id="a path"),
    pytest.param({"server": "http://127.0.0.1:8080"}, {"token": TOKEN}, id="no TLS"),
]


@pytest.mark.parametrize(("cluster", "user"), PLAIN)
def test_a_plain_kubeconfig_says_the_same_as_to_the_package(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any]
) -> None:
    path = write(tmp_path, cluster, user)
    judge = Configuration()
    load: Any = config.load_kube_config
    load(str(path), client_configuration=judge, persist_config=False)

    access = plain_access(path)

    assert access
    assert access.host == judge.host
    assert access.authorization() == (judge.get_api_key_with_prefix("BearerToken", alias="authorization") or "")
    assert authority(access) == (Path(judge.ssl_ca_cert).read_text() if judge.ssl_ca_cert else None)
    options = access.pool.connection_pool_kw
    assert (options["cert_file"], options["key_file"]) == (judge.cert_file, judge.key_file)


def authority(access: Access) -> str | None:
    options = access.pool.connection_pool_kw
    data: str | None = options["ca_cert_data"]
    return Path(options["ca_certs"]).read_text() if options["ca_certs"] else data


def test_a_context_is_chosen_by_its_name(tmp_path: Path) -> None:
    contexts = [{"name": name, "context": {"cluster": "c", "user": user}} for name, user in (("x", "u"), ("y", "v"))]
    users = [{"name": "u", "user": {"token": "first"}}, {"name": "v", "user": {"token": "second"}}]
    path = write(tmp_path, {}, {}, contexts=contexts, users=users)
    access = plain_access(path, "y")
    assert access
    assert access.authorization() == "Bearer second"


@pytest.mark.parametrize(
    ("cluster", "user"),
    [
        ({"insecure-skip-tls-verify": True}, {}),
        ({"tls-server-name": "other.example.com"}, {}),
        ({"proxy-url": "http://proxy.example.com:3128"}, {}),
        ({"server": "unix:///run/api"}, {}),
        ({"server": "127.0.0.1"}, {}),
        ({}, {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "false"}}),
        ({}, {"auth-provider": {"name": "oidc"}}),
        ({}, {"username": "u", "password": "p"}),
        ({}, {"as": "somebody"}),
        ({}, {"client-certificate-data": CA_DATA, "client-key-data": CA_DATA}),
        ({}, {"token": 5}),
    ],
    ids=lambda part: "+".join(part) or "-",
)
def test_whatever_else_a_kubeconfig_says_is_left_to_the_package(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any]
) -> None:
    assert plain_access(write(tmp_path, cluster, user)) is None


def test_two_clusters_of_one_name_are_left_to_the_package(tmp_path: Path) -> None:
    twice = [{"name": "c", "cluster": {"server": SERVER}}] * 2
    path = write(tmp_path, {}, {}, clusters=twice)
    assert plain_access(path) is None
    assert connect(path).host == SERVER


def test_an_exec_plugin_is_asked_for_the_token(api: FakeApiServer, tmp_path: Path) -> None:
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": TOKEN},
    }
    program = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", f"print({json.dumps(credential)!r})"],
        "interactiveMode": "Never",
    }
    api.put("/api/v1/namespaces/a/serviceaccounts/default")
    client = connect(write(tmp_path, {"server": api.url}, {"exec": program}))

    client.get(SERVICE_ACCOUNTS, "default", "a")
    client.close()

    assert api.seen("get")[0].headers["Authorization"] == f"Bearer {TOKEN}"
