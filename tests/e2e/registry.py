"""Private registries within the sandbox, with TLS by the cluster's authority: by htpasswd, or by a token service."""

from __future__ import annotations

import http.client
import ssl
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.node import sandbox
from tests.cluster.node.node import Node
from tests.cluster.pki import Pair
from tests.cluster.supervise import wait_until
from tests.e2e.tokens import ISSUER, SERVICE, TokenService
from tests.e2e.tokens import USER as TOKEN_USER

NAME = "registry.test"
PORT = 5000
HOST = f"{NAME}:{PORT}"
USER = "robot"
TOKEN_REGISTRY_PORT, TOKEN_SERVICE_PORT = 5001, 5002
TOKEN_REGISTRY_HOST = f"{NAME}:{TOKEN_REGISTRY_PORT}"
_SECONDS = 30.0
_PUSH_SECONDS = 300


class Registry:
    """A running docker-registry; it ends with the node's cluster."""

    def __init__(self, node: Node, password: str) -> None:
        self._directory = node.settings.directory / "registry"
        self._directory.mkdir()
        self._authority = node.cluster.ca_file
        self.password = password
        self.set_password(password)
        configuration = self._write_configuration(node)
        node.settings.trust_registry(HOST, node.cluster.ca_file)
        program = node.cluster.keeper.start("registry", ["docker-registry", "serve", str(configuration)])
        program.wait_ready(lambda: self.status() is not None, _SECONDS)

    def set_password(self, password: str) -> None:
        """Let this password in from now on, and no other: the registry reads its file again when it has changed."""
        file = self._directory / "htpasswd"
        arguments = ["htpasswd", "-B", "-b", "-c", "-C", "4", str(file), USER, password]
        subprocess.run(arguments, check=True, capture_output=True)
        self.password = password

    def let_in(self, user: str, password: str) -> None:
        """Let one more user in; like every reader of bcrypt, the registry compares the first 72 bytes."""
        file = self._directory / "htpasswd"
        arguments = ["htpasswd", "-B", "-b", "-C", "4", str(file), user, password[:72]]
        subprocess.run(arguments, check=True, capture_output=True)

    def push(self, archive: Path, image: str) -> None:
        """Put an image into the registry, named without the registry's host."""
        _push(archive, f"{HOST}/{image}", f"{USER}:{self.password}", self._authority)

    def status(self, authorization: str | None = None) -> int | None:
        """Return what ``/v2/`` answers, None where nobody does."""
        return _status(PORT, self._authority, authorization)

    def wait_open_to(self, authorization: str) -> None:
        """Wait until the registry lets this in."""
        assert wait_until(lambda: self.status(authorization) == http.HTTPStatus.OK, _SECONDS)

    def _write_configuration(self, node: Node) -> Path:
        pair = node.cluster.issue_serving("registry", NAME)
        auth = {"htpasswd": {"realm": "private", "path": str(self._directory / "htpasswd")}}
        return _write_configuration(self._directory, PORT, pair, auth)


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
        auth = {
            "token": {
                "realm": f"{self.tokens.url}/token",
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(self._authority),
            }
        }
        configuration = _write_configuration(directory, port, pair, auth)
        node.settings.trust_registry(self.host, self._authority)
        program = node.cluster.keeper.start(program_name, ["docker-registry", "serve", str(configuration)])
        program.wait_ready(lambda: _status(port, self._authority) is not None, _SECONDS)

    def push(self, archive: Path, image: str) -> None:
        """Put an image into the registry, named without the registry's host."""
        login = f"{TOKEN_USER}:{self.tokens.issue(_PUSH_SECONDS)}"
        _push(archive, f"{self.host}/{image}", login, self._authority)


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


def _write_configuration(directory: Path, port: int, pair: Pair, auth: dict[str, Any]) -> Path:
    document = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": False}},
        "storage": {"filesystem": {"rootdirectory": str(directory / "images")}},
        "http": {
            "addr": f"{sandbox.ADDRESS}:{port}",
            "tls": {"certificate": str(pair.certificate), "key": str(pair.key)},
        },
        "auth": auth,
    }
    file = directory / "config.yml"
    file.write_text(yaml.safe_dump(document))
    return file
