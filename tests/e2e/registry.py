"""Private registries within the sandbox, with TLS by the cluster's authority: by htpasswd, or by a token service."""

from __future__ import annotations

import http.client
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.node import sandbox
from tests.cluster.node.node import Node
from tests.cluster.pki import Pair
from tests.cluster.supervise import wait_until
from tests.e2e.images import APPLICATION
from tests.e2e.tokens import ISSUER, SERVICE, Accounts, TokenService
from tests.e2e.tokens import USER as TOKEN_USER

NAME = "registry.test"
PORT = 5000
HOST = f"{NAME}:{PORT}"
USER = "robot"
TOKEN_REGISTRY_PORT, TOKEN_SERVICE_PORT = 5001, 5002
TOKEN_REGISTRY_HOST = f"{NAME}:{TOKEN_REGISTRY_PORT}"
ACCOUNT_REGISTRY_PORT, ACCOUNT_SERVICE_PORT, OPEN_REGISTRY_PORT = 5005, 5006, 5007
ACCOUNT_REGISTRY_HOST = f"{NAME}:{ACCOUNT_REGISTRY_PORT}"
OPEN_REGISTRY_HOST = f"{NAME}:{OPEN_REGISTRY_PORT}"
PUBLIC = "public/"
"""The prefix of the repositories that everyone may pull."""
_SECONDS = 30.0
_PUSH_SECONDS = 300


class Registry:
    """A running docker-registry; it ends with the node's cluster."""

    def __init__(self, node: Node, password: str) -> None:
        self.directory = node.settings.directory / "registry"
        self.directory.mkdir()
        self._authority = node.cluster.ca_file
        self.password = password
        self.set_password(password)
        configuration = self._write_configuration(node)
        node.settings.trust_registry(HOST, node.cluster.ca_file)
        program = node.cluster.keeper.start("registry", ["docker-registry", "serve", str(configuration)])
        program.wait_ready(lambda: self.status() is not None, _SECONDS)

    def set_password(self, password: str) -> None:
        """Let this password in from now on, and no other: the registry reads its file again when it has changed."""
        file = self.directory / "htpasswd"
        arguments = ["htpasswd", "-B", "-b", "-c", "-C", "4", str(file), USER, password]
        subprocess.run(arguments, check=True, capture_output=True)
        self.password = password

    def let_in(self, user: str, password: str) -> None:
        """Let one more user in; like every reader of bcrypt, the registry compares the first 72 bytes."""
        file = self.directory / "htpasswd"
        arguments = ["htpasswd", "-B", "-b", "-C", "4", str(file), user, password[:72]]
        subprocess.run(arguments, check=True, capture_output=True)

    def keep_out(self, user: str) -> None:
        """Refuse a user from now on."""
        subprocess.run(["htpasswd", "-D", str(self.directory / "htpasswd"), user], check=True, capture_output=True)

    def push(self, archive: Path, image: str) -> None:
        """Put an image into the registry, named without the registry's host."""
        _push(archive, f"{HOST}/{image}", f"{USER}:{self.password}", self._authority)

    def repeat(self, repository: str, names: Iterable[str]) -> None:
        """Give a repository more names."""
        _repeat(self.directory, repository, names)

    def wait_closed_to(self, authorization: str) -> None:
        """Wait until the registry refuses this."""
        assert wait_until(lambda: self.status(authorization) == http.HTTPStatus.UNAUTHORIZED, _SECONDS)

    def status(self, authorization: str | None = None) -> int | None:
        """Return what ``/v2/`` answers, None where nobody does."""
        return _status(PORT, self._authority, authorization)

    def wait_open_to(self, authorization: str) -> None:
        """Wait until the registry lets this in."""
        assert wait_until(lambda: self.status(authorization) == http.HTTPStatus.OK, _SECONDS)

    def _write_configuration(self, node: Node) -> Path:
        pair = node.cluster.issue_serving("registry", NAME)
        auth = {"htpasswd": {"realm": "private", "path": str(self.directory / "htpasswd")}}
        return _write_configuration(self.directory, PORT, pair, auth)


