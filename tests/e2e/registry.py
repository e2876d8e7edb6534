"""A private registry within the sandbox: TLS by the cluster's authority, htpasswd, and one image."""

from __future__ import annotations

import http.client
import ssl
import subprocess
from pathlib import Path

import yaml

from tests.cluster.node import sandbox
from tests.cluster.node.node import Node
from tests.cluster.supervise import wait_until

NAME = "registry.test"
PORT = 5000
HOST = f"{NAME}:{PORT}"
USER = "robot"
_SECONDS = 30.0


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
        certificates = self._directory / "certificates"
        certificates.mkdir(exist_ok=True)
        (certificates / "ca.crt").write_bytes(self._authority.read_bytes())
        options = ["--insecure-policy", f"--dest-creds={USER}:{self.password}", f"--dest-cert-dir={certificates}"]
        argv = ["skopeo", "copy", "--quiet", *options, f"docker-archive:{archive}", f"docker://{HOST}/{image}"]
        subprocess.run(argv, check=True)

    def status(self, authorization: str | None = None) -> int | None:
        """Return what ``/v2/`` answers, None where nobody does."""
        context = ssl.create_default_context(cafile=str(self._authority))
        connection = http.client.HTTPSConnection(NAME, PORT, timeout=5, context=context)
        try:
            connection.request("GET", "/v2/", headers={"Authorization": authorization} if authorization else {})
            return connection.getresponse().status
        except OSError:
            return None
        finally:
            connection.close()

    def wait_open_to(self, authorization: str) -> None:
        """Wait until the registry lets this in."""
        assert wait_until(lambda: self.status(authorization) == http.HTTPStatus.OK, _SECONDS)

    def _write_configuration(self, node: Node) -> Path:
        pair = node.cluster.issue_serving("registry", NAME)
        document = {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": str(self._directory / "images")}},
            "http": {
                "addr": f"{sandbox.ADDRESS}:{PORT}",
                "tls": {"certificate": str(pair.certificate), "key": str(pair.key)},
            },
            "auth": {"htpasswd": {"realm": "private", "path": str(self._directory / "htpasswd")}},
        }
        file = self._directory / "config.yml"
        file.write_text(yaml.safe_dump(document))
        return file