class TokenRegistry:
    """A docker-registry whose credentials come from a token service, and expire after ``lifetime`` seconds.

    The token service listens on the next port.
    """

    def __init__(self, node: Node, lifetime: float, port: int = TOKEN_REGISTRY_PORT) -> None:
        self.host = f"{NAME}:{port}"
        program_name = f"token-registry-{port}"
        directory = node.settings.directory / program_name
        directory.mkdir()
        self._authority = node.cluster.ca_file
        pair = node.cluster.issue_serving(program_name, NAME)
        self.tokens = TokenService(NAME, sandbox.ADDRESS, port + 1, pair, lifetime)
        _start(node, directory, port, pair, _token_auth(self.tokens, self._authority))

    def push(self, archive: Path, image: str) -> None:
        """Put an image into the registry, named without the registry's host."""
        login = f"{TOKEN_USER}:{self.tokens.issue(_PUSH_SECONDS)}"
        _push(archive, f"{self.host}/{image}", login, self._authority)


class AccountRegistry:
    """A docker-registry with accounts, each with rights on some repositories, and with public repositories."""

    def __init__(self, node: Node) -> None:
        self._directory = node.settings.directory / "account-registry"
        self._directory.mkdir()
        pair = node.cluster.issue_serving("account-registry", NAME)
        self.accounts = Accounts(NAME, sandbox.ADDRESS, ACCOUNT_SERVICE_PORT, pair, PUBLIC)
        _start(node, self._directory, ACCOUNT_REGISTRY_PORT, pair, _token_auth(self.accounts, node.cluster.ca_file))

    def repeat(self, source: Path, names: Iterable[str]) -> None:
        """Have the image of another registry's directory, under these names."""
        _take_over(source, self._directory)
        _repeat(self._directory, APPLICATION, names)


class OpenRegistry:
    """A docker-registry that requires no login."""

    def __init__(self, node: Node) -> None:
        self._directory = node.settings.directory / "open-registry"
        self._directory.mkdir()
        _start(node, self._directory, OPEN_REGISTRY_PORT, node.cluster.issue_serving("open-registry", NAME), None)

    def repeat(self, source: Path, names: Iterable[str]) -> None:
        """Have the image of another registry's directory, under these names."""
        _take_over(source, self._directory)
        _repeat(self._directory, APPLICATION, names)


def _start(node: Node, directory: Path, port: int, pair: Pair, auth: dict[str, Any] | None) -> None:
    configuration = _write_configuration(directory, port, pair, auth)
    node.settings.trust_registry(f"{NAME}:{port}", node.cluster.ca_file)
    program = node.cluster.keeper.start(directory.name, ["docker-registry", "serve", str(configuration)])
    program.wait_ready(lambda: _status(port, node.cluster.ca_file) is not None, _SECONDS)


def _token_auth(tokens: TokenService, authority: Path) -> dict[str, Any]:
    realm = {"realm": f"{tokens.url}/token", "service": SERVICE, "issuer": ISSUER}
    return {"token": {**realm, "rootcertbundle": str(authority)}}


def _take_over(source: Path, directory: Path) -> None:
    shutil.copytree(source / "images", directory / "images", dirs_exist_ok=True)


def _repeat(directory: Path, repository: str, names: Iterable[str]) -> None:
    """Copy a repository, which is a folder of links to blobs."""
    folder = directory / "images" / "docker" / "registry" / "v2" / "repositories"
    for name in names:
        shutil.copytree(folder / repository, folder / name)


def _push(archive: Path, image: str, login: str, authority: Path) -> None:
    with tempfile.TemporaryDirectory() as certificates:
        (Path(certificates) / "ca.crt").write_bytes(authority.read_bytes())
        options = ["--insecure-policy", f"--dest-creds={login}", f"--dest-cert-dir={certificates}"]
        argv = ["skopeo", "copy", "--quiet", *options, f"docker-archive:{archive}", f"docker://{image}"]
        subprocess.run(argv, check=True)


def _status(port: int, authority: Path, authorization: str | None = None) -> int | None:
    """Return what ``/v2/`` answers, None where nobody does."""
    context = ssl.create_default_context(cafile=str(authority))
    connection = http.client.HTTPSConnection(NAME, port, timeout=5, context=context)
    try:
        connection.request("GET", "/v2/", headers={"Authorization": authorization} if authorization else {})
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def _write_configuration(directory: Path, port: int, pair: Pair, auth: dict[str, Any] | None) -> Path:
    document = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": False}},
        "storage": {"filesystem": {"rootdirectory": str(directory / "images")}},
        "http": {
            "addr": f"{sandbox.ADDRESS}:{port}",
            "tls": {"certificate": str(pair.certificate), "key": str(pair.key)},
        },
        **({} if auth is None else {"auth": auth}),
    }
    file = directory / "config.yml"
    file.write_text(yaml.safe_dump(document))
    return file
